//! Where a backend runs: the file's endpoints lowered to addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{
    config::model::{Backend, EndpointTarget},
    types::Address,
};

/// The addresses of names, of their last good answers.
pub type Names = BTreeMap<Arc<str>, Arc<[IpAddr]>>;

/// One address of a backend and its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: Address,
    /// The name that led to it, if one did.
    pub(super) host: Option<Arc<str>>,
    pub(super) weight: u32,
}

/// The addresses of a backend, in file order; those of a name in their own. One that comes up twice counts where it was first.
pub(super) fn members(backend: &Backend, names: &Names) -> Vec<Member> {
    let mut members = Vec::new();
    for endpoint in &backend.endpoints {
        let weight = endpoint.weight;
        let mut add = |address, host| members.push(Member { address, host, weight });
        match &endpoint.target {
            EndpointTarget::Address(address) => add(Address::Tcp(*address), None),
            EndpointTarget::Unix(path) => add(Address::Unix(path.clone()), None),
            EndpointTarget::Dns { host, port } => {
                let known = names.get_key_value(host.as_str());
                for (name, ip) in known.iter().flat_map(|(name, ips)| ips.iter().map(move |ip| (*name, ip))) {
                    add(Address::Tcp(SocketAddr::new(*ip, *port)), Some(Arc::clone(name)));
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    members.retain(|member| seen.insert(member.address.clone()));
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Endpoint, EndpointTarget::Dns};

    #[test]
    fn names_stand_for_all_their_addresses_and_nothing_is_twice() {
        let at = |text: &str| EndpointTarget::Address(text.parse().unwrap());
        let dns = |host: &str| Dns { host: host.to_owned(), port: 80 };
        let text = "listeners: [ { name: a, bind: ':80' } ]\nbackends: { a: { endpoints: [ { dns: 'a:1' } ] } }\nroutes: [ { name: a, backend: a } ]\n";
        let loaded = crate::config::parse(text, "weir.yaml").unwrap();
        let mut backend = loaded.config.backends.into_values().next().unwrap();
        backend.endpoints = [
            (at("10.0.0.2:80"), 1),
            (dns("app"), 5),
            (dns("new"), 1),
            (dns("app"), 7),
            (at("10.0.0.3:80"), 2),
        ]
        .into_iter()
        .map(|(target, weight)| Endpoint { target, weight })
        .collect();
        let ips = ["10.0.0.1", "10.0.0.2", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let names = Names::from([("app".into(), ips.into())]);
        let found = members(&backend, &names);
        let shown: Vec<_> =
            found.iter().map(|one| (one.address.to_string(), one.host.as_deref(), one.weight)).collect();
        let expected = [
            ("10.0.0.2:80", None, 1),
            ("10.0.0.1:80", Some("app"), 5),
            ("[::1]:80", Some("app"), 5),
            ("10.0.0.3:80", None, 2),
        ];
        assert_eq!(shown, expected.map(|(address, host, weight)| (address.to_owned(), host, weight)));
    }
}

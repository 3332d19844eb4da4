//! Who the client is, behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use crate::{
    http::{Headers, Known},
    split::NetworkSet,
    types::address::is_unix_peer,
};

/// The first hop from the right that is not trusted, over all X-Forwarded-For lines; the farthest one when all are. A hop
/// that is no address ends the search: what is left of it was written by somebody unknown.
#[must_use]
pub(super) fn behind(headers: Headers<'_>, peer: IpAddr, trusted: &NetworkSet) -> IpAddr {
    let lines: Vec<&[u8]> = headers.known(Known::XForwardedFor).collect();
    let mut client = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let Some(address) = parse(hop) else { return client };
        client = address;
        if !trusted.contains(address) {
            return client;
        }
    }
    client
}

/// An address, alone or with a port, bracketed or not.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
        .filter(|address| !is_unix_peer(*address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderList;

    #[test]
    fn the_client_is_the_first_untrusted_hop_from_the_right() {
        let trusted: NetworkSet =
            ["10.0.0.0/8", "::1/128"].map(|text| text.parse().unwrap()).into_iter().collect();
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4,10.0.0.2", "10.0.0.3"], "1.2.3.4"),
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            (&["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&[""], "10.0.0.1"),
            // No address that a client can have.
            (&["1.2.3.4, 0.0.0.0"], "10.0.0.1"),
        ] {
            let list = HeaderList::from_pairs(lines.iter().map(|line| ("x-forwarded-for", *line)));
            let client = behind(list.view(), "10.0.0.1".parse().unwrap(), &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{lines:?}");
        }
    }
}

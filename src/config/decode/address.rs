//! Addresses: networks, what is listened on, what is connected to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use super::scalar::{Parsed, Problem, Value, not_a};
use crate::{
    config::{code::Code, keys::Scalar, yaml::shorten},
    types::{Address, address::UNIX_PEER},
};

const WRITE_ADDRESS: &str = "write IP and port: `10.1.0.11:8080`, `\"[fd00::1]:8080\"`";

pub(super) fn cidr(text: &str) -> Result<IpNet, Problem> {
    if text == "unix" {
        return Ok(IpNet::from(UNIX_PEER));
    }
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => {
            text.parse::<IpAddr>().map(IpNet::from).map_err(|_| not_a(Code::Cidr, Scalar::Cidr, text))?
        }
    };
    if net.trunc() != net {
        let message = format!("`{text}` has bits set behind its prefix");
        let help = format!("the network is `{}`, the single address `{}`", net.trunc(), net.addr());
        return Err(Problem::new(Code::Cidr, message).help(help));
    }
    Ok(net)
}

pub(super) fn bind(text: &str) -> Result<SocketAddr, Problem> {
    match text.strip_prefix(':') {
        Some(port) => socket(&format!("{}:{port}", Ipv4Addr::UNSPECIFIED), text),
        None => socket(text, text),
    }
    .map_err(|problem| {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            problem.help(bind_to_port(text))
        } else if problem.help.as_deref() == Some(WRITE_ADDRESS) {
            problem.help("write IP and port: `0.0.0.0:8080`, `127.0.0.1:8080`, `\"[::]:8080\"`")
        } else {
            problem
        }
    })
}

/// What to write instead of a port alone.
pub(super) fn bind_to_port(port: &str) -> String {
    format!("write `:{port}`, or `127.0.0.1:{port}` for this machine alone")
}

pub(super) fn listen(text: &str) -> Result<Address, Problem> {
    match text.strip_prefix("unix:") {
        Some(path) => socket_path(path).map(|()| Address::Unix(path.into())),
        None if text.starts_with('/') => {
            Err(Problem::new(Code::Address, format!("`{}` is not an address", shorten(text)))
                .help(format!("a unix socket is written `unix:{}`", shorten(text))))
        }
        None => bind(text).map(Address::Tcp),
    }
}

/// Checks a unix socket's path. The kernel takes 107 bytes; a few are left for the name that the socket has while it is made.
pub(super) fn socket_path(path: &str) -> Result<(), Problem> {
    let problem =
        || Problem::new(Code::Path, format!("`{}` is not the path of a unix socket", shorten(path)));
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(problem().help("write it from the root: `/run/weir/http.sock`"));
    }
    if path.len() > 100 {
        return Err(problem().help("a unix socket's path has at most 100 bytes"));
    }
    if path.bytes().any(|b| b.is_ascii_control()) {
        return Err(problem().help("control characters are not allowed here"));
    }
    Ok(())
}

pub(super) fn file_mode(text: &str) -> Parsed {
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    match u64::from_str_radix(digits, 8) {
        Ok(mode) if digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Value::Integer(mode))
        }
        _ => Err(not_a(Code::Text, Scalar::FileMode, text)),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Problem> {
    let address = socket(text, text).map_err(|problem| match host_port(text) {
        Ok((host, port)) => problem
            .help(format!("a name cannot stand here; an endpoint by name is written `dns: {host}:{port}`")),
        Err(_) => problem,
    })?;
    if address.port() == 0 {
        return Err(Problem::new(Code::Address, format!("`{text}` has port 0; an endpoint has a port")));
    }
    Ok(address)
}

/// A name to look up, in lower case, and a port.
pub(super) fn host_port(text: &str) -> Result<(String, u16), Problem> {
    let shown = shorten(text);
    let problem = || Problem::new(Code::Address, format!("`{shown}` is not a name and a port"));
    if text.parse::<SocketAddr>().is_ok() {
        return Err(problem().help(format!("an address is written `address: {shown}`")));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(problem().help(format!("add the port: `{shown}:8080`")));
    };
    let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else {
        return Err(problem().help("a port is a number from 1 to 65535"));
    };
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A last part of digits alone makes it an address that is none (RFC 3986, section 3.2.2).
    let number = labels.clone().next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if host.len() > 253 || number || !labels.clone().all(fits) {
        return Err(problem().help("write it as `canary.internal:8080`"));
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn socket(text: &str, written: &str) -> Result<SocketAddr, Problem> {
    let local = text.strip_prefix("localhost:").map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST));
    let shown = shorten(written);
    local.as_deref().unwrap_or(text).parse().map_err(|_| {
        let problem = Problem::new(Code::Address, format!("`{shown}` is not an address"));
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) {
            problem.help(format!("add the port: `{shown}:8080`"))
        } else if text.parse::<IpAddr>().is_ok() {
            problem.help(format!("put it into brackets and add the port: `\"[{shown}]:8080\"`"))
        } else if host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains(':') && !port.is_empty()
        {
            problem.help("a name cannot stand here: write the IP address")
        } else {
            problem.help(WRITE_ADDRESS)
        }
    })
}

//! Cross-origin rules that browsers follow, and that give away nothing that nobody meant to.

use crate::config::{
    code::Code,
    decode::Context,
    diagnostic::Diagnostic,
    model::{Config, Cors, Route},
};

pub(super) fn check(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        if let Some(cors) = &route.policy.cors {
            let pointer = format!("/routes/{index}/cors");
            origins(cors, &pointer, cx);
            credentials(cors, &pointer, cx);
        }
    }
}

/// Warns of routes that get no preflight.
pub(super) fn preflights(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        if route.policy.cors.is_some() && !takes_options(route) {
            let message =
                format!("route `{}` takes no OPTIONS, so preflights go to other routes", route.name);
            let elsewhere =
                Diagnostic::new(Code::PreflightElsewhere, &format!("/routes/{index}/cors"), message);
            cx.complain(elsewhere.help("add OPTIONS to the `method` of its `match`"));
        }
    }
}

fn takes_options(route: &Route) -> bool {
    let mut matches = route.matches.iter();
    matches.any(|one| one.methods.is_empty() || one.methods.iter().any(|method| method == "OPTIONS"))
}

fn origins(cors: &Cors, pointer: &str, cx: &mut Context) {
    for (at, origin) in cors.origins.iter().enumerate() {
        if let Some(help) = flaw(origin) {
            let message = format!("`{origin}` is no origin that a browser sends");
            let wrong = Diagnostic::new(Code::CorsOrigin, &format!("{pointer}/origins/{at}"), message);
            cx.complain(wrong.help(help));
        }
    }
}

/// What to write in place of an origin that none is (RFC 6454, section 6.2).
fn flaw(origin: &str) -> Option<String> {
    if matches!(origin, "*" | "null") {
        return None;
    }
    let Some((scheme, rest)) = origin.split_once("://") else {
        return Some(format!("write the scheme as well: `https://{}`", origin.trim_start_matches("//")));
    };
    if let Some((host, _)) = rest.split_once(['/', '?', '#']) {
        return Some(format!("an origin ends before the path: `{scheme}://{host}`"));
    }
    if origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(format!("browsers write it in lower case: `{}`", origin.to_ascii_lowercase()));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if matches!((scheme, port), ("https", Some("443")) | ("http", Some("80"))) {
        return Some(format!("browsers leave the scheme's own port out: `{scheme}://{host}`"));
    }
    if port.is_some_and(|port| port.parse().is_ok_and(|port: u16| port == 0) || port.parse::<u16>().is_err())
    {
        return Some("a port is a number from 1 to 65535".to_owned());
    }
    let scheme_fits = |scheme: &str| {
        scheme.starts_with(|letter: char| letter.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let labels = host.strip_prefix("*.").unwrap_or(host);
    let host_fits = if labels.starts_with('[') {
        labels.ends_with(']') && labels == host
    } else {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        labels.split('.').all(|label| !label.is_empty() && label.bytes().all(plain))
    };
    let fits = scheme_fits(scheme) && host_fits;
    (!fits)
        .then(|| "write it such as `https://shop.example.com`, `https://*.example.com` or `\"*\"`".to_owned())
}

fn credentials(cors: &Cors, pointer: &str, cx: &mut Context) {
    if !cors.credentials {
        return;
    }
    let origins =
        cors.origins.iter().enumerate().filter(|(_, origin)| matches!(origin.as_str(), "*" | "null"));
    for (at, origin) in origins {
        let message = format!("with `credentials`, origin `{origin}` would let every page act as the user");
        let open = Diagnostic::new(Code::CorsCredentials, &format!("{pointer}/origins/{at}"), message);
        cx.complain(open.help("list the origins, or remove `credentials`"));
    }
    if let Some(at) = cors.expose.iter().position(|name| name == "*") {
        let message = "with `credentials`, browsers take `*` for the name of a header";
        let literal = Diagnostic::new(Code::CorsCredentials, &format!("{pointer}/expose/{at}"), message);
        cx.complain(literal.help("list the names"));
    }
}

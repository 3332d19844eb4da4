//! Traffic policy that can be carried out.

use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        model::{Answer, Config, HeaderEdits, PathMatch, Redirect, Route},
    },
    http::Known,
};

pub(super) fn check(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        let headers = format!("/routes/{index}/headers");
        header_edits(cx, &route.policy.request_headers, &format!("{headers}/request"));
        header_edits(cx, &route.policy.response_headers, &format!("{headers}/response"));
        if route.policy.fault.as_ref().is_some_and(|fault| fault.delay.is_none() && fault.abort.is_none()) {
            let message = "a fault that neither delays nor aborts";
            let nothing = Diagnostic::new(Code::NoFault, &format!("/routes/{index}/fault"), message);
            cx.complain(nothing.help("give it a `delay`, an `abort` or both"));
        }
        if let Some(answer) = &route.policy.answer {
            self::answer(cx, (route, answer), &format!("/routes/{index}"));
        }
    }
}

fn header_edits(cx: &mut Context, edits: &HeaderEdits, pointer: &str) {
    let named = edits.add.iter().map(|(name, _)| (name, format!("{pointer}/add/{name}")));
    let named = named.chain(edits.set.iter().map(|(name, _)| (name, format!("{pointer}/set/{name}"))));
    let removed = edits.remove.iter().enumerate();
    let named = named.chain(removed.map(|(at, name)| (name, format!("{pointer}/remove/{at}"))));
    for (name, pointer) in named {
        if let Some(why) = reserved(name) {
            let message = format!("`{name}` cannot be changed: {why}");
            let reserved = Diagnostic::new(Code::ReservedHeader, &pointer, message);
            cx.complain(reserved.help("remove it, or use a header of your own"));
        }
    }
}

/// Why no rule changes this field. With `_` for `-` it is the same field to CGI and WSGI servers.
pub(super) fn reserved(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("date") {
        return Some("Weir writes it");
    }
    match Known::of(name.replace('_', "-").as_bytes()) {
        Known::Other | Known::Cookie => None,
        Known::Connection
        | Known::KeepAlive
        | Known::ProxyAuthenticate
        | Known::ProxyAuthorization
        | Known::ProxyConnection
        | Known::Te
        | Known::Trailer
        | Known::Upgrade => Some("it belongs to one connection"),
        Known::ContentLength | Known::TransferEncoding | Known::Expect => Some("it frames the message"),
        Known::Host => Some("that is `rewrite: { host: … }`"),
        Known::Forwarded
        | Known::Traceparent
        | Known::XForwardedClientCert
        | Known::XForwardedFor
        | Known::XForwardedHost
        | Known::XForwardedPort
        | Known::XForwardedProto
        | Known::XRealIp
        | Known::XRequestId
        | Known::XWeir => Some("Weir writes it, and backends believe it"),
        Known::XWeirOverride => Some("it is for Weir, and no backend gets it"),
    }
}

fn answer(cx: &mut Context, (route, answer): (&Route, &Answer), pointer: &str) {
    if !route.rules.is_empty() {
        let message = format!("route `{}` answers itself, so its rules choose nothing", route.name);
        let rules = Diagnostic::new(Code::NoSplit, &format!("{pointer}/rules"), message);
        cx.complain(rules.help("remove the rules, or give the route a `split`"));
    }
    if route.policy.mirror.is_some() {
        let message = format!("route `{}` answers itself, so there is nothing to copy", route.name);
        let nothing = Diagnostic::new(Code::NothingToMirror, &format!("{pointer}/mirror"), message);
        cx.complain(nothing.help("remove the mirror, or give the route a `split`"));
    }
    match answer {
        Answer::Redirect(redirect) => self::redirect(cx, (route, redirect), &format!("{pointer}/redirect")),
        Answer::Respond(respond) => {
            let has_body = respond.body.as_ref().is_some_and(|body| !body.is_empty());
            if has_body && matches!(respond.status, 204 | 205 | 304) {
                let message = format!("a response with status {} has no body", respond.status);
                let bodiless = Diagnostic::new(Code::NoBody, &format!("{pointer}/respond/body"), message);
                cx.complain(bodiless.help("remove the body, or use another status"));
            }
        }
    }
}

fn redirect(cx: &mut Context, (route, redirect): (&Route, &Redirect), pointer: &str) {
    if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("{} is no redirect", redirect.status);
        let other = Diagnostic::new(Code::NoRedirect, &format!("{pointer}/status"), message);
        cx.complain(other.help("use 301, 302, 303, 307 or 308"));
    }
    let Redirect { scheme, host, port, path, prefix, .. } = redirect;
    if scheme.is_none() && host.is_none() && port.is_none() && path.is_none() && prefix.is_none() {
        let message = format!("route `{}` redirects to where the request came from", route.name);
        let circle = Diagnostic::new(Code::RedirectCircle, pointer, message);
        cx.complain(circle.help("give it a `scheme`, `host`, `port`, `path` or `prefix`"));
    }
    let by_prefix = |path: &Option<PathMatch>| matches!(path, Some(PathMatch::Prefix(_)));
    if prefix.is_some() && !route.matches.iter().all(|one| by_prefix(&one.path)) {
        let message = format!("route `{}` matches requests by no prefix that could be replaced", route.name);
        let none = Diagnostic::new(Code::NoPrefix, &format!("{pointer}/prefix"), message);
        cx.complain(none.help("give every `match` a `path: { prefix: … }`, or use `path`"));
    }
}

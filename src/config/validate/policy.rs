//! Traffic policy that can be carried out.

use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        model::{Config, HeaderEdits},
    },
    http::Known,
};

pub(super) fn check(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        let headers = format!("/routes/{index}/headers");
        header_edits(cx, &route.policy.request_headers, &format!("{headers}/request"));
        header_edits(cx, &route.policy.response_headers, &format!("{headers}/response"));
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
fn reserved(name: &str) -> Option<&'static str> {
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
    }
}

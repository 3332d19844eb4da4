//! What is spoken must go with TLS, or with its absence.

use super::{Code, Config, Context, Diagnostic};
use crate::config::model::{BackendProtocol, ListenerProtocol};

/// Checks every listener and backend.
pub(super) fn check(config: &Config, cx: &mut Context) {
    for (index, listener) in config.listeners.iter().enumerate() {
        for (at, protocol) in listener.protocols.iter().enumerate() {
            let (problem, hint) = match (protocol, listener.tls.is_some()) {
                (ListenerProtocol::H2, false) => (
                    "`h2` is HTTP/2 in TLS, and this listener has no `tls`",
                    "write `h2c` for HTTP/2 in the clear",
                ),
                (ListenerProtocol::H2c, true) => {
                    ("`h2c` is HTTP/2 in the clear, and this listener has `tls`", "write `h2`")
                }
                _ => continue,
            };
            let pointer = format!("/listeners/{index}/protocols/{at}");
            cx.complain(Diagnostic::new(Code::Protocol, &pointer, problem).help(hint));
        }
    }
    for (name, backend) in &config.backends {
        let (problem, hint) = match (backend.protocol, backend.tls.is_some()) {
            (BackendProtocol::H2, false) => {
                ("`h2` is HTTP/2 in TLS, and this backend has no `tls`", "add `tls: {}`, or write `h2c`")
            }
            (BackendProtocol::Auto, false) => (
                "`auto` asks endpoints in the TLS handshake, and this backend has no `tls`",
                "add `tls: {}`, or write `http/1.1` or `h2c`",
            ),
            (BackendProtocol::H2c, true) => {
                ("`h2c` is HTTP/2 in the clear, and this backend has `tls`", "write `h2`")
            }
            _ => continue,
        };
        let pointer = format!("/backends/{name}/protocol");
        cx.complain(Diagnostic::new(Code::Protocol, &pointer, problem).help(hint));
    }
}

/// Warns of backends that believe any certificate.
pub(super) fn warn(config: &Config, cx: &mut Context) {
    for (name, backend) in &config.backends {
        if backend.tls.as_ref().is_some_and(|tls| !tls.verify) {
            let pointer = format!("/backends/{name}/tls/verify");
            super::warn(cx, Code::Unverified, &pointer, format!("backend `{name}` believes any certificate"));
        }
    }
}

//! What is said of sockets must go with the kind of socket.

use super::{Code, Config, Context, Diagnostic};
use crate::config::model::EndpointTarget;

/// Checks every listener and backend.
pub(super) fn check(config: &Config, cx: &mut Context) {
    for (index, listener) in config.listeners.iter().enumerate() {
        if listener.mode.is_some() && listener.bind.tcp().is_some() {
            let pointer = format!("/listeners/{index}/mode");
            let problem = Diagnostic::new(Code::Socket, &pointer, "`mode` is for unix sockets only");
            cx.complain(problem.help("remove it, or bind a unix socket: `unix:/run/weir/http.sock`"));
        }
    }
    for (name, backend) in &config.backends {
        let unnamed = backend.tls.as_ref().is_some_and(|tls| tls.verify && tls.server_name.is_none());
        let unix =
            backend.endpoints.iter().any(|endpoint| matches!(endpoint.target, EndpointTarget::Unix(_)));
        if unnamed && unix {
            let pointer = format!("/backends/{name}/tls");
            let message = format!("backend `{name}` has a unix socket, which no certificate can name");
            let problem = Diagnostic::new(Code::Socket, &pointer, message);
            cx.complain(problem.help("say whose certificate it must be: `server_name: reports.internal`"));
        }
    }
}

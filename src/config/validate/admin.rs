//! Who could reach the admin API, and how.

use super::{Code, Config, Context, Diagnostic};
use crate::types::Address;

/// Checks that an address which others can reach asks them who they are, and does not let others listen.
pub(super) fn check(config: &Config, cx: &mut Context) {
    let admin = &config.admin;
    if let Some(socket) = &admin.socket {
        let same =
            config.listeners.iter().find(|listener| listener.bind == Address::Unix(socket.path.clone()));
        if let Some(listener) = same {
            let message = format!("listener `{}` binds {} too", listener.name, listener.bind);
            cx.complain(Diagnostic::new(Code::DuplicateBind, "/admin/socket/path", message));
        }
    }
    if admin.bind.ip().to_canonical().is_loopback() {
        return;
    }
    let bind = admin.bind;
    let (message, help) = if admin.is_open() {
        (
            format!("the admin API on {bind} would be open to others"),
            "name a file of tokens, which `weir token create` makes: `tokens: /etc/weir/tokens`; or bind it to 127.0.0.1",
        )
    } else if !admin.insecure && admin.tls.is_none() {
        (
            format!("tokens for the admin API on {bind} would cross the network in the clear"),
            "give it `tls`; or take the risk: `insecure: true`",
        )
    } else {
        return;
    };
    cx.complain(Diagnostic::new(Code::OpenAdmin, "/admin/bind", message).help(help));
}

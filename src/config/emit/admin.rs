//! The admin API in canonical form.

use super::{Map, Out, texts, tls};
use crate::config::model::{Admin, AdminClient, AdminSocket, AdminTls};

pub(super) fn admin(admin: &Admin) -> Map {
    Map::default()
        .put("bind", admin.bind.to_string())
        .some("hosts", admin.hosts.clone())
        .opt("public_url", admin.public_url.clone())
        .opt("tokens", admin.tokens.as_deref().map(tls::text))
        .opt("socket", admin.socket.as_ref().map(socket))
        .opt("tls", admin.tls.as_ref().map(admin_tls))
        .put("insecure", admin.insecure)
        .put("metrics", admin.metrics.as_str())
        .put("max_failures", admin.max_failures.to_string())
        .put("require_if_match", admin.require_if_match)
}

fn socket(socket: &AdminSocket) -> Map {
    let uids = socket.uids.iter().map(|(uid, role)| (uid.to_string(), role.as_str().into()));
    Map::default()
        .put("path", tls::text(&socket.path))
        .opt("mode", socket.mode.map(|mode| format!("{mode:04o}")))
        .some("uids", Out::Map(uids.collect()))
}

fn admin_tls(tls: &AdminTls) -> Map {
    let clients = tls.clients.as_ref().map(|clients| {
        Map::default()
            .put("ca_file", tls::text(&clients.ca_file))
            .put("roles", clients.roles.iter().map(client).collect::<Vec<_>>())
    });
    Map::default()
        .put("certificate", tls::certificate(&tls.certificate))
        .put("min_version", tls.min_version.as_str())
        .opt("clients", clients)
}

fn client(client: &AdminClient) -> Map {
    let (key, name) = client.says.parts();
    Map::default().put(key, name).put("role", client.role.as_str()).some("routes", texts(&client.routes))
}

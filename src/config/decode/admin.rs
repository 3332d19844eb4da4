//! The admin API.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Context,
    reader::{self, Object},
    tls,
    top::number,
};
use crate::{
    config::{
        code::Code,
        diagnostic::Diagnostic,
        model::{
            Admin, AdminClient, AdminClients, AdminSocket, AdminTls, CertificateName, OpenMetrics, TlsVersion,
        },
    },
    types::Role,
};

const ROLES: &[&str] = &["viewer", "operator", "admin"];

pub(super) fn admin(mut object: Object<'_>, cx: &mut Context) -> Admin {
    let hosts = object.list::<String>(cx, "hosts").into_iter();
    Admin {
        bind: object.get(cx, "bind"),
        hosts: hosts.map(|host| host.to_ascii_lowercase()).collect(),
        public_url: object.opt::<String>(cx, "public_url").map(|url| url.trim_end_matches('/').to_owned()),
        tokens: object.opt::<String>(cx, "tokens").map(PathBuf::from),
        socket: object.object(cx, "socket").map(|object| socket(object, cx)),
        tls: object.object(cx, "tls").map(|object| admin_tls(object, cx)),
        insecure: object.get(cx, "insecure"),
        metrics: match object.word(cx, "metrics") {
            "all" => OpenMetrics::All,
            "nobody" => OpenMetrics::Nobody,
            _ => OpenMetrics::Local,
        },
        max_failures: object.get(cx, "max_failures"),
        require_if_match: object.get(cx, "require_if_match"),
    }
}

fn socket(mut object: Object<'_>, cx: &mut Context) -> AdminSocket {
    let mut uids = BTreeMap::new();
    for (user, place) in object.entries(cx, "uids") {
        let word = reader::word(cx, &place, ROLES, ("admin_socket", "uids"));
        match user.as_str().parse::<u32>() {
            Ok(uid) => drop(uids.insert(uid, word.and_then(Role::of).unwrap_or(Role::Viewer))),
            Err(_) => {
                let message = format!("`{user}` is no number of a user");
                let wrong = Diagnostic::new(Code::UserNumber, &place.pointer, message);
                cx.report(wrong.help("`id -u NAME` prints it"), place.node.span);
            }
        }
    }
    AdminSocket {
        path: PathBuf::from(object.get::<String>(cx, "path")),
        mode: object.opt::<u64>(cx, "mode").map(number),
        uids,
    }
}

fn admin_tls(mut object: Object<'_>, cx: &mut Context) -> AdminTls {
    let certificate = object.object(cx, "certificate").map(|object| tls::certificate(object, cx));
    AdminTls {
        // What is missing was reported.
        certificate: certificate.unwrap_or_else(tls::no_certificate),
        min_version: match object.word(cx, "min_version") {
            "1.3" => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        clients: object.object(cx, "clients").map(|object| clients(object, cx)),
    }
}

fn clients(mut object: Object<'_>, cx: &mut Context) -> AdminClients {
    AdminClients {
        ca_file: PathBuf::from(object.get::<String>(cx, "ca_file")),
        roles: object.objects(cx, "roles").into_iter().map(|object| client(object, cx)).collect(),
    }
}

fn client(mut object: Object<'_>, cx: &mut Context) -> AdminClient {
    let common_name = object.opt(cx, "common_name").map(CertificateName::CommonName);
    let dns = object.opt::<String>(cx, "dns").map(|name| CertificateName::Dns(name.to_ascii_lowercase()));
    let uri = object.opt(cx, "uri").map(CertificateName::Uri);
    AdminClient {
        says: common_name.or(dns).or(uri).unwrap_or_else(|| CertificateName::CommonName(String::new())),
        role: Role::of(object.word(cx, "role")).unwrap_or(Role::Viewer),
        routes: object.list(cx, "routes"),
    }
}

//! TLS in canonical form.

use std::path::Path;

use super::{Map, duration};
use crate::config::model::{BackendTls, CertificateFiles, ListenerTls};

pub(super) fn listener(tls: &ListenerTls) -> Map {
    let client_auth = tls.client_auth.as_ref().map(|auth| {
        Map::default()
            .put("mode", if auth.required { "required" } else { "optional" })
            .put("ca_file", text(&auth.ca_file))
    });
    Map::default()
        .put("certificates", tls.certificates.iter().map(certificate).collect::<Vec<_>>())
        .put("min_version", tls.min_version.as_str())
        .opt("client_auth", client_auth)
        .put("handshake_timeout", duration(tls.handshake_timeout))
}

pub(super) fn backend(tls: &BackendTls) -> Map {
    Map::default()
        .opt("ca_file", tls.ca_file.as_deref().map(text))
        .opt("server_name", tls.server_name.clone())
        .put("verify", tls.verify)
        .opt("certificate", tls.certificate.as_ref().map(certificate))
}

pub(super) fn certificate(files: &CertificateFiles) -> Map {
    Map::default().put("cert_file", text(&files.cert_file)).put("key_file", text(&files.key_file))
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

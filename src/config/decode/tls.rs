//! TLS of listeners and backends.

use std::path::PathBuf;

use super::{Context, reader::Object};
use crate::config::model::{BackendTls, CertificateFiles, ClientAuth, ListenerTls, TlsVersion};

pub(super) fn listener(mut object: Object<'_>, cx: &mut Context) -> ListenerTls {
    let certificates = object.objects(cx, "certificates");
    ListenerTls {
        certificates: certificates.into_iter().map(|object| certificate(object, cx)).collect(),
        min_version: match object.word(cx, "min_version") {
            "1.3" => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        client_auth: object.object(cx, "client_auth").map(|object| client_auth(object, cx)),
        handshake_timeout: object.get(cx, "handshake_timeout"),
    }
}

pub(super) fn backend(mut object: Object<'_>, cx: &mut Context) -> BackendTls {
    BackendTls {
        ca_file: object.opt::<String>(cx, "ca_file").map(PathBuf::from),
        server_name: object.opt(cx, "server_name"),
        verify: object.get(cx, "verify"),
        certificate: object.object(cx, "certificate").map(|object| certificate(object, cx)),
    }
}

pub(super) fn certificate(mut object: Object<'_>, cx: &mut Context) -> CertificateFiles {
    CertificateFiles {
        cert_file: PathBuf::from(object.get::<String>(cx, "cert_file")),
        key_file: PathBuf::from(object.get::<String>(cx, "key_file")),
    }
}

/// What stands in for a certificate that is not there.
pub(super) fn no_certificate() -> CertificateFiles {
    CertificateFiles { cert_file: PathBuf::new(), key_file: PathBuf::new() }
}

fn client_auth(mut object: Object<'_>, cx: &mut Context) -> ClientAuth {
    ClientAuth {
        required: object.word(cx, "mode") == "required",
        ca_file: PathBuf::from(object.get::<String>(cx, "ca_file")),
    }
}

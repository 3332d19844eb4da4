//! The keys of TLS: what a listener shows, whom it asks, and how endpoints are spoken to.

use super::{Choice, Kind, Scalar, Shape, default, optional, required};

/// TLS of a listener.
pub(in crate::config) static LISTENER_TLS: Shape = Shape {
    name: "listener_tls",
    doc: "TLS of a listener.",
    choice: Choice::Free,
    keys: &[
        required(
            "certificates",
            Kind::List(&Kind::Object(&CERTIFICATE), 1),
            "What it shows. A client gets the one that has the name it asks for (exact, then wildcard), else the first.",
        ),
        default(
            "min_version",
            Kind::Word(&["1.2", "1.3"]),
            "1.2",
            "The oldest version of TLS that it speaks.",
        ),
        optional("client_auth", Kind::Object(&CLIENT_AUTH), "Asks clients for a certificate."),
        default(
            "handshake_timeout",
            Kind::Scalar(Scalar::Duration { min: 0 }),
            "5s",
            "For a whole handshake; `0s` means no limit.",
        ),
    ],
};

/// A certificate and its key.
pub(in crate::config) static CERTIFICATE: Shape = Shape {
    name: "certificate",
    doc: "A certificate chain and its key, PEM files. Read again when they change.",
    choice: Choice::Free,
    keys: &[
        required("cert_file", Kind::Scalar(Scalar::File), "The chain, the host's own certificate first."),
        required("key_file", Kind::Scalar(Scalar::File), "The private key."),
    ],
};

/// Client certificates.
pub(in crate::config) static CLIENT_AUTH: Shape = Shape {
    name: "client_auth",
    doc: "How clients are checked. Who a client is goes to the backend in X-Forwarded-Client-Cert.",
    choice: Choice::Free,
    keys: &[
        default(
            "mode",
            Kind::Word(&["required", "optional"]),
            "required",
            "Whether a client without a certificate is refused.",
        ),
        required(
            "ca_file",
            Kind::Scalar(Scalar::File),
            "Certificates of the authorities that vouch for clients, PEM. Read again when it changes.",
        ),
    ],
};

/// TLS to endpoints.
pub(in crate::config) static BACKEND_TLS: Shape = Shape {
    name: "backend_tls",
    doc: "TLS to the endpoints of a backend. `{}` is enough where the system's authorities vouch for them.",
    choice: Choice::Free,
    keys: &[
        optional(
            "ca_file",
            Kind::Scalar(Scalar::File),
            "Certificates of the authorities that vouch for endpoints, PEM. Without it, those of the system.",
        ),
        optional(
            "server_name",
            Kind::Scalar(Scalar::Domain),
            "The name that their certificates must have, and that is asked for (SNI). Without it, the endpoint's name, or its address where it has none.",
        ),
        default(
            "verify",
            Kind::Scalar(Scalar::Bool),
            "true",
            "`false` believes any certificate: whoever is between can read and change everything.",
        ),
        optional("certificate", Kind::Object(&CERTIFICATE), "What Weir shows when an endpoint asks for it."),
    ],
};

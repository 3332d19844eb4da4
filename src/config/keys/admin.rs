//! The keys of the admin API.

use super::{CERTIFICATE, Choice, Kind, Scalar, Shape, default, optional, required};

/// The words for roles.
const ROLES: &[&str] = &["viewer", "operator", "admin"];

/// The admin API.
pub(in crate::config) static ADMIN: Shape = Shape {
    name: "admin",
    doc: "The admin API: where it is, and who may ask. Every change needs a restart; the files that are named here are read \
          again when they change.",
    choice: Choice::Free,
    keys: &[
        default(
            "bind",
            Kind::Scalar(Scalar::Bind),
            "127.0.0.1:9900",
            "Its address. Others than loopback need `tokens` or client certificates, and `tls` or `insecure`.",
        ),
        optional(
            "hosts",
            Kind::List(&Kind::Scalar(Scalar::Domain), 1),
            "Names that it is asked by: `[weir.internal]`. Without it, those of the loopback and its own address only, so that no \
             web page can reach it by a name of its own (DNS rebinding).",
        ),
        optional(
            "public_url",
            Kind::Scalar(Scalar::Url),
            "The address by which people reach it: `https://weir.internal`. Messages about rollouts then have links to it, and links that \
             agree to a step or reject it. Its host is one of `hosts` without saying so. Without it, messages have no links.",
        ),
        optional(
            "tokens",
            Kind::Scalar(Scalar::File),
            "The file of tokens, which `weir token create` writes: who may do what. Without it, whoever can connect may do \
             everything, which only loopback allows. Read again when it changes.",
        ),
        optional("socket", Kind::Object(&ADMIN_SOCKET), "A unix socket, beside the address."),
        optional("tls", Kind::Object(&ADMIN_TLS), "TLS at the address. Without it, all is in the clear."),
        default(
            "insecure",
            Kind::Scalar(Scalar::Bool),
            "false",
            "`true` takes tokens in the clear on an address that is not loopback: whoever is between can read them.",
        ),
        default(
            "metrics",
            Kind::Word(&["local", "all", "nobody"]),
            "local",
            "Who reads `/metrics` without a token: `local`, those on this machine; `all`; `nobody`.",
        ),
        default(
            "max_failures",
            Kind::Scalar(Scalar::Rate),
            "20/m",
            "How many attempts of one address may fail; then they are answered with 429 for a while. A good token is always taken.",
        ),
        default(
            "require_if_match",
            Kind::Scalar(Scalar::Bool),
            "false",
            "`true` refuses changes (428) that do not say by `If-Match` which revision their sender has seen. The kill switch never asks.",
        ),
    ],
};

/// The unix socket.
pub(in crate::config) static ADMIN_SOCKET: Shape = Shape {
    name: "admin_socket",
    doc: "A unix socket of the admin API. The system says as which user a process runs that connects; nobody needs a token there.",
    choice: Choice::Free,
    keys: &[
        required("path", Kind::Scalar(Scalar::SocketPath), "Where it is. The directory must exist."),
        optional(
            "mode",
            Kind::Scalar(Scalar::FileMode),
            "The permissions of its file, in quotes. Without it, `\"0660\"`.",
        ),
        optional(
            "uids",
            Kind::Map(&Kind::Word(ROLES)),
            "What users may do, by their number: `{ 1000: operator }`. Root and the user that Weir runs as are admins, unless it \
             says otherwise; others who may connect need a token.",
        ),
    ],
};

/// TLS of the admin API.
pub(in crate::config) static ADMIN_TLS: Shape = Shape {
    name: "admin_tls",
    doc: "TLS of the admin API.",
    choice: Choice::Free,
    keys: &[
        required("certificate", Kind::Object(&CERTIFICATE), "What it shows."),
        default(
            "min_version",
            Kind::Word(&["1.2", "1.3"]),
            "1.2",
            "The oldest version of TLS that it speaks.",
        ),
        optional(
            "clients",
            Kind::Object(&ADMIN_CLIENTS),
            "Whom it knows by a certificate. Whoever shows none may send a token.",
        ),
    ],
};

/// Clients with certificates.
pub(in crate::config) static ADMIN_CLIENTS: Shape = Shape {
    name: "admin_clients",
    doc: "Who may do what by a certificate.",
    choice: Choice::Free,
    keys: &[
        required(
            "ca_file",
            Kind::Scalar(Scalar::File),
            "Certificates of the authorities that vouch for clients, PEM. Read again when it changes.",
        ),
        required(
            "roles",
            Kind::List(&Kind::Object(&ADMIN_CLIENT), 1),
            "Holders and their roles; the first that fits counts.",
        ),
    ],
};

/// The holder of a certificate.
pub(in crate::config) static ADMIN_CLIENT: Shape = Shape {
    name: "admin_client",
    doc: "The holder of a certificate, by one name in it.",
    choice: Choice::One(&["common_name", "dns", "uri"]),
    keys: &[
        optional("common_name", Kind::Scalar(Scalar::Word), "The common name of its subject."),
        optional("dns", Kind::Scalar(Scalar::Domain), "A DNS name among its subject's alternative names."),
        optional("uri", Kind::Scalar(Scalar::Word), "A URI among them, `spiffe://example.org/ci`."),
        required("role", Kind::Word(ROLES), "What the holder may do."),
        optional(
            "routes",
            Kind::List(&Kind::Scalar(Scalar::Name), 1),
            "The routes that the holder may change. Without it, all.",
        ),
    ],
};

//! The keys of the admin API.

use super::{Choice, Kind, Scalar, Shape, default, optional};

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
            "Its address. Others than loopback need `tokens`, and `insecure`.",
        ),
        optional(
            "hosts",
            Kind::List(&Kind::Scalar(Scalar::Domain), 1),
            "Names that it is asked by: `[weir.internal]`. Without it, those of the loopback and its own address only, so that no \
             web page can reach it by a name of its own (DNS rebinding).",
        ),
        optional(
            "tokens",
            Kind::Scalar(Scalar::File),
            "The file of tokens, which `weir token create` writes: who may do what. Without it, whoever can connect may do \
             everything, which only loopback allows. Read again when it changes.",
        ),
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
    ],
};

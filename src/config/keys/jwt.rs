//! The keys of verified tokens: who signs them, where they are, what a route does with them.

use super::{Choice, Kind, Scalar, Shape, default, optional, required};

/// The words for algorithms: RFC 7518, section 3.1, and RFC 8037.
pub(in crate::config) const ALGORITHMS: &[&str] = &[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384",
    "HS512",
];

/// Who signs tokens.
pub(in crate::config) static JWT_PROVIDER: Shape = Shape {
    name: "jwt_provider",
    doc: "Whose tokens are trusted, and by which keys. A token must be signed, have `exp`, and be for us; `alg: none` is no \
          signature, and a key verifies only algorithms of its own kind. Key files are read again when they change.",
    choice: Choice::One(&["keys_file", "jwks_file"]),
    keys: &[
        optional("issuer", Kind::Scalar(Scalar::Word), "The `iss` of its tokens. Without it, any."),
        optional(
            "audience",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Word)),
            "The `aud` of tokens for us, one of these. Without it, only tokens without `aud`.",
        ),
        optional(
            "keys_file",
            Kind::Scalar(Scalar::File),
            "Public keys in PEM, one or several: RSA, P-256, P-384, Ed25519.",
        ),
        optional(
            "jwks_file",
            Kind::Scalar(Scalar::File),
            "A JSON Web Key Set. Its keys may have an id, and may be secrets (`oct`) of at least 32 bytes.",
        ),
        optional(
            "algorithms",
            Kind::List(&Kind::Word(ALGORITHMS), 1),
            "Takes only these of the algorithms that the keys have. Without it, all of those.",
        ),
        optional(
            "token",
            Kind::OneOrMore(&Kind::Object(&TOKEN_SOURCE)),
            "Where the token is, the first that is there. Without it, `{ header: Authorization }`.",
        ),
        default(
            "leeway",
            Kind::Scalar(Scalar::Duration { min: 0 }),
            "60s",
            "How wrong clocks may be, for `exp` and `nbf`.",
        ),
    ],
};

/// Where a token is.
pub(in crate::config) static TOKEN_SOURCE: Shape = Shape {
    name: "token_source",
    doc: "Where a token is.",
    choice: Choice::One(&["header", "cookie", "query"]),
    keys: &[
        optional(
            "header",
            Kind::Scalar(Scalar::HeaderName),
            "In this header; in `Authorization` behind `Bearer`, in others with or without it.",
        ),
        optional("cookie", Kind::Scalar(Scalar::CookieName), "In this cookie."),
        optional("query", Kind::Scalar(Scalar::QueryName), "In this query parameter, which servers log."),
    ],
};

/// What a route does with tokens.
pub(in crate::config) static ROUTE_JWT: Shape = Shape {
    name: "route_jwt",
    doc: "Verifies the user's token, so that its claims can be used. What cannot be trusted counts as absent.",
    choice: Choice::Free,
    keys: &[
        required("provider", Kind::Scalar(Scalar::Name), "Whose tokens."),
        default(
            "required",
            Kind::Scalar(Scalar::Bool),
            "true",
            "Whether requests without a good token get 401. With `false` they go on, without claims.",
        ),
        default(
            "forward",
            Kind::Scalar(Scalar::Bool),
            "true",
            "Whether the backend gets the header that has the token. Cookies and queries always go on.",
        ),
        optional(
            "claims",
            Kind::Map(&Kind::Scalar(Scalar::Word)),
            "Headers for the backend, each with a claim of the token: `{ X-User-Id: sub }`. What the client sends under \
             these names is removed.",
        ),
    ],
};

/// A claim.
pub(in crate::config) static CLAIM_MATCH: Shape = Shape {
    name: "claim_match",
    doc: "A claim of the user's verified token and what its value must be. Of a list, one of its values.",
    choice: super::routing::VALUE,
    keys: &[
        required("claim", Kind::Scalar(Scalar::Word), "The claim."),
        super::routing::EXACT,
        super::routing::IN,
        super::routing::PREFIX,
        super::routing::CONTAINS,
        super::routing::REGEX,
        super::routing::PRESENT,
    ],
};

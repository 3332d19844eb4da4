//! The keys of conditions, routes, rules and splits.

use super::{
    ACCESS, CLAIM_MATCH, CORS, Choice, FAULT, Key, Kind, MIN_BODY_RATE, MIRROR, RATE_LIMIT, REDIRECT,
    RESPOND, RETRY, REWRITE, ROLLOUT, ROUTE_HEADERS, ROUTE_JWT, Scalar, Shape, default, optional, required,
};

const ANY_DURATION: Kind = Kind::Scalar(Scalar::Duration { min: 0 });
const BACKEND_NAME: Kind = Kind::Scalar(Scalar::Name);
const HEADERS: Kind = Kind::OneOrMore(&Kind::Object(&HEADER_MATCH));
const COOKIES: Kind = Kind::OneOrMore(&Kind::Object(&COOKIE_MATCH));
const QUERIES: Kind = Kind::OneOrMore(&Kind::Object(&QUERY_MATCH));
const METHODS: Kind = Kind::OneOrMore(&Kind::Scalar(Scalar::Method));

/// A condition of a segment or rule.
pub(in crate::config) static CONDITION: Shape = Shape {
    name: "condition",
    doc: "A condition over a request. All keys that are given must hold.",
    choice: Choice::Some,
    keys: &[
        optional("all", Kind::List(&Kind::Object(&CONDITION), 1), "Every one of these holds."),
        optional("any", Kind::List(&Kind::Object(&CONDITION), 1), "At least one of these holds."),
        optional("not", Kind::Object(&CONDITION), "This does not hold."),
        optional("header", HEADERS, "Header fields that must match, all of them."),
        optional("cookie", COOKIES, "Cookies that must match, all of them."),
        optional("query", QUERIES, "Query parameters that must match, all of them."),
        optional(
            "jwt",
            Kind::OneOrMore(&Kind::Object(&CLAIM_MATCH)),
            "Claims of the user's verified token that must match, all of them.",
        ),
        optional("method", METHODS, "The method is one of these."),
        optional("path", Kind::Object(&PATH_MATCH), "The path matches."),
        optional("segment", Kind::Scalar(Scalar::Name), "The condition of that segment holds."),
        optional(
            "region",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Name)),
            "The region is one of these. `ZZ` is the unknown one.",
        ),
        optional(
            "client_ip",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Cidr)),
            "The client's address is in one of these.",
        ),
        optional(
            "fraction",
            Kind::Either(&[Kind::Scalar(Scalar::Percent), Kind::Object(&FRACTION)]),
            "The user is in this share of users, drawn by bucket.",
        ),
    ],
};

/// A fraction with a salt.
pub(in crate::config) static FRACTION: Shape = Shape {
    name: "fraction",
    doc: "A share of users with its own salt.",
    choice: Choice::Free,
    keys: &[
        required("percent", Kind::Scalar(Scalar::Percent), "The share."),
        optional(
            "salt",
            Kind::Scalar(Scalar::Word),
            "What identities are hashed with; equal salts draw the same users. Without it, the segment's name, or the \
             route's and rule's.",
        ),
    ],
};

pub(super) const EXACT: Key = optional("exact", Kind::Scalar(Scalar::Text), "The value is exactly this.");
pub(super) const IN: Key =
    optional("in", Kind::List(&Kind::Scalar(Scalar::Text), 1), "The value is one of these.");
pub(super) const PREFIX: Key = optional("prefix", Kind::Scalar(Scalar::Text), "The value begins so.");
pub(super) const CONTAINS: Key = optional("contains", Kind::Scalar(Scalar::Text), "The value contains this.");
pub(super) const REGEX: Key =
    optional("regex", Kind::Scalar(Scalar::Regex), "The whole value matches this (crate `regex`).");
pub(super) const PRESENT: Key = optional(
    "present",
    Kind::Scalar(Scalar::True),
    "`true`: there is a value. So it is without any of these.",
);
pub(super) const VALUE: Choice =
    Choice::AtMostOne(&["exact", "in", "prefix", "contains", "regex", "present"]);

/// A header field.
pub(in crate::config) static HEADER_MATCH: Shape = Shape {
    name: "header_match",
    doc: "A header field and what its value must be. Values are compared with their case.",
    choice: VALUE,
    keys: &[
        required("name", Kind::Scalar(Scalar::HeaderName), "The header, in any case."),
        EXACT,
        IN,
        PREFIX,
        CONTAINS,
        REGEX,
        PRESENT,
    ],
};

/// A cookie.
pub(in crate::config) static COOKIE_MATCH: Shape = Shape {
    name: "cookie_match",
    doc: "A cookie and what its value must be.",
    choice: VALUE,
    keys: &[
        required("name", Kind::Scalar(Scalar::CookieName), "The cookie."),
        EXACT,
        IN,
        PREFIX,
        CONTAINS,
        REGEX,
        PRESENT,
    ],
};

/// A query parameter.
pub(in crate::config) static QUERY_MATCH: Shape = Shape {
    name: "query_match",
    doc: "A query parameter and what its value must be.",
    choice: VALUE,
    keys: &[
        required("name", Kind::Scalar(Scalar::QueryName), "The parameter."),
        EXACT,
        IN,
        PREFIX,
        CONTAINS,
        REGEX,
        PRESENT,
    ],
};

/// A path.
pub(in crate::config) static PATH_MATCH: Shape = Shape {
    name: "path_match",
    doc: "What the path must be.",
    choice: Choice::One(&["exact", "prefix", "regex"]),
    keys: &[
        optional("exact", Kind::Scalar(Scalar::Path), "Exactly this."),
        optional(
            "prefix",
            Kind::Scalar(Scalar::Path),
            "This, by whole segments: `/a` matches `/a` and `/a/b`, not `/ab`.",
        ),
        optional("regex", Kind::Scalar(Scalar::Regex), "The whole path matches this (crate `regex`)."),
    ],
};

/// A route.
pub(in crate::config) static ROUTE: Shape = Shape {
    name: "route",
    doc: "Which requests, and which backends they are split over, or what they are answered without one.",
    choice: Choice::One(&["split", "backend", "redirect", "respond"]),
    keys: &[
        required("name", Kind::Scalar(Scalar::Name), "Its name, a metric label."),
        optional(
            "match",
            Kind::OneOrMore(&Kind::Object(&ROUTE_MATCH)),
            "The requests it takes: one map, or a list of which any may match. Without it, all.",
        ),
        optional(
            "rules",
            Kind::List(&Kind::Object(&RULE), 0),
            "Rules that beat the split; the first that applies wins.",
        ),
        optional("split", Kind::Object(&SPLIT), "How all other requests are split."),
        optional(
            "backend",
            BACKEND_NAME,
            "Instead of `split`: everything to this backend, nothing to stick to (`key: none`).",
        ),
        optional("redirect", Kind::Object(&REDIRECT), "Instead of `split`: sends clients elsewhere."),
        optional("respond", Kind::Object(&RESPOND), "Instead of `split`: answers always the same."),
        optional("timeouts", Kind::Object(&TIMEOUTS), "Upstream timeouts."),
        optional("access", Kind::Object(&ACCESS), "Which client addresses it takes."),
        optional("cors", Kind::Object(&CORS), "Which pages of other origins may use it."),
        optional(
            "rate_limit",
            Kind::OneOrMore(&Kind::Object(&RATE_LIMIT)),
            "How often it may be asked: one limit, or a list of which all must agree.",
        ),
        optional(
            "max_body",
            Kind::Scalar(Scalar::Size { min: 1, max: 1 << 40 }),
            "How large a request's body may be; at most 1 TiB. What is larger gets 413, before anything of it goes to a backend where its \
             length is told, else as soon as it is known. Without it, any size.",
        ),
        optional(
            "min_body_rate",
            Kind::Either(&[
                Kind::Scalar(Scalar::Size { min: 1, max: 1 << 40 }),
                Kind::Object(&MIN_BODY_RATE),
            ]),
            "How many bytes of a request's body must come in a second; who is slower gets 408. Not of gRPC calls, nor once the response has \
             begun. Without it, `stream_idle` alone.",
        ),
        optional("fault", Kind::Object(&FAULT), "Failures made on purpose."),
        optional("mirror", Kind::Object(&MIRROR), "Copies of its requests for another backend."),
        optional("headers", Kind::Object(&ROUTE_HEADERS), "Changes of header fields."),
        optional("rewrite", Kind::Object(&REWRITE), "Another path or Host for the backend."),
        optional("retry", Kind::Object(&RETRY), "What is sent again, beside what certainly was not seen."),
        default(
            "shield",
            Kind::Scalar(Scalar::Bool),
            "false",
            "When a backend other than the baseline fails a request that may be sent twice, by a status of 500 and above or \
             without an answer, the baseline is asked, and the client gets its answer. The failure still counts.",
        ),
        optional("jwt", Kind::Object(&ROUTE_JWT), "Which tokens it verifies."),
        optional("rollout", Kind::Object(&ROLLOUT), "How a new version gets its traffic."),
    ],
};

/// What a route takes.
pub(in crate::config) static ROUTE_MATCH: Shape = Shape {
    name: "route_match",
    doc: "Requests that a route takes. All keys that are given must hold.",
    choice: Choice::Free,
    keys: &[
        optional(
            "scheme",
            Kind::Word(&["http", "https"]),
            "What the client speaks, to Weir or to a trusted proxy that says so in `X-Forwarded-Proto`. A match that names it comes \
             before all that do not.",
        ),
        optional(
            "hosts",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Host)),
            "Hosts, without port and in any case; `\"*.example.com\"` is any host below it.",
        ),
        optional("path", Kind::Object(&PATH_MATCH), "The path."),
        optional("method", METHODS, "Any of these methods."),
        optional("header", HEADERS, "Header fields that must match, all of them."),
        optional("query", QUERIES, "Query parameters that must match, all of them."),
        optional("cookie", COOKIES, "Cookies that must match, all of them."),
    ],
};

/// A rule.
pub(in crate::config) static RULE: Shape = Shape {
    name: "rule",
    doc: "Sends requests somewhere, before the split is asked.",
    choice: Choice::One(&["backend", "split"]),
    keys: &[
        optional("name", Kind::Scalar(Scalar::Name), "Its name in logs; without it `rule-1`, `rule-2`, …"),
        required(
            "match",
            Kind::OneOrMore(&Kind::Object(&CONDITION)),
            "When it applies: a condition, or a list of which any may hold.",
        ),
        optional("backend", BACKEND_NAME, "To this backend."),
        optional(
            "split",
            Kind::Either(&[Kind::Map(&Kind::Scalar(Scalar::Weight)), Kind::List(&Kind::Object(&SHARE), 1)]),
            "By the user's bucket, e.g. `{ stable: 75, canary: 25 }`.",
        ),
    ],
};

/// A share of a rule's split.
pub(in crate::config) static SHARE: Shape = Shape {
    name: "share",
    doc: "A backend's share of a rule's split.",
    choice: Choice::Free,
    keys: &[
        required("name", BACKEND_NAME, "Which backend."),
        required("weight", Kind::Scalar(Scalar::Weight), "Its weight relative to the others."),
    ],
};

/// A route's split.
pub(in crate::config) static SPLIT: Shape = Shape {
    name: "split",
    doc: "How a route's requests are split.",
    choice: Choice::Free,
    keys: &[
        optional(
            "key",
            Kind::Either(&[
                Kind::Word(&["none"]),
                Kind::OneOrMore(&Kind::Either(&[Kind::Word(&["client_ip"]), Kind::Object(&KEY_SOURCE)])),
            ]),
            "What identifies a user, the first that is present: `- header: NAME`, `- cookie: NAME`, \
             `- jwt: CLAIM`, `- client_ip`. Without it, the assignment cookie alone. `none`: each request is drawn by itself.",
        ),
        optional(
            "salt",
            Kind::Scalar(Scalar::Word),
            "What identities are hashed with. Without it, the route's name.",
        ),
        required(
            "backends",
            Kind::Either(&[
                Kind::Map(&Kind::Scalar(Scalar::Weight)),
                Kind::List(&Kind::Object(&SPLIT_BACKEND), 1),
            ]),
            "The backends, 1 to 64, the first is the baseline: a list, or in short `{ stable: 95, canary: 5 }`.",
        ),
        optional("sticky", Kind::Object(&STICKY), "How users stay on their backend."),
        default(
            "on_unavailable",
            Kind::Word(&["fallback", "fail"]),
            "fallback",
            "When the chosen backend cannot take a request: `fallback` to the healthy one with the highest weight, or \
             `fail` with 503.",
        ),
    ],
};

/// A source of identity.
pub(in crate::config) static KEY_SOURCE: Shape = Shape {
    name: "key_source",
    doc: "What identifies a user.",
    choice: Choice::One(&["header", "cookie", "jwt"]),
    keys: &[
        optional("header", Kind::Scalar(Scalar::HeaderName), "The value of this header."),
        optional("cookie", Kind::Scalar(Scalar::CookieName), "The value of this cookie of the application."),
        optional("jwt", Kind::Scalar(Scalar::Word), "The value of this claim of the user's verified token."),
    ],
};

/// A backend of a split.
pub(in crate::config) static SPLIT_BACKEND: Shape = Shape {
    name: "split_backend",
    doc: "A backend's place in a split.",
    choice: Choice::Free,
    keys: &[
        required("name", BACKEND_NAME, "Which backend."),
        required(
            "weight",
            Kind::Scalar(Scalar::Weight),
            "Its weight relative to the others, 0 to 1,000,000 with up to six decimals.",
        ),
        default(
            "state",
            Kind::Word(&["active", "drain", "off"]),
            "active",
            "`drain` keeps pinned users and takes no new ones, `off` takes nobody.",
        ),
    ],
};

/// Stickiness.
pub(in crate::config) static STICKY: Shape = Shape {
    name: "sticky",
    doc: "How users stay on their backend.",
    choice: Choice::Free,
    keys: &[
        default(
            "mode",
            Kind::Word(&["bucket", "pin", "none"]),
            "bucket",
            "`bucket`: as long as the weights give it to the user's bucket. `pin`: until the cookie ages out. `none`: \
             not at all.",
        ),
        optional(
            "cookie",
            Kind::Either(&[Kind::Word(&["off"]), Kind::Object(&STICKY_COOKIE)]),
            "The assignment cookie; `off` sets none.",
        ),
        default(
            "max_age",
            Kind::Scalar(Scalar::Duration { min: 1000 }),
            "30d",
            "How long the cookie counts; at least 1s.",
        ),
    ],
};

/// The assignment cookie.
pub(in crate::config) static STICKY_COOKIE: Shape = Shape {
    name: "sticky_cookie",
    doc: "The assignment cookie's attributes.",
    choice: Choice::Free,
    keys: &[
        default("name", Kind::Scalar(Scalar::CookieName), "weir", "Its name."),
        default(
            "same_site",
            Kind::Word(&["lax", "strict", "none"]),
            "lax",
            "Its SameSite attribute; `none` needs `secure: true`.",
        ),
        default("path", Kind::Scalar(Scalar::CookiePath), "/", "Its Path attribute."),
        optional("domain", Kind::Scalar(Scalar::Domain), "Its Domain attribute."),
        optional(
            "secure",
            Kind::Scalar(Scalar::Bool),
            "Whether it is marked Secure. Without it, on TLS listeners only.",
        ),
    ],
};

/// Upstream timeouts.
pub(in crate::config) static TIMEOUTS: Shape = Shape {
    name: "timeouts",
    doc: "Upstream timeouts; `0s` means none.",
    choice: Choice::Free,
    keys: &[
        default("connect", ANY_DURATION, "2s", "To a TCP connection."),
        default(
            "response_headers",
            ANY_DURATION,
            "15s",
            "From the whole request sent to the response's head.",
        ),
        default("stream_idle", ANY_DURATION, "60s", "Without a byte in either direction."),
        default("tunnel_idle", ANY_DURATION, "1h", "The same for WebSocket and other upgraded connections."),
    ],
};

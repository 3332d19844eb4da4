//! The keys of traffic policy: what a route does to requests beside sending them somewhere.

use super::{Choice, Kind, Scalar, Shape, default, optional, required};

const NETWORKS: Kind = Kind::List(&Kind::Scalar(Scalar::Cidr), 1);
const FIELDS: Kind = Kind::Map(&Kind::Scalar(Scalar::Text));

/// Who may ask.
pub(in crate::config) static ACCESS: Shape = Shape {
    name: "access",
    doc: "Which client addresses a route takes; the others get 403. `deny` wins over `allow`.",
    choice: Choice::Some,
    keys: &[
        optional("allow", NETWORKS, "Only these. Without it, everybody."),
        optional("deny", NETWORKS, "Not these."),
    ],
};

/// Changes of header fields.
pub(in crate::config) static ROUTE_HEADERS: Shape = Shape {
    name: "route_headers",
    doc: "Changes of header fields, after Weir's own rules.",
    choice: Choice::Some,
    keys: &[
        optional("request", Kind::Object(&HEADER_EDITS), "Of what goes to the backend."),
        optional(
            "response",
            Kind::Object(&HEADER_EDITS),
            "Of what goes to the client, responses that Weir makes on this route among them.",
        ),
    ],
};

/// Changes in one direction.
pub(in crate::config) static HEADER_EDITS: Shape = Shape {
    name: "header_edits",
    doc: "Changes of header fields in one direction. Names in any case; fields that belong to one connection, that frame \
          a message, or that Weir itself writes cannot be changed.",
    choice: Choice::Some,
    keys: &[
        optional("add", FIELDS, "Fields to add, beside those of the same name."),
        optional("set", FIELDS, "Fields to put in place of all of the same name."),
        optional(
            "remove",
            Kind::List(&Kind::Scalar(Scalar::HeaderName), 1),
            "Fields to remove, all of that name.",
        ),
    ],
};

/// What is sent on in place of what was asked for.
pub(in crate::config) static REWRITE: Shape = Shape {
    name: "rewrite",
    doc: "Sends another path or Host to the backend than the client asked for. The query stays.",
    choice: Choice::Some,
    keys: &[
        optional(
            "strip_prefix",
            Kind::Scalar(Scalar::Path),
            "Takes this off the front of the path, by whole segments, where it is there.",
        ),
        optional("prefix", Kind::Scalar(Scalar::Path), "Puts this in front of the path, after stripping."),
        optional("host", Kind::Scalar(Scalar::Authority), "The Host. `X-Forwarded-Host` keeps the client's."),
    ],
};

/// How often a route may be asked.
pub(in crate::config) static RATE_LIMIT: Shape = Shape {
    name: "rate_limit",
    doc: "How often a route may be asked, by the generic cell rate algorithm; what is over gets 429 with `Retry-After`. All workers \
          share the counts, and they outlive reloads that do not change the limit.",
    choice: Choice::Free,
    keys: &[
        required(
            "key",
            Kind::Either(&[Kind::Word(&["client_ip", "route"]), Kind::Object(&RATE_KEY)]),
            "What counts by itself: `client_ip` (of IPv6 the first 64 bits), a value of a header as `{ header: NAME }`, or the whole \
             `route`.",
        ),
        required(
            "rate",
            Kind::Scalar(Scalar::Rate),
            "How many in the long run: in a second, `100/s`, or in `m`, `h`, `d`.",
        ),
        optional(
            "burst",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1_000_000 }),
            "How many at once, after a pause. Without it, the number of `rate`.",
        ),
        default(
            "max_keys",
            Kind::Scalar(Scalar::Integer { min: 1, max: 10_000_000 }),
            "100000",
            "How many keys are remembered, at about 20 bytes each. With more, those that have asked least are forgotten.",
        ),
    ],
};

/// Pages of other origins.
pub(in crate::config) static CORS: Shape = Shape {
    name: "cors",
    doc: "Which pages of other origins may use a route. Weir answers preflights itself, and writes the `Access-Control-*` fields of all \
          responses in place of the backend.",
    choice: Choice::Free,
    keys: &[
        required(
            "origins",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Word)),
            "Origins as browsers send them: `https://shop.example.com`; `https://*.example.com`, any host below it; or `*`, everybody.",
        ),
        optional(
            "methods",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Method)),
            "Methods that pages may use; `*` is any. Without it, GET, HEAD and POST.",
        ),
        optional(
            "headers",
            Kind::OneOrMore(&Kind::Scalar(Scalar::HeaderName)),
            "Headers that pages may send beside those that need no permission; `*` is any.",
        ),
        optional(
            "expose",
            Kind::OneOrMore(&Kind::Scalar(Scalar::HeaderName)),
            "Response headers that pages may read beside those that need no permission.",
        ),
        default(
            "credentials",
            Kind::Scalar(Scalar::Bool),
            "false",
            "Whether requests may carry cookies and other credentials. Not with origin `*`.",
        ),
        optional(
            "max_age",
            Kind::Scalar(Scalar::Duration { min: 0 }),
            "How long a browser may remember the answer to a preflight. Without it, what the browser likes, mostly 5s.",
        ),
    ],
};

/// How fast bodies must come.
pub(in crate::config) static MIN_BODY_RATE: Shape = Shape {
    name: "min_body_rate",
    doc: "How fast a request's body must come, on average over the time in which Weir waits for the client.",
    choice: Choice::Free,
    keys: &[
        required("per_second", Kind::Scalar(Scalar::Size { min: 1, max: 1 << 40 }), "Bytes in a second."),
        default(
            "grace",
            Kind::Scalar(Scalar::Duration { min: 1 }),
            "5s",
            "How long the client may take beside that; at least 1ms.",
        ),
    ],
};

/// A header that a limit counts by.
pub(in crate::config) static RATE_KEY: Shape = Shape {
    name: "rate_key",
    doc: "What a limit counts by.",
    choice: Choice::Free,
    keys: &[required(
        "header",
        Kind::Scalar(Scalar::HeaderName),
        "The value of this header. Requests without it count by the client's address. Only as good as who writes it: a client that may \
         choose it has as many limits as it has ideas.",
    )],
};

/// Failures made on purpose.
pub(in crate::config) static FAULT: Shape = Shape {
    name: "fault",
    doc: "Failures made on purpose, for drills. They count against no backend: not for its health, gates or durations.",
    choice: Choice::Some,
    keys: &[
        optional("delay", Kind::Object(&FAULT_DELAY), "Holds requests up before they go to a backend."),
        optional(
            "abort",
            Kind::Object(&FAULT_ABORT),
            "Answers requests in place of a backend, after the delay if there is one.",
        ),
        optional(
            "header",
            Kind::OneOrMore(&Kind::Object(&super::routing::HEADER_MATCH)),
            "Only requests with all of these header fields. Without it, any.",
        ),
    ],
};

/// Requests that are held up.
pub(in crate::config) static FAULT_DELAY: Shape = Shape {
    name: "fault_delay",
    doc: "Requests that are held up.",
    choice: Choice::Free,
    keys: &[
        required("time", Kind::Scalar(Scalar::Duration { min: 1 }), "How long; at least 1ms."),
        default("percent", Kind::Scalar(Scalar::Percent), "100%", "How many, drawn one by one."),
    ],
};

/// Requests that are not sent on.
pub(in crate::config) static FAULT_ABORT: Shape = Shape {
    name: "fault_abort",
    doc: "Requests that are answered in place of a backend.",
    choice: Choice::Free,
    keys: &[
        default(
            "status",
            Kind::Scalar(Scalar::Integer { min: 400, max: 599 }),
            "503",
            "The status, 400 to 599.",
        ),
        default("percent", Kind::Scalar(Scalar::Percent), "100%", "How many, drawn one by one."),
    ],
};

/// An answer that sends clients elsewhere.
pub(in crate::config) static REDIRECT: Shape = Shape {
    name: "redirect",
    doc: "Sends clients elsewhere, always with an absolute `Location`. What is not given stays as it was asked for, and so does the \
          query.",
    choice: Choice::AtMostOne(&["path", "prefix"]),
    keys: &[
        optional("scheme", Kind::Word(&["https", "http"]), "The scheme."),
        optional("host", Kind::Scalar(Scalar::Domain), "The host, without port."),
        optional(
            "port",
            Kind::Scalar(Scalar::Integer { min: 1, max: 65_535 }),
            "The port. Without it, the scheme's own if scheme or host change.",
        ),
        optional("path", Kind::Scalar(Scalar::Path), "The path."),
        optional(
            "prefix",
            Kind::Scalar(Scalar::Path),
            "Takes the place of the prefix that the route matches; every `match` needs a `path: { prefix: … }` then.",
        ),
        default(
            "status",
            Kind::Scalar(Scalar::Integer { min: 301, max: 308 }),
            "302",
            "301, 302, 303, 307 or 308. 307 and 308 keep the method; 301 and 308 are remembered by browsers.",
        ),
    ],
};

/// An answer that is always the same.
pub(in crate::config) static RESPOND: Shape = Shape {
    name: "respond",
    doc: "Answers always the same.",
    choice: Choice::Free,
    keys: &[
        required("status", Kind::Scalar(Scalar::Integer { min: 200, max: 599 }), "The status."),
        optional("body", Kind::Scalar(Scalar::Body), "The body; without it, none."),
        default("content_type", Kind::Scalar(Scalar::Word), "text/plain; charset=utf-8", "What the body is."),
    ],
};

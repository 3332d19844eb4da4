//! The keys of the file itself, of listeners and of backends.

use super::{
    ADMIN, BACKEND_TLS, CIRCUIT_BREAKER, CONDITION, Choice, DNS, JWT_PROVIDER, Kind, LISTENER_TLS,
    NOTIFICATION, OUTLIER_DETECTION, PROXY_PROTOCOL, ROUTE, STORE, Scalar, Shape, TOTAL_LIMITS, default,
    optional, required,
};

const ANY_DURATION: Kind = Kind::Scalar(Scalar::Duration { min: 0 });
const NETWORKS: Kind = Kind::List(&Kind::Scalar(Scalar::Cidr), 0);

/// The whole file.
pub(in crate::config) static ROOT: Shape = Shape {
    name: "file",
    doc: "The whole control file.",
    choice: Choice::Free,
    keys: &[
        default(
            "version",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1 }),
            "1",
            "The version of the file format.",
        ),
        default(
            "workers",
            Kind::Scalar(Scalar::Integer { min: 0, max: 1024 }),
            "0",
            "Data-plane threads; 0 is one per core. A change needs a restart.",
        ),
        optional(
            "data_dir",
            Kind::Scalar(Scalar::File),
            "The folder of what must survive a restart; without it, a folder beside this file. A change needs a restart.",
        ),
        optional("store", Kind::Object(&STORE), "How much of what was is kept. A change needs a restart."),
        optional(
            "trusted_proxies",
            NETWORKS,
            "Peers whose forwarding headers are believed; `unix` is all that come over unix sockets. Without it, none.",
        ),
        optional("geo", Kind::Object(&GEO), "Where regions come from."),
        optional("admin", Kind::Object(&ADMIN), "The admin API. A change needs a restart."),
        optional("access_log", Kind::Object(&ACCESS_LOG), "Where requests are logged."),
        optional("drain", Kind::Object(&DRAIN), "How Weir stops on SIGTERM."),
        optional("dns", Kind::Object(&DNS), "Who is asked for the addresses of endpoints by name."),
        optional("limits", Kind::Object(&TOTAL_LIMITS), "What all clients together may cost."),
        required(
            "listeners",
            Kind::List(&Kind::Object(&LISTENER), 1),
            "Sockets that take requests. Names and addresses are unique.",
        ),
        required(
            "backends",
            Kind::Map(&Kind::Object(&BACKEND)),
            "Versions of services that traffic is split over, by name.",
        ),
        optional(
            "segments",
            Kind::Map(&Kind::Object(&CONDITION)),
            "Named conditions, for use in rules and other segments.",
        ),
        optional("jwt", Kind::Map(&Kind::Object(&JWT_PROVIDER)), "Whose tokens are trusted, by name."),
        optional(
            "notifications",
            Kind::Map(&Kind::Object(&NOTIFICATION)),
            "Where people are told of rollouts, by name.",
        ),
        required(
            "routes",
            Kind::List(&Kind::Object(&ROUTE), 1),
            "Which requests go where. The most specific match wins: exact host, wildcard host, any; exact path, longest \
             prefix; method; number of headers; number of query parameters; then the order of the file.",
        ),
    ],
};

/// Regions.
pub(in crate::config) static GEO: Shape = Shape {
    name: "geo",
    doc: "Sources of a request's region, tried in this order after the listener's own label; else it is `ZZ`.",
    choice: Choice::Free,
    keys: &[
        optional(
            "trusted_header",
            Kind::OneOrMore(&Kind::Object(&TRUSTED_HEADER)),
            "Headers that name the region when the peer is to be believed.",
        ),
        optional(
            "database",
            Kind::Scalar(Scalar::File),
            "A MaxMind database (country or city), read by client address. Read again when it changes.",
        ),
        optional(
            "networks",
            Kind::List(&Kind::Object(&GEO_NETWORK), 0),
            "Regions by network; the longest prefix wins.",
        ),
    ],
};

/// A header that names the region.
pub(in crate::config) static TRUSTED_HEADER: Shape = Shape {
    name: "trusted_header",
    doc: "A header that names the region.",
    choice: Choice::Free,
    keys: &[
        required("name", Kind::Scalar(Scalar::HeaderName), "The header, e.g. `CF-IPCountry`."),
        optional("from", NETWORKS, "Peers it is believed from. Without it, `trusted_proxies`."),
    ],
};

/// A network of a region.
pub(in crate::config) static GEO_NETWORK: Shape = Shape {
    name: "geo_network",
    doc: "A network and its region.",
    choice: Choice::Free,
    keys: &[
        required("cidr", Kind::Scalar(Scalar::Cidr), "The addresses."),
        required("region", Kind::Scalar(Scalar::Name), "Their region."),
    ],
};

/// The access log.
pub(in crate::config) static ACCESS_LOG: Shape = Shape {
    name: "access_log",
    doc: "The access log, one line of JSON per request.",
    choice: Choice::Free,
    keys: &[
        default(
            "path",
            Kind::Scalar(Scalar::LogTarget),
            "off",
            "`stdout`, `off`, or a file that is appended to (its name has a `/`).",
        ),
        default(
            "sample",
            Kind::Scalar(Scalar::Percent),
            "100%",
            "The share of successful requests that is logged; errors always are.",
        ),
        default("query", Kind::Scalar(Scalar::Bool), "false", "Whether query strings are logged."),
    ],
};

/// Stopping.
pub(in crate::config) static DRAIN: Shape = Shape {
    name: "drain",
    doc: "How Weir stops on SIGTERM.",
    choice: Choice::Free,
    keys: &[
        default("delay", ANY_DURATION, "0s", "How long listeners still accept after readiness fails."),
        default("timeout", ANY_DURATION, "30s", "How long requests under way may take after that."),
    ],
};

/// A listener.
pub(in crate::config) static LISTENER: Shape = Shape {
    name: "listener",
    doc: "A socket that takes requests.",
    choice: Choice::Free,
    keys: &[
        required("name", Kind::Scalar(Scalar::Name), "Its name, a metric label."),
        required(
            "bind",
            Kind::Scalar(Scalar::Listen),
            "Its address: `127.0.0.1:8080`, `\"[::1]:8080\"`, `:8080` (all IPv4), `localhost:8080` (127.0.0.1). Port 0 \
             takes a free one. Or a unix socket, `unix:/run/weir/http.sock`.",
        ),
        optional(
            "mode",
            Kind::Scalar(Scalar::FileMode),
            "The permissions of a unix socket's file, in quotes. Without it, `\"0660\"`.",
        ),
        optional(
            "protocols",
            Kind::List(&Kind::Word(&["http/1.1", "h2", "h2c"]), 1),
            "What it speaks: `http/1.1`; `h2`, HTTP/2 in TLS; `h2c`, HTTP/2 in the clear with clients that begin with it \
             (prior knowledge). Without it `[h2, http/1.1]` with `tls`, else `[http/1.1]`. In TLS the first that the client \
             offers is taken (ALPN).",
        ),
        optional("tls", Kind::Object(&LISTENER_TLS), "TLS. Without it, all is in the clear."),
        optional(
            "proxy_protocol",
            Kind::Object(&PROXY_PROTOCOL),
            "Who says whose connections these are. Without it, nobody.",
        ),
        optional("region", Kind::Scalar(Scalar::Name), "The region of everything that comes in here."),
        optional("limits", Kind::Object(&LIMITS), "What a client may cost."),
    ],
};

/// Limits of a listener.
pub(in crate::config) static LIMITS: Shape = Shape {
    name: "limits",
    doc: "What a client may cost. A duration of `0s` means no limit.",
    choice: Choice::Free,
    keys: &[
        default(
            "max_connections",
            Kind::Scalar(Scalar::Integer { min: 1, max: 10_000_000 }),
            "20000",
            "Open connections of the listener, over all workers.",
        ),
        default(
            "max_connections_per_address",
            Kind::Scalar(Scalar::Integer { min: 0, max: 10_000_000 }),
            "0",
            "Open connections of one client address, over all workers; an IPv6 client is its /64. `0` means no limit.",
        ),
        default(
            "max_header_bytes",
            Kind::Scalar(Scalar::Size { min: 1 << 10, max: 1 << 20 }),
            "32KiB",
            "Bytes of a request head, 1 KiB to 1 MiB.",
        ),
        default(
            "max_headers",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1000 }),
            "100",
            "Fields of a request head.",
        ),
        default("header_timeout", ANY_DURATION, "10s", "From a request's first byte to the end of its head."),
        default("idle_timeout", ANY_DURATION, "75s", "A keep-alive connection without a request."),
    ],
};

/// A backend.
pub(in crate::config) static BACKEND: Shape = Shape {
    name: "backend",
    doc: "One version of a service.",
    choice: Choice::Free,
    keys: &[
        required(
            "endpoints",
            Kind::List(&Kind::Object(&ENDPOINT), 1),
            "Where it runs. Addresses are unique in the backend.",
        ),
        default(
            "protocol",
            Kind::Word(&["http/1.1", "h2", "h2c", "auto"]),
            "http/1.1",
            "What its endpoints speak: `http/1.1`; `h2`, HTTP/2 in TLS; `h2c`, HTTP/2 in the clear; `auto`, what the endpoint \
             chooses in the TLS handshake (ALPN), where WebSockets and other upgrades go over HTTP/1.1.",
        ),
        optional("tls", Kind::Object(&BACKEND_TLS), "TLS to its endpoints. Without it, all is in the clear."),
        default(
            "lb_policy",
            Kind::Word(&["p2c", "round_robin", "least_request", "peak_ewma", "rendezvous"]),
            "p2c",
            "How an endpoint is chosen: `p2c`, the one of two drawn by weight with fewer requests in flight; \
             `round_robin`, in turn; `least_request`, the one of all with the fewest; `peak_ewma`, the one of two that is \
             expected to answer sooner; `rendezvous`, always the same one for a user.",
        ),
        optional(
            "health_check",
            Kind::Object(&HEALTH_CHECK),
            "Active checks. Without it, every endpoint is healthy.",
        ),
        optional(
            "outlier_detection",
            Kind::Object(&OUTLIER_DETECTION),
            "Takes endpoints out whose answers are bad. Without it, none.",
        ),
        optional(
            "circuit_breaker",
            Kind::Object(&CIRCUIT_BREAKER),
            "What it may be asked at once. Without it, anything.",
        ),
        default(
            "slow_start",
            ANY_DURATION,
            "0s",
            "How long an endpoint that is new, healthy again or back from an ejection takes to get its whole share of \
             requests; it begins with a tenth. `0s` is at once.",
        ),
        default(
            "panic_threshold",
            Kind::Scalar(Scalar::Percent),
            "0%",
            "When less than this share of the endpoints is available, all are used, because the few would be overrun. \
             `0%` is never.",
        ),
        default("idle_timeout", ANY_DURATION, "30s", "How long an unused connection to an endpoint is kept."),
    ],
};

/// An endpoint.
pub(in crate::config) static ENDPOINT: Shape = Shape {
    name: "endpoint",
    doc: "One address of a backend, or all those of a name.",
    choice: Choice::One(&["address", "unix", "dns"]),
    keys: &[
        optional(
            "address",
            Kind::Scalar(Scalar::Address),
            "Where it listens: `10.1.0.11:8080`, `\"[fd00::1]:8080\"` or `localhost:8080`.",
        ),
        optional("unix", Kind::Scalar(Scalar::SocketPath), "The unix socket that it listens on."),
        optional(
            "dns",
            Kind::Scalar(Scalar::HostPort),
            "A name and a port: each address that the name has is an endpoint. It is looked up again when its answer ends.",
        ),
        default(
            "weight",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1000 }),
            "1",
            "Its share relative to the other endpoints of the backend.",
        ),
    ],
};

/// The gRPC health service.
pub(in crate::config) static GRPC_HEALTH: Shape = Shape {
    name: "grpc_health",
    doc: "What is asked of the gRPC health service.",
    choice: Choice::Free,
    keys: &[optional(
        "service",
        Kind::Scalar(Scalar::Text),
        "The full name of the service, `shop.v1.Cart`. Without it, the server as a whole.",
    )],
};

/// Health checks.
pub(in crate::config) static HEALTH_CHECK: Shape = Shape {
    name: "health_check",
    doc: "Active health checks: a GET, a call of the gRPC health service, or nothing but a connection.",
    choice: Choice::One(&["path", "grpc", "tcp"]),
    keys: &[
        optional("path", Kind::Scalar(Scalar::Target), "The path of a GET; it may have a query."),
        optional(
            "grpc",
            Kind::Object(&GRPC_HEALTH),
            "A call of `grpc.health.v1.Health/Check`, which SERVING passes. The backend must speak HTTP/2.",
        ),
        optional(
            "tcp",
            Kind::Scalar(Scalar::True),
            "A connection, with the TLS handshake where the backend has `tls`, and nothing sent over it.",
        ),
        optional(
            "host",
            Kind::Scalar(Scalar::Authority),
            "The Host header, or the authority of the call. Without it, the endpoint's address. Not with `tcp`.",
        ),
        default(
            "interval",
            Kind::Scalar(Scalar::Duration { min: 10 }),
            "5s",
            "Between two probes, jittered by a tenth; at least 10ms.",
        ),
        default(
            "timeout",
            Kind::Scalar(Scalar::Duration { min: 1 }),
            "1s",
            "For a whole probe; at least 1ms.",
        ),
        default(
            "healthy_threshold",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1000 }),
            "2",
            "Successes in a row that make an endpoint healthy.",
        ),
        default(
            "unhealthy_threshold",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1000 }),
            "3",
            "Failures in a row that make it unhealthy.",
        ),
        default(
            "expected_status",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Status)),
            "200-299",
            "Statuses of the GET that count as success: `200-299`, or `[200, 204]`. With `path` only.",
        ),
        default(
            "initial_state",
            Kind::Word(&["healthy", "unhealthy"]),
            "healthy",
            "Whether an endpoint without a verdict takes traffic (`healthy`) or not (`unhealthy`).",
        ),
    ],
};

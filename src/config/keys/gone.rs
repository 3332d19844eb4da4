//! Keys that are not there: of a later version, of another name.

/// Keys that this version does not have yet: shape and key. An issue that brings one moves it into its shape's table.
pub(in crate::config) static UNAVAILABLE: &[(&str, &str)] = &[];

/// Words that this version does not have yet: shape, key and word.
pub(in crate::config) static UNAVAILABLE_WORDS: &[(&str, &str, &str)] = &[("listener", "protocols", "h3")];

/// Tombstones: shape, the key that is no more (or that other proxies have) and the one to use. A key that is renamed
/// leaves its old name here for good.
pub(in crate::config) static RENAMED: &[(&str, &str, &str)] = &[
    ("file", "clusters", "backends"),
    ("file", "upstreams", "backends"),
    ("file", "services", "backends"),
    ("file", "threads", "workers"),
    ("admin", "listen", "bind"),
    ("admin", "tokens_file", "tokens"),
    ("admin", "address", "bind"),
    ("listener", "address", "bind"),
    ("listener", "listen", "bind"),
    ("backend", "servers", "endpoints"),
    ("backend", "targets", "endpoints"),
    ("backend", "hosts", "endpoints"),
    ("backend", "load_balancing", "lb_policy"),
    ("endpoint", "url", "address"),
    ("endpoint", "host", "address"),
    ("condition", "headers", "header"),
    ("condition", "cookies", "cookie"),
    ("condition", "methods", "method"),
    ("condition", "regions", "region"),
    ("condition", "percent", "fraction"),
    ("route_match", "host", "hosts"),
    ("route_match", "headers", "header"),
    ("route_match", "cookies", "cookie"),
    ("route_match", "methods", "method"),
    ("rule", "when", "match"),
    ("rule", "condition", "match"),
    ("split_backend", "backend", "name"),
    ("share", "backend", "name"),
    ("sticky", "ttl", "max_age"),
    ("step", "setWeight", "weight"),
    ("step", "pause", "hold"),
    ("step", "duration", "hold"),
    ("step", "segments", "segment"),
    ("step", "regions", "region"),
    ("analysis", "metrics", "gates"),
    ("freeze", "duration", "for"),
    ("freeze", "timezone", "zone"),
    ("hook", "kind", "type"),
];

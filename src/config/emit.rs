//! The canonical form: a [`Config`] as the file that says the same, every default written out.
//!
//! What the decoder reads from this form is equal to what was written (a property test holds that). Keys stand in the
//! order of the key tables, lists are lists even where one could stand alone.

mod admin;
mod edge;
mod jwt;
mod notify;
mod out;
mod policy;
mod resilience;
mod rollout;
mod tls;

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

pub use self::out::json_to_yaml;
use self::out::{Out, json, yaml};

use super::model::{
    AccessLog, Backend, Condition, Config, Geo, KeySource, Listener, LogTarget, NamedMatch, PathMatch,
    RolloutPlan, Route, RouteMatch, Rule, SameSite, Scheme, Split, Sticky, Target, ValueMatch,
};
use crate::types::{OnUnavailable, Weight};

// === impl Config ===

impl Config {
    /// The canonical file as JSON. Keys of JSON objects have no order; [`Serialize`] and [`to_yaml`](Self::to_yaml)
    /// keep that of the tables.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json(&file(self))
    }

    /// The canonical file as YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        yaml(&file(self), 0, &mut text);
        text
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        file(self).serialize(serializer)
    }
}

/// A plan as it stands in a file, every default written out.
#[must_use]
pub fn plan_to_json(plan: &RolloutPlan) -> Json {
    json(&rollout::plan(plan).into())
}

// === the file ===

/// Collects the entries of a map.
#[derive(Default)]
struct Map(Vec<(String, Out)>);

impl Map {
    fn put(mut self, key: &str, value: impl Into<Out>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    fn opt(self, key: &str, value: Option<impl Into<Out>>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Leaves empty lists and maps out.
    fn some(self, key: &str, value: impl Into<Out>) -> Self {
        match value.into() {
            Out::List(items) if items.is_empty() => self,
            Out::Map(entries) if entries.is_empty() => self,
            value => self.put(key, value),
        }
    }
}

impl From<Map> for Out {
    fn from(map: Map) -> Self {
        Self::Map(map.0)
    }
}

impl<T: Into<Out>> From<Vec<T>> for Out {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

macro_rules! scalars {
    ($($type:ty),+) => {$(
        impl From<$type> for Out {
            fn from(value: $type) -> Self { Self::Scalar(Json::from(value)) }
        }
    )+};
}

scalars!(bool, u16, u32, u64, usize, &str, String);

impl From<Weight> for Out {
    fn from(weight: Weight) -> Self {
        Self::Scalar(serde_json::to_value(weight).unwrap_or_default())
    }
}

/// The largest unit that holds it exactly.
pub(super) fn duration(value: Duration) -> String {
    let millis = value.as_millis();
    let unit = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match unit.into_iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", millis / size),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

fn size(bytes: u64) -> Out {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit).into(),
        None => bytes.into(),
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn file(config: &Config) -> Out {
    let backends = config.backends.iter().map(|(name, value)| (name.to_string(), backend(value)));
    let segments = config.segments.iter().map(|(name, value)| (name.to_string(), condition(value)));
    let providers = config.jwt.iter().map(|(name, value)| (name.to_string(), jwt::provider(value)));
    let notifications =
        config.notifications.iter().map(|(name, value)| (name.to_string(), notify::notification(value)));
    let drain = Map::default()
        .put("delay", duration(config.drain.delay))
        .put("timeout", duration(config.drain.timeout));
    Map::default()
        .put("version", 1_u32)
        .put("workers", config.workers)
        .opt("data_dir", config.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()))
        .put("store", edge::store(&config.store))
        .some("trusted_proxies", texts(&config.trusted_proxies))
        .some("geo", geo(&config.geo))
        .put("admin", admin::admin(&config.admin))
        .put("access_log", access_log(&config.access_log))
        .put("drain", drain)
        .some("dns", edge::dns(&config.dns))
        .put("limits", edge::total_limits(&config.limits))
        .put("listeners", config.listeners.iter().map(listener).collect::<Vec<_>>())
        .put("backends", Out::Map(backends.collect()))
        .some("segments", Out::Map(segments.collect()))
        .some("jwt", Out::Map(providers.collect()))
        .some("notifications", Out::Map(notifications.collect()))
        .put("routes", config.routes.iter().map(route).collect::<Vec<_>>())
        .into()
}

fn geo(geo: &Geo) -> Out {
    let headers: Vec<Map> = geo
        .trusted_headers
        .iter()
        .map(|header| Map::default().put("name", header.name.clone()).some("from", texts(&header.from)))
        .collect();
    let networks: Vec<Map> = geo
        .networks
        .iter()
        .map(|net| Map::default().put("cidr", net.cidr.to_string()).put("region", net.region.to_string()))
        .collect();
    Map::default()
        .some("trusted_header", headers)
        .opt("database", geo.database.as_ref().map(|path| path.to_string_lossy().into_owned()))
        .some("networks", networks)
        .into()
}

fn access_log(log: &AccessLog) -> Map {
    let path = match &log.target {
        LogTarget::Off => "off".to_owned(),
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::File(path) => path.to_string_lossy().into_owned(),
    };
    Map::default().put("path", path).put("sample", log.sample.to_string()).put("query", log.query)
}

fn listener(listener: &Listener) -> Map {
    let limits = &listener.limits;
    let limits = Map::default()
        .put("max_connections", limits.max_connections)
        .put("max_connections_per_address", limits.max_connections_per_address)
        .put("max_header_bytes", size(limits.max_header_bytes.into()))
        .put("max_headers", limits.max_headers)
        .put("header_timeout", duration(limits.header_timeout))
        .put("idle_timeout", duration(limits.idle_timeout));
    Map::default()
        .put("name", listener.name.as_str())
        .put("bind", listener.bind.to_string())
        .opt("mode", listener.mode.map(|mode| format!("{mode:04o}")))
        .put("protocols", listener.protocols.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>())
        .opt("tls", listener.tls.as_ref().map(tls::listener))
        .opt("proxy_protocol", listener.proxy_protocol.as_ref().map(edge::proxy_protocol))
        .opt("region", listener.region.as_ref().map(ToString::to_string))
        .put("limits", limits)
}

fn backend(backend: &Backend) -> Out {
    let endpoints: Vec<Map> = backend
        .endpoints
        .iter()
        .map(|endpoint| {
            Map::default()
                .put(endpoint.target.key(), endpoint.target.to_string())
                .put("weight", endpoint.weight)
        })
        .collect();
    Map::default()
        .put("endpoints", endpoints)
        .put("protocol", backend.protocol.as_str())
        .opt("tls", backend.tls.as_ref().map(tls::backend))
        .put("lb_policy", backend.lb_policy.as_str())
        .opt("health_check", backend.health_check.as_ref().map(resilience::health_check))
        .opt("outlier_detection", backend.outlier_detection.as_ref().map(resilience::outlier_detection))
        .opt("circuit_breaker", backend.circuit_breaker.as_ref().map(resilience::circuit_breaker))
        .put("slow_start", duration(backend.slow_start))
        .put("panic_threshold", backend.panic_threshold.to_string())
        .put("idle_timeout", duration(backend.idle_timeout))
        .into()
}

fn condition(condition: &Condition) -> Out {
    let (key, value): (&str, Out) = match condition {
        Condition::All(inner) => ("all", Out::List(inner.iter().map(self::condition).collect())),
        Condition::Any(inner) => ("any", Out::List(inner.iter().map(self::condition).collect())),
        Condition::Not(inner) => ("not", self::condition(inner)),
        Condition::Header(named) => ("header", vec![named_match(named)].into()),
        Condition::Cookie(named) => ("cookie", vec![named_match(named)].into()),
        Condition::Query(named) => ("query", vec![named_match(named)].into()),
        Condition::Jwt(named) => {
            ("jwt", vec![value_match(Map::default().put("claim", named.name.clone()), &named.value)].into())
        }
        Condition::Method(methods) => ("method", methods.clone().into()),
        Condition::Path(path) => ("path", path_match(path).into()),
        Condition::Segment(name) => ("segment", name.as_str().into()),
        Condition::Region(regions) => ("region", texts(regions).into()),
        Condition::ClientIp(nets) => ("client_ip", texts(nets).into()),
        Condition::Fraction { share, salt } => {
            ("fraction", Map::default().put("percent", share.to_string()).opt("salt", salt.clone()).into())
        }
    };
    Map::default().put(key, value).into()
}

fn named_match(named: &NamedMatch) -> Map {
    value_match(Map::default().put("name", named.name.clone()), &named.value)
}

fn value_match(map: Map, value: &ValueMatch) -> Map {
    match value {
        ValueMatch::Present => map.put("present", true),
        ValueMatch::Exact(text) => map.put("exact", text.clone()),
        ValueMatch::In(texts) => map.put("in", texts.clone()),
        ValueMatch::Prefix(text) => map.put("prefix", text.clone()),
        ValueMatch::Contains(text) => map.put("contains", text.clone()),
        ValueMatch::Regex(text) => map.put("regex", text.clone()),
    }
}

fn path_match(path: &PathMatch) -> Map {
    match path {
        PathMatch::Exact(text) => Map::default().put("exact", text.clone()),
        PathMatch::Prefix(text) => Map::default().put("prefix", text.clone()),
        PathMatch::Regex(text) => Map::default().put("regex", text.clone()),
    }
}

fn route(route: &Route) -> Map {
    let timeouts = Map::default()
        .put("connect", duration(route.timeouts.connect))
        .put("response_headers", duration(route.timeouts.response_headers))
        .put("stream_idle", duration(route.timeouts.stream_idle))
        .put("tunnel_idle", duration(route.timeouts.tunnel_idle));
    let map = Map::default()
        .put("name", route.name.as_str())
        .put("match", route.matches.iter().map(route_match).collect::<Vec<_>>())
        .some("rules", route.rules.iter().map(rule).collect::<Vec<_>>())
        .put("timeouts", timeouts)
        .opt("retry", route.retry.as_ref().map(resilience::retry))
        .put("shield", route.shield);
    let map = match &route.policy.answer {
        Some(answer) => policy::answer(map, answer),
        None => map.put("split", split(&route.split)),
    };
    policy::policy(map, &route.policy)
        .opt("jwt", route.jwt.as_ref().map(jwt::route_jwt))
        .opt("rollout", route.rollout.as_deref().map(rollout::plan))
}

fn route_match(taken: &RouteMatch) -> Map {
    let named = |items: &[NamedMatch]| items.iter().map(named_match).collect::<Vec<_>>();
    Map::default()
        .opt("scheme", taken.scheme.map(Scheme::as_str))
        .some("hosts", taken.hosts.clone())
        .opt("path", taken.path.as_ref().map(path_match))
        .some("method", taken.methods.clone())
        .some("header", named(&taken.headers))
        .some("query", named(&taken.query))
        .some("cookie", named(&taken.cookies))
}

fn rule(rule: &Rule) -> Map {
    let map = Map::default().put("name", rule.name.as_str()).put("match", condition(&rule.condition));
    match &rule.target {
        Target::Backend(name) => map.put("backend", name.as_str()),
        Target::Split(shares) => {
            let shares: Vec<Map> = shares
                .iter()
                .map(|(name, weight)| Map::default().put("name", name.as_str()).put("weight", *weight))
                .collect();
            map.put("split", shares)
        }
    }
}

fn split(split: &Split) -> Map {
    let sources: Vec<Out> = split
        .key
        .iter()
        .map(|source| match source {
            KeySource::Header(name) => Map::default().put("header", name.clone()).into(),
            KeySource::Cookie(name) => Map::default().put("cookie", name.clone()).into(),
            KeySource::Jwt(claim) => Map::default().put("jwt", claim.clone()).into(),
            KeySource::ClientIp => "client_ip".into(),
        })
        .collect();
    let backends: Vec<Map> = split
        .backends
        .iter()
        .map(|share| {
            Map::default()
                .put("name", share.name.as_str())
                .put("weight", share.weight)
                .put("state", share.state.as_str())
        })
        .collect();
    let on_unavailable = match split.on_unavailable {
        OnUnavailable::Fallback => "fallback",
        OnUnavailable::Fail => "fail",
    };
    Map::default()
        .some("key", sources)
        .put("salt", split.salt.clone())
        .put("backends", backends)
        .put("sticky", sticky(&split.sticky))
        .put("on_unavailable", on_unavailable)
}

fn sticky(sticky: &Sticky) -> Map {
    let cookie: Out = match &sticky.cookie {
        None => "off".into(),
        Some(cookie) => {
            let same_site = match cookie.same_site {
                SameSite::Lax => "lax",
                SameSite::Strict => "strict",
                SameSite::None => "none",
            };
            Map::default()
                .put("name", cookie.name.clone())
                .put("same_site", same_site)
                .put("path", cookie.path.clone())
                .opt("domain", cookie.domain.clone())
                .opt("secure", cookie.secure)
                .into()
        }
    };
    Map::default()
        .put("mode", sticky.mode.as_str())
        .put("cookie", cookie)
        .put("max_age", duration(sticky.max_age))
}

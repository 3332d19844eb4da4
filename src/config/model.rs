//! The control file as a value: every default filled in, every name checked, nothing of the runtime.
//!
//! Defaults live in the key tables (`keys/`); the decoder in `decode/` is the only constructor outside tests.

mod admin;
mod edge;
mod endpoint;
mod geo;
mod jwt;
mod metric;
mod policy;
mod resilience;
pub mod rollout;
mod tls;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use ipnet::IpNet;

pub use self::jwt::{JwtProvider, KeyFile, RouteJwt, TokenSource};
pub use self::policy::{
    Access, Answer, BodyRate, Cors, Fault, HeaderEdits, Mirror, Policy, RateKey, RateLimit, Redirect,
    Respond, Rewrite, Scheme,
};
pub use self::{
    admin::{Admin, AdminClient, AdminClients, AdminSocket, AdminTls, CertificateName, OpenMetrics},
    edge::{Dns, ProxyProtocol, Storage, TotalLimits},
    endpoint::{Endpoint, EndpointTarget},
    geo::{Geo, GeoNetwork, TrustedHeader},
    resilience::{Backoff, CircuitBreaker, HealthCheck, OutlierDetection, Retry, RetryOn, SuccessRate},
    rollout::{Notification, RolloutPlan},
    tls::{BackendTls, CertificateFiles, ClientAuth, ListenerTls, TlsVersion},
};
use crate::types::{Address, BackendState, Fraction, Name, OnUnavailable, StickyMode, Weight};

/// A whole control file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Data-plane threads; 0 is one per core. Needs a restart.
    pub workers: usize,
    /// Where Weir keeps what must survive a restart; `None` is a folder beside the control file. Needs a restart.
    pub data_dir: Option<PathBuf>,
    /// How much of what was is kept there. Needs a restart.
    pub store: Storage,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where regions come from.
    pub geo: Geo,
    /// The admin API. Needs a restart.
    pub admin: Admin,
    /// Where requests are logged, if anywhere.
    pub access_log: AccessLog,
    /// How Weir stops.
    pub drain: Drain,
    /// Looking names up.
    pub dns: Dns,
    /// What all clients together may cost.
    pub limits: TotalLimits,
    /// Sockets that take requests; at least one; names and addresses are unique.
    pub listeners: Vec<Listener>,
    /// Versions that traffic is split over, by name.
    pub backends: BTreeMap<Name, Backend>,
    /// Named conditions. A segment may use others, never itself.
    pub segments: BTreeMap<Name, Condition>,
    /// Whose tokens are trusted, by name.
    pub jwt: BTreeMap<Name, JwtProvider>,
    /// Where people are told of rollouts, by name.
    pub notifications: BTreeMap<Name, Notification>,
    /// Routes in file order; names are unique.
    pub routes: Vec<Route>,
}

/// The access log.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Where the lines go.
    pub target: LogTarget,
    /// The share of successful requests that is logged; errors always are. Default 100 %.
    pub sample: Fraction,
    /// Whether query strings are logged. Default no.
    pub query: bool,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// How Weir stops on SIGTERM.
#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// How long listeners still accept after readiness fails. Default 0s.
    pub delay: Duration,
    /// How long requests under way may take after that. Default 30s.
    pub timeout: Duration,
}

/// A socket that takes requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name, a metric label.
    pub name: Name,
    /// The address it binds.
    pub bind: Address,
    /// The permissions of a unix socket's file; `None` is 0660.
    pub mode: Option<u32>,
    /// What it speaks; never empty.
    pub protocols: Vec<ListenerProtocol>,
    /// TLS; `None` is all in the clear.
    pub tls: Option<ListenerTls>,
    /// Who says whose connections these are.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The region of everything that comes in here.
    pub region: Option<Name>,
    /// What a client may cost.
    pub limits: Limits,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http11,
    /// HTTP/2 in TLS.
    H2,
    /// HTTP/2 in the clear, with clients that know it beforehand (RFC 9113, section 3.3).
    H2c,
}

/// What a client may cost. A duration of zero means no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Open connections of the listener, over all workers. Default 20,000.
    pub max_connections: u32,
    /// Open connections of one client address; zero is no limit. Default 0.
    pub max_connections_per_address: u32,
    /// Bytes of a request head. Default 32 KiB; 1 KiB to 1 MiB.
    pub max_header_bytes: u32,
    /// Fields of a request head. Default 100; 1 to 1000.
    pub max_headers: u16,
    /// From a request's first byte to the end of its head. Default 10s.
    pub header_timeout: Duration,
    /// A keep-alive connection without a request. Default 75s.
    pub idle_timeout: Duration,
}

/// One version of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Its endpoints; at least one, addresses unique.
    pub endpoints: Vec<Endpoint>,
    /// What its endpoints speak.
    pub protocol: BackendProtocol,
    /// TLS to its endpoints; `None` is all in the clear.
    pub tls: Option<BackendTls>,
    /// How an endpoint is chosen.
    pub lb_policy: LbPolicy,
    /// Active health checks; `None` takes every endpoint for healthy.
    pub health_check: Option<HealthCheck>,
    /// Passive outlier detection; `None` ejects nobody.
    pub outlier_detection: Option<OutlierDetection>,
    /// What it may be asked at once; `None` is anything.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How long an endpoint takes to get its whole share; zero is at once. Default 0s.
    pub slow_start: Duration,
    /// The share of available endpoints below which all are used. Default 0 %.
    pub panic_threshold: Fraction,
    /// How long an unused upstream connection is kept. Default 30s.
    pub idle_timeout: Duration,
}

/// What the endpoints of a backend speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2 in TLS.
    H2,
    /// HTTP/2 in the clear, known beforehand.
    H2c,
    /// What the endpoint chooses in the TLS handshake.
    Auto,
}

/// How a request's endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LbPolicy {
    /// Power of two choices on requests in flight (Mitzenmacher 2001).
    #[default]
    P2c,
    /// Weighted round robin.
    RoundRobin,
    /// Fewest requests in flight for the weight.
    LeastRequest,
    /// Power of two choices on expected times.
    PeakEwma,
    /// Rendezvous hashing by user.
    Rendezvous,
}

/// A condition over a request. An empty `All` is true, an empty `Any` is false.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Every one holds.
    All(Vec<Condition>),
    /// At least one holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A header field has such a value.
    Header(NamedMatch),
    /// A cookie has such a value.
    Cookie(NamedMatch),
    /// A query parameter has such a value.
    Query(NamedMatch),
    /// A claim of the user's verified token has such a value.
    Jwt(NamedMatch),
    /// The method is one of these.
    Method(Vec<String>),
    /// The path matches.
    Path(PathMatch),
    /// The named segment's condition holds.
    Segment(Name),
    /// The region is one of these.
    Region(Vec<Name>),
    /// The client's address is in one of these.
    ClientIp(Vec<IpNet>),
    /// The user is in this share of users, drawn by bucket with its own salt.
    Fraction {
        /// The share.
        share: Fraction,
        /// What the user's identity is hashed with; `None` is the segment's name, or the route's and rule's.
        salt: Option<String>,
    },
}

/// A named value and what it must be.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedMatch {
    /// The header's (any case), cookie's or parameter's name.
    pub name: String,
    /// What its value must be.
    pub value: ValueMatch,
}

/// What a value must be. Values are compared with their case.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMatch {
    /// There is one.
    Present,
    /// Exactly this.
    Exact(String),
    /// One of these.
    In(Vec<String>),
    /// Begins so.
    Prefix(String),
    /// Contains this.
    Contains(String),
    /// Matches this regular expression (whole value; crate `regex` syntax).
    Regex(String),
}

/// What a path must be.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// Exactly this.
    Exact(String),
    /// This, by whole segments: `/a` matches `/a` and `/a/b`, not `/ab` (Gateway API `PathPrefix`).
    Prefix(String),
    /// Matches this regular expression (whole path).
    Regex(String),
}

/// A route: which requests, and which backends they are split over.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name, a metric label.
    pub name: Name,
    /// The requests it takes: any of these; never empty (a route without `match` has one that matches all).
    pub matches: Vec<RouteMatch>,
    /// Rules that beat the split, first match wins.
    pub rules: Vec<Rule>,
    /// How all other requests are split; without backends where the route answers itself.
    pub split: Split,
    /// Upstream timeouts.
    pub timeouts: Timeouts,
    /// What it does to requests beside sending them somewhere.
    pub policy: Policy,
    /// What is sent again; `None` is only what certainly was not seen.
    pub retry: Option<Retry>,
    /// Whether the baseline is asked when another backend fails. Default no.
    pub shield: bool,
    /// Which tokens it verifies.
    pub jwt: Option<RouteJwt>,
    /// How a new version gets its traffic; `None` leaves it to people.
    pub rollout: Option<Box<RolloutPlan>>,
}

/// Requests that a route takes: all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteMatch {
    /// What clients speak; `None` is either.
    pub scheme: Option<Scheme>,
    /// Exact names or `*.example.com`, lower case; empty is any.
    pub hosts: Vec<String>,
    /// The path; `None` is any.
    pub path: Option<PathMatch>,
    /// Methods; empty is any.
    pub methods: Vec<String>,
    /// Header fields that must match.
    pub headers: Vec<NamedMatch>,
    /// Query parameters that must match.
    pub query: Vec<NamedMatch>,
    /// Cookies that must match.
    pub cookies: Vec<NamedMatch>,
}

/// A rule of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name; default `rule-N`, counted from 1.
    pub name: Name,
    /// When it applies.
    pub condition: Condition,
    /// What it does.
    pub target: Target,
}

/// Where a rule sends requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// To this backend.
    Backend(Name),
    /// Split by the user's bucket, in file order; at least one weight above zero.
    Split(Vec<(Name, Weight)>),
}

/// How a route's requests are split.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// What identifies a user, the first that is present; empty with `mode: bucket` leaves only the assignment cookie.
    pub key: Vec<KeySource>,
    /// What identities are hashed with. Default: the route's name.
    pub salt: String,
    /// Backends in file order, at least one with a weight above zero; the first is the baseline. None where the route answers
    /// itself (`Policy::answer`).
    pub backends: Vec<SplitBackend>,
    /// How users stay on their backend. `key: none` in the file makes the mode `none`.
    pub sticky: Sticky,
    /// What happens when the chosen backend cannot take a request.
    pub on_unavailable: OnUnavailable,
}

/// What identifies a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The value of a header.
    Header(String),
    /// The value of a cookie of the application.
    Cookie(String),
    /// The value of a claim of the user's verified token.
    Jwt(String),
    /// The client's address.
    ClientIp,
}

/// A backend's place in a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBackend {
    /// Which backend.
    pub name: Name,
    /// Its weight relative to the others.
    pub weight: Weight,
    /// Whether it takes users.
    pub state: BackendState,
}

/// How users stay on their backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Sticky {
    /// The mode.
    pub mode: StickyMode,
    /// The assignment cookie; `None` when switched off (`cookie: off`).
    pub cookie: Option<StickyCookie>,
    /// How long the cookie counts. Default 30d.
    pub max_age: Duration,
}

/// The assignment cookie's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name. Default `weir`.
    pub name: String,
    /// Its SameSite attribute. Default lax.
    pub same_site: SameSite,
    /// Its Path attribute. Default `/`.
    pub path: String,
    /// Its Domain attribute.
    pub domain: Option<String>,
    /// Whether it is marked Secure: `None` on TLS listeners only.
    pub secure: Option<bool>,
}

/// The SameSite attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Sent on top-level navigation.
    #[default]
    Lax,
    /// Sent on same-site requests only.
    Strict,
    /// Sent always; needs Secure.
    None,
}

/// Upstream timeouts; zero means none.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// To a TCP connection. Default 2s.
    pub connect: Duration,
    /// From the whole request sent to the response's head. Default 15s.
    pub response_headers: Duration,
    /// Without a byte in either direction. Default 60s.
    pub stream_idle: Duration,
    /// The same for upgraded connections. Default 1h.
    pub tunnel_idle: Duration,
}

// === impl ListenerProtocol ===

impl ListenerProtocol {
    /// The word in the control file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::H2 => "h2",
            Self::H2c => "h2c",
        }
    }
}

// === impl BackendProtocol ===

impl BackendProtocol {
    /// The word in the control file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::H2 => "h2",
            Self::H2c => "h2c",
            Self::Auto => "auto",
        }
    }
}

// === impl LbPolicy ===

impl LbPolicy {
    /// The word in the control file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P2c => "p2c",
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "least_request",
            Self::PeakEwma => "peak_ewma",
            Self::Rendezvous => "rendezvous",
        }
    }
}

//! Traffic policy as it is declared: what a route does to requests beside sending them somewhere.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use ipnet::IpNet;

use super::NamedMatch;
use crate::types::{Fraction, Rate};

/// What a route does to requests and responses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Who may ask; `None` is everybody.
    pub access: Option<Access>,
    /// Which pages of other origins may use it.
    pub cors: Option<Cors>,
    /// How often it may be asked; all must agree.
    pub rate_limits: Vec<RateLimit>,
    /// Most bytes of a request's body.
    pub max_body: Option<u64>,
    /// How fast it must come.
    pub min_body_rate: Option<BodyRate>,
    /// Changes of what goes to the backend.
    pub request_headers: HeaderEdits,
    /// Changes of what goes to the client.
    pub response_headers: HeaderEdits,
    /// Another path or Host for the backend.
    pub rewrite: Option<Rewrite>,
    /// Failures made on purpose.
    pub fault: Option<Fault>,
    /// What it answers itself, in place of a split.
    pub answer: Option<Answer>,
}

/// Client addresses that a route takes; `deny` wins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Only these; empty is everybody.
    pub allow: Vec<IpNet>,
    /// Not these.
    pub deny: Vec<IpNet>,
}

/// Which pages of other origins may use a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins; `*` in front of a host is any below it, and by itself everybody.
    pub origins: Vec<String>,
    /// Methods that pages may use; `*` is any. Default GET, HEAD and POST.
    pub methods: Vec<String>,
    /// Headers that pages may send; `*` is any.
    pub headers: Vec<String>,
    /// Response headers that pages may read.
    pub expose: Vec<String>,
    /// Whether requests may carry cookies and other credentials.
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    pub max_age: Option<Duration>,
}

/// How often a route may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// What counts by itself.
    pub key: RateKey,
    /// How many in the long run.
    pub rate: Rate,
    /// How many at once. Default: the number of `rate`.
    pub burst: NonZeroU32,
    /// How many keys are remembered. Default 100,000.
    pub max_keys: u32,
}

/// How fast a request's body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRate {
    /// Bytes in a second, over the whole body.
    pub per_second: NonZeroU64,
    /// How long the client may take beside that. Default 5s.
    pub grace: Duration,
}

/// What a limit counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    /// The client's address.
    ClientIp,
    /// The whole route.
    Route,
    /// The value of a header.
    Header(String),
}

/// Changes of header fields in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Fields to add: name and value.
    pub add: Vec<(String, String)>,
    /// Fields to put in place of all of the same name.
    pub set: Vec<(String, String)>,
    /// Names whose fields go.
    pub remove: Vec<String>,
}

/// What is sent on in place of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Goes off the front of the path, by whole segments.
    pub strip_prefix: Option<String>,
    /// Comes in front of the path.
    pub prefix: Option<String>,
    /// The Host.
    pub host: Option<String>,
}

/// Failures made on purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// How many requests are held up, and for how long.
    pub delay: Option<(Fraction, Duration)>,
    /// How many are answered in place of a backend, and with which status.
    pub abort: Option<(Fraction, u16)>,
    /// Only requests with all of these header fields.
    pub headers: Vec<NamedMatch>,
}

/// What a route answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Elsewhere.
    Redirect(Redirect),
    /// Always the same.
    Respond(Respond),
}

/// Sends clients elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host, without port.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<String>,
    /// What takes the place of the matched prefix; not with `path`.
    pub prefix: Option<String>,
    /// 301, 302, 303, 307 or 308. Default 302.
    pub status: u16,
}

/// Always the same response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// The body.
    pub body: Option<String>,
    /// What it is. Default `text/plain; charset=utf-8`.
    pub content_type: String,
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// In TLS.
    Https,
}

// === impl Scheme ===

impl Scheme {
    /// The word in the control file and in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

// === impl HeaderEdits ===

impl HeaderEdits {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }
}

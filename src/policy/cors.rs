//! Which pages of other origins may use a route (Fetch Standard, section 3.2, "CORS protocol").
//!
//! The browser decides; what is said here is what it goes by. An origin is told that it may only when it was listed, and by its own
//! name; `*` is said as such, and never together with credentials. So nothing that a page makes up is reflected into a permission.

use crate::http::Headers;

/// Which pages of other origins may use a route, and how.
#[derive(Debug, Default)]
pub struct Cors {
    origins: Origins,
    /// `None` is any.
    methods: Option<Box<str>>,
    /// `None` is any.
    headers: Option<Box<str>>,
    expose: Box<str>,
    credentials: bool,
    max_age: Option<Box<str>>,
}

/// Origins that may ask.
#[derive(Debug, Default)]
struct Origins {
    any: bool,
    exact: Box<[Box<str>]>,
    below: Box<[Below]>,
}

/// Every host below a domain, as in `https://*.example.com:8443`.
#[derive(Debug)]
struct Below {
    /// Up to the wildcard: `https://`.
    before: Box<str>,
    /// What follows it: `.example.com:8443`.
    after: Box<str>,
}

/// What a [`Cors`] is made of.
#[derive(Debug, Default)]
pub struct CorsRule<'t> {
    /// Origins such as `https://a.example`, `https://*.example` for all hosts below, or `*`.
    pub origins: &'t [String],
    /// Methods; `*` is any.
    pub methods: &'t [String],
    /// Header names; `*` is any.
    pub headers: &'t [String],
    /// Names of response headers that pages may read.
    pub expose: &'t [String],
    /// Whether requests may carry cookies and other credentials.
    pub credentials: bool,
    /// For how many seconds a browser may remember the answer to a preflight.
    pub max_age_secs: Option<u64>,
}

// === impl Origins ===

impl Origins {
    fn new(written: &[String]) -> Self {
        let (wild, exact): (Vec<_>, Vec<_>) = written.iter().partition(|origin| origin.contains('*'));
        let below = wild.iter().filter_map(|origin| origin.split_once('*'));
        let below = below.filter(|(before, _)| !before.is_empty());
        Self {
            any: wild.iter().any(|origin| *origin == "*"),
            exact: exact.iter().map(|origin| origin.as_str().into()).collect(),
            below: below
                .map(|(before, after)| Below { before: before.into(), after: after.into() })
                .collect(),
        }
    }

    /// Whether this one is listed, by itself or by a wildcard in its host.
    fn lists(&self, origin: &[u8]) -> bool {
        let is_below = |below: &Below| {
            let rest = origin.strip_prefix(below.before.as_bytes());
            rest.and_then(|rest| rest.strip_suffix(below.after.as_bytes())).is_some_and(is_labels)
        };
        self.exact.iter().any(|exact| exact.as_bytes() == origin) || self.below.iter().any(is_below)
    }
}

/// Labels of a host as browsers write them; nothing that would end the host before its domain.
fn is_labels(text: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        !label.is_empty() && label.iter().all(plain)
    };
    text.split(|byte| *byte == b'.').all(is_label)
}

// === impl Cors ===

impl Cors {
    /// What a rule says.
    #[must_use]
    pub fn new(rule: &CorsRule<'_>) -> Self {
        let listed = |names: &[String]| names.iter().all(|name| name != "*").then(|| names.join(", ").into());
        Self {
            origins: Origins::new(rule.origins),
            methods: listed(rule.methods),
            headers: listed(rule.headers),
            expose: rule.expose.join(", ").into(),
            credentials: rule.credentials,
            max_age: rule.max_age_secs.map(|seconds| seconds.to_string().into()),
        }
    }

    /// Whether a browser asks whether it may ask (Fetch Standard, "CORS-preflight request").
    #[must_use]
    pub fn is_preflight(method: &str, headers: Headers<'_>) -> bool {
        method == "OPTIONS"
            && headers.get("origin").is_some()
            && headers.get("access-control-request-method").is_some()
    }

    /// Whether a received field is one of those that are written here.
    #[must_use]
    pub fn owns(name: &[u8]) -> bool {
        const PREFIX: &[u8] = b"access-control-";
        name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    }

    /// Gives `write` the fields of every response to a request from `origin`, the preflight's too.
    pub fn permission(&self, origin: Option<&[u8]>, mut write: impl FnMut(&'static str, &[u8])) {
        let anybody = self.origins.any && !self.credentials;
        if !anybody {
            write("vary", b"Origin");
        }
        let granted =
            if anybody { Some(&b"*"[..]) } else { origin.filter(|origin| self.origins.lists(origin)) };
        let Some(granted) = granted else { return };
        write("access-control-allow-origin", granted);
        if self.credentials {
            write("access-control-allow-credentials", b"true");
        }
        if !self.expose.is_empty() {
            write("access-control-expose-headers", self.expose.as_bytes());
        }
    }

    /// The further fields of the answer to a preflight. Of an origin that may not ask there are none.
    #[must_use]
    pub fn preflight(&self, headers: Headers<'_>) -> Vec<(&'static str, Vec<u8>)> {
        let asked = |name| headers.get(name).filter(|value| is_names(value)).map(<[u8]>::to_vec);
        let (method, names) = ("access-control-request-method", "access-control-request-headers");
        let mut fields = Vec::with_capacity(4);
        if self.methods.is_none() || self.headers.is_none() {
            fields.push(("vary", [method, ", ", names].concat().into_bytes()));
        }
        let may = self.origins.any || headers.get("origin").is_some_and(|origin| self.origins.lists(origin));
        if !may {
            return fields;
        }
        let listed = |text: &str| Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty());
        let of = |known: Option<&str>, name| known.map_or_else(|| asked(name), listed);
        let answers = [
            ("access-control-allow-methods", of(self.methods.as_deref(), method)),
            ("access-control-allow-headers", of(self.headers.as_deref(), names)),
            ("access-control-max-age", self.max_age.as_deref().and_then(listed)),
        ];
        fields.extend(answers.into_iter().filter_map(|(name, value)| Some((name, value?))));
        fields
    }
}

/// Whether it is a list of tokens, so that it can be said again.
fn is_names(value: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte);
    !value.is_empty() && value.iter().all(fits)
}

#[cfg(test)]
mod tests;

//! Matchers over the parts of a request's head.
//!
//! They are built once, when a snapshot is compiled, and then only read. None allocates while matching, but for a query
//! parameter that is percent-encoded: it has to be decoded somewhere.

use std::{borrow::Cow, fmt};

use memchr::memmem;
use regex::bytes::Regex;

use crate::http::{Headers, RequestView};

/// A regular expression that a whole value must match.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// What a value must be. Bytes are compared, with their case.
#[derive(Debug, Clone)]
pub enum ValueMatcher {
    /// There is one, be it empty.
    Present,
    /// Exactly this.
    Exact(Box<[u8]>),
    /// One of these.
    In(Box<[Box<[u8]>]>),
    /// Begins so.
    Prefix(Box<[u8]>),
    /// Contains this.
    Contains(Box<[u8]>),
    /// Matches this as a whole.
    Regex(Pattern),
}

/// A header, cookie or query parameter by name, and what its value must be.
#[derive(Debug, Clone)]
pub struct NamedMatcher {
    name: Box<str>,
    value: ValueMatcher,
}

/// What a request's path must be. The path is matched as received.
#[derive(Debug, Clone)]
pub enum PathMatcher {
    /// Exactly this.
    Exact(Box<[u8]>),
    /// This by whole segments (Gateway API `PathPrefix`); kept without the slash at its end, so `/` is empty.
    Prefix(Box<[u8]>),
    /// Matches this as a whole.
    Regex(Pattern),
}

/// What a request's host must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMatcher {
    /// Any, or none.
    Any,
    /// Exactly this name, in lower case.
    Exact(Box<str>),
    /// One or more labels before this suffix, which begins with its dot: `.example.com` for `*.example.com`.
    Wildcard(Box<str>),
}

/// Why a text is no matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// Not a regular expression of crate `regex`, or one that compiles to more than its limit of 10 MiB.
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Regex {
        /// The text.
        pattern: String,
        /// What the compiler said.
        reason: String,
    },
    /// Neither a name nor `*.` and a name.
    #[error("`{0}` is not a host: write a name such as `shop.example.com`, or `*.example.com`")]
    Host(String),
    /// A path that does not begin with `/`.
    #[error("`{0}` is not a path: it begins with `/`")]
    Path(String),
}

// === impl Pattern ===

impl Pattern {
    /// Compiles `pattern` so that it must match a value as a whole.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn new(pattern: &str) -> Result<Self, MatcherError> {
        let error = |source: regex::Error| MatcherError::Regex {
            pattern: pattern.to_owned(),
            reason: source.to_string(),
        };
        // By itself first: `a)|(b` would be valid between the anchors, and mean something else.
        Regex::new(pattern).map_err(error)?;
        let regex = Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(error)?;
        Ok(Self { text: pattern.into(), regex })
    }

    /// Whether `value` matches as a whole.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl ValueMatcher ===

impl ValueMatcher {
    /// Exactly `text`.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self::Exact(text.as_bytes().into())
    }

    /// One of `texts`.
    #[must_use]
    pub fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self::In(texts.into_iter().map(|text| text.as_bytes().into()).collect())
    }

    /// Begins with `text`.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self::Prefix(text.as_bytes().into())
    }

    /// Contains `text`.
    #[must_use]
    pub fn contains(text: &str) -> Self {
        Self::Contains(text.as_bytes().into())
    }

    /// Matches `pattern` as a whole.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn regex(pattern: &str) -> Result<Self, MatcherError> {
        Pattern::new(pattern).map(Self::Regex)
    }

    /// Whether `value` is what it must be.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => value == &text[..],
            Self::In(texts) => texts.iter().any(|text| value == &text[..]),
            Self::Prefix(text) => value.starts_with(text),
            Self::Contains(text) => memmem::find(value, text).is_some(),
            Self::Regex(pattern) => pattern.matches(value),
        }
    }
}

impl fmt::Display for ValueMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        match self {
            Self::Present => f.write_str("present"),
            Self::Exact(value) => write!(f, "= {}", text(value)),
            Self::In(values) => {
                let values: Vec<_> = values.iter().map(|value| text(value)).collect();
                write!(f, "in [{}]", values.join(", "))
            }
            Self::Prefix(value) => write!(f, "begins with {}", text(value)),
            Self::Contains(value) => write!(f, "contains {}", text(value)),
            Self::Regex(pattern) => write!(f, "matches {pattern}"),
        }
    }
}

// === impl NamedMatcher ===

impl NamedMatcher {
    /// The header, cookie or parameter `name` must be `value`.
    #[must_use]
    pub fn new(name: &str, value: ValueMatcher) -> Self {
        Self { name: name.into(), value }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a value is what it must be.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        self.value.matches(value)
    }

    /// Whether any header field of this name (any case) has such a value. Each field line is compared by itself.
    #[must_use]
    pub fn matches_header(&self, headers: Headers<'_>) -> bool {
        headers.all(&self.name).any(|value| self.value.matches(value))
    }

    /// Whether the first cookie of this name (with its case) has such a value. User agents send the most specific
    /// path's cookie first (RFC 6265, section 5.4).
    #[must_use]
    pub fn matches_cookie(&self, headers: Headers<'_>) -> bool {
        headers.cookies(&self.name).next().is_some_and(|value| self.value.matches(value))
    }

    /// Whether the first query parameter of this name has such a value, both decoded as a form
    /// (application/x-www-form-urlencoded). A parameter without `=` has an empty value.
    #[must_use]
    pub fn matches_query(&self, query: Option<&[u8]>) -> bool {
        query
            .and_then(|query| query_value(query, self.name.as_bytes()))
            .is_some_and(|value| self.value.matches(&value))
    }
}

impl fmt::Display for NamedMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.value)
    }
}

/// The decoded value of the first parameter `name`.
fn query_value<'q>(query: &'q [u8], name: &[u8]) -> Option<Cow<'q, [u8]>> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let value = pair.get(equals + 1..).unwrap_or_default();
        (*form_decoded(&pair[..equals]) == *name).then(|| form_decoded(value))
    })
}

/// Decodes `+` and `%XX`; a `%` that no two hexadecimal digits follow stands for itself.
fn form_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, hex(text.get(at + 1)), hex(text.get(at + 2))) {
            (b'+', ..) => decoded.push(b' '),
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
                at += 2;
            }
            (other, ..) => decoded.push(*other),
        }
        at += 1;
    }
    Cow::Owned(decoded)
}

// === impl PathMatcher ===

impl PathMatcher {
    /// Exactly `path`.
    ///
    /// # Errors
    /// When it does not begin with `/`.
    pub fn exact(path: &str) -> Result<Self, MatcherError> {
        checked_path(path).map(|path| Self::Exact(path.as_bytes().into()))
    }

    /// `path` and everything below it; a slash at its end makes no difference.
    ///
    /// # Errors
    /// When it does not begin with `/`.
    pub fn prefix(path: &str) -> Result<Self, MatcherError> {
        let path = checked_path(path)?;
        Ok(Self::Prefix(path.strip_suffix('/').unwrap_or(path).as_bytes().into()))
    }

    /// Matches `pattern` as a whole.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn regex(pattern: &str) -> Result<Self, MatcherError> {
        Pattern::new(pattern).map(Self::Regex)
    }

    /// Whether `path` is what it must be. The prefix `/` matches every path, also the `*` of `OPTIONS *`.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => path == &exact[..],
            Self::Prefix(prefix) => ends_segment(path, prefix.len()) && path.starts_with(prefix),
            Self::Regex(pattern) => pattern.matches(path),
        }
    }
}

impl fmt::Display for PathMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "= {}", String::from_utf8_lossy(path)),
            Self::Prefix(path) => write!(f, "below {}/", String::from_utf8_lossy(path)),
            Self::Regex(pattern) => write!(f, "matches {pattern}"),
        }
    }
}

/// Whether a segment of `path` ends at `at`, so that a prefix of that length could match.
pub(super) fn ends_segment(path: &[u8], at: usize) -> bool {
    at == 0 || path.len() == at || path.get(at) == Some(&b'/')
}

fn checked_path(path: &str) -> Result<&str, MatcherError> {
    if path.starts_with('/') { Ok(path) } else { Err(MatcherError::Path(path.to_owned())) }
}

// === impl HostMatcher ===

impl HostMatcher {
    /// A host as the control file writes it: a name, `*.example.com`, or `*` for any. Case is ignored.
    ///
    /// # Errors
    /// When there is a `*` anywhere but as the whole first label, a port, a space, or nothing at all.
    pub fn new(text: &str) -> Result<Self, MatcherError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let literal = name.starts_with('[') && name.ends_with(']') && lower.len() == name.len();
        let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
        if !literal && (name.is_empty() || dots || !name.chars().all(allowed)) {
            return Err(MatcherError::Host(text.to_owned()));
        }
        Ok(match lower.strip_prefix('*') {
            Some(suffix) => Self::Wildcard(suffix.into()),
            None => Self::Exact(lower.into()),
        })
    }

    /// Whether `host`, in lower case and without port, is what it must be.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => *host == **name,
            Self::Wildcard(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }
}

/// Whether the request's method is one of `methods`; no methods are any.
pub(super) fn matches_method(methods: &[Box<str>], request: &RequestView<'_>) -> bool {
    methods.is_empty() || methods.iter().any(|method| **method == *request.method)
}

//! What is sent on in place of what was asked for.

use std::borrow::Cow;

/// Another path or Host for the backend. Nothing of the client's path is decoded; what is not taken off goes on as received.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    strip: Box<[u8]>,
    prefix: Box<[u8]>,
    host: Option<Box<str>>,
}

// === impl Rewrite ===

impl Rewrite {
    /// Takes `strip` off the front of paths, by whole segments, where it is there, puts `prefix` in its place, and asks for
    /// `host`. Slashes at the end of either make no difference.
    #[must_use]
    pub fn new(strip: Option<&str>, prefix: Option<&str>, host: Option<&str>) -> Self {
        let trimmed = |text: Option<&str>| text.unwrap_or_default().trim_end_matches('/').as_bytes().into();
        Self { strip: trimmed(strip), prefix: trimmed(prefix), host: host.map(Into::into) }
    }

    /// The Host to send.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The target to send for this one. The `*` of OPTIONS stays what it is.
    #[must_use]
    pub fn target<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        if target == b"*" || (self.strip.is_empty() && self.prefix.is_empty()) {
            return Cow::Borrowed(target);
        }
        let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        let rest = strip_prefix(path, &self.strip).unwrap_or(path);
        if self.prefix.is_empty() && !rest.is_empty() {
            return Cow::Borrowed(&target[path.len() - rest.len()..]);
        }
        let root: &[u8] = if self.prefix.is_empty() { b"/" } else { &self.prefix };
        Cow::Owned([root, rest, query].concat())
    }
}

/// What follows `prefix` in `path`, if it begins with it by whole segments; `prefix` has no slash at its end.
pub(super) fn strip_prefix<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix).filter(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_whole_segments_and_the_rest_stays() {
        for (strip, prefix, target, sent) in [
            (Some("/api"), None, "/api/v1?x=/api", "/v1?x=/api"),
            (Some("/api/"), None, "/api/v1", "/v1"),
            (Some("/api"), None, "/api", "/"),
            (Some("/api"), None, "/api/", "/"),
            (Some("/api"), None, "/api?x", "/?x"),
            (Some("/api"), None, "/apis", "/apis"),
            (Some("/api"), None, "/v1/api", "/v1/api"),
            (Some("/api"), None, "/%61pi/x", "/%61pi/x"),
            (Some("/api"), None, "/api//x/../y", "//x/../y"),
            (Some("/api"), Some("/v2"), "/api/x?y", "/v2/x?y"),
            (Some("/api"), Some("/v2/"), "/api", "/v2"),
            (Some("/api"), Some("/v2"), "/other", "/v2/other"),
            (None, Some("/v2"), "/", "/v2/"),
            (None, Some("/"), "/x", "/x"),
            (Some("/"), None, "/x", "/x"),
            (None, Some("/v2"), "*", "*"),
            (None, None, "/x", "/x"),
        ] {
            let rewrite = Rewrite::new(strip, prefix, None);
            let rewritten = rewrite.target(target.as_bytes());
            assert_eq!(String::from_utf8_lossy(&rewritten), sent, "{strip:?} {prefix:?} {target}");
        }
    }
}

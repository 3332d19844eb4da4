//! Answers that a route gives itself, without a backend: redirects and fixed responses.

use super::rewrite::strip_prefix;

/// What a route answers itself.
#[derive(Debug)]
pub enum Answer {
    /// Elsewhere.
    Redirect(Redirect),
    /// Always the same.
    Respond(Respond),
}

/// Sends clients elsewhere. What is not given stays as it was asked for; the query always does.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// A host without port.
    pub host: Option<Box<str>>,
    /// A port.
    pub port: Option<u16>,
    /// A path.
    pub path: Option<PathChange>,
}

/// Another path.
#[derive(Debug)]
pub enum PathChange {
    /// This one.
    Whole(Box<str>),
    /// Another prefix.
    Prefix {
        /// The prefixes that the route matches, without slashes at their ends; the longest that the path has is replaced.
        of: Box<[Box<str>]>,
        /// What takes its place, without a slash at its end.
        with: Box<str>,
    },
}

/// Always the same response.
#[derive(Debug)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// What the body is.
    pub content_type: Box<str>,
    /// The body; empty is none.
    pub body: Box<str>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The Host with its port, if it has one.
    pub authority: &'a [u8],
    /// The path as received; `*` counts as `/`.
    pub path: &'a [u8],
    /// The query as received.
    pub query: Option<&'a [u8]>,
}

// === impl Redirect ===

impl Redirect {
    /// The `Location` for a request, always absolute: a path that begins with two slashes would else name a host. `None` when there
    /// is no host to name.
    ///
    /// The port is the one given; else the one asked for, if neither scheme nor host change; else the scheme's own.
    #[must_use]
    pub fn location(&self, asked: &Asked<'_>) -> Option<Vec<u8>> {
        let scheme = self.scheme.unwrap_or(asked.scheme);
        let (asked_host, asked_port) = split_port(asked.authority);
        let host = self.host.as_ref().map_or(asked_host, |host| host.as_bytes());
        if host.is_empty() {
            return None;
        }
        let mut location = [scheme.as_bytes(), b"://", host].concat();
        let stays = self.host.is_none() && scheme == asked.scheme;
        match self.port {
            Some(80) if scheme == "http" => {}
            Some(443) if scheme == "https" => {}
            Some(port) => location.extend_from_slice(format!(":{port}").as_bytes()),
            None if stays => location.extend_from_slice(asked_port),
            None => {}
        }
        match &self.path {
            None => location.extend_from_slice(rooted(asked.path)),
            Some(PathChange::Whole(path)) => location.extend_from_slice(path.as_bytes()),
            Some(PathChange::Prefix { of, with }) => {
                let rests = of.iter().filter_map(|prefix| strip_prefix(asked.path, prefix.as_bytes()));
                let rest = rests.min_by_key(|rest| rest.len()).unwrap_or(asked.path);
                let path = [with.as_bytes(), rest].concat();
                location.extend_from_slice(rooted(&path));
            }
        }
        if let Some(query) = asked.query {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        Some(location)
    }
}

fn rooted(path: &[u8]) -> &[u8] {
    if path.first() == Some(&b'/') { path } else { b"/" }
}

/// The host, and the port with its colon.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let from = authority.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = authority[from..].iter().position(|byte| *byte == b':').map(|at| from + at);
    authority.split_at(colon.unwrap_or(authority.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect() -> Redirect {
        Redirect { status: 302, scheme: None, host: None, port: None, path: None }
    }

    fn prefix(of: &[&str], with: &str) -> Option<PathChange> {
        Some(PathChange::Prefix { of: of.iter().map(|of| (*of).into()).collect(), with: with.into() })
    }

    #[test]
    fn what_is_not_given_stays() {
        let https = || Redirect { scheme: Some("https"), ..redirect() };
        let host = || Redirect { host: Some("b.example".into()), ..redirect() };
        let port = |port| Redirect { port: Some(port), ..redirect() };
        let whole = || Redirect { path: Some(PathChange::Whole("/new".into())), ..redirect() };
        let old = |with| Redirect { path: prefix(&["/old", "/old/deep", ""], with), ..redirect() };
        for (redirect, authority, target, location) in [
            (https(), "a.example:8080", "/x%2F?q=1", "https://a.example/x%2F?q=1"),
            (https(), "[::1]:8080", "/", "https://[::1]/"),
            (https(), "[::1]", "*", "https://[::1]/"),
            (https(), "a", "//evil.example/", "https://a//evil.example/"),
            (Redirect { port: Some(8443), ..https() }, "a:80", "/", "https://a:8443/"),
            (Redirect { port: Some(443), ..https() }, "a:80", "/", "https://a/"),
            (host(), "a:8080", "/x", "http://b.example/x"),
            (port(8080), "a:81", "/", "http://a:8080/"),
            (port(80), "a:81", "/", "http://a/"),
            (whole(), "a:81", "/old?q", "http://a:81/new?q"),
            (old("/new"), "a", "/old/x", "http://a/new/x"),
            (old("/new"), "a", "/old", "http://a/new"),
            (old("/new"), "a", "/old/deep/x", "http://a/new/x"),
            (old("/new"), "a", "/older", "http://a/new/older"),
            (old(""), "a", "/old?q", "http://a/?q"),
        ] {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let asked = Asked {
                scheme: "http",
                authority: authority.as_bytes(),
                path: path.as_bytes(),
                query: query.map(str::as_bytes),
            };
            let found = redirect.location(&asked).map(|location| String::from_utf8(location).unwrap());
            assert_eq!(found.as_deref(), Some(location), "{authority} {target}");
        }
    }

    #[test]
    fn without_a_host_there_is_nowhere_to_go() {
        let asked = Asked { scheme: "http", authority: b"", path: b"/", query: None };
        assert_eq!(Redirect { scheme: Some("https"), ..redirect() }.location(&asked), None);
    }
}

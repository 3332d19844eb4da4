//! The request target and the Host: which host and path a request is for, and when the two disagree.
//!
//! RFC 9112, sections 3.2 and 3.3. The path is never decoded or normalized: what is matched is what is forwarded.

use std::ops::Range;

use super::{Known, RequestHead, head::Version};

/// Where a request goes, as ranges of the buffer its head was parsed from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The Host as received, with its port; `None` only on HTTP/1.0 without a Host.
    pub authority: Option<Range<usize>>,
    /// Path and query, as received; empty when an absolute target had neither.
    pub path_and_query: Range<usize>,
    /// Whether the target is the server as a whole (`OPTIONS *`).
    pub asterisk: bool,
}

/// Why a target or Host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a path, an absolute http URI or, for OPTIONS, `*`.
    #[error("malformed request target")]
    Malformed,
    /// No Host on HTTP/1.1.
    #[error("Host is missing")]
    NoHost,
    /// More than one Host.
    #[error("more than one Host")]
    ManyHosts,
    /// A Host that is no host with an optional port.
    #[error("malformed Host")]
    BadHost,
    /// The absolute target names another host than Host does.
    #[error("Host disagrees with the request target")]
    Disagree,
    /// CONNECT, which Weir does not offer.
    #[error("CONNECT is not offered")]
    Connect,
}

// === impl TargetError ===

impl TargetError {
    /// The words for the client.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "the request target is malformed",
            Self::NoHost => "Host is missing",
            Self::ManyHosts => "there is more than one Host",
            Self::BadHost => "Host is malformed",
            Self::Disagree => "Host disagrees with the request target",
            Self::Connect => "CONNECT is not offered here",
        }
    }
}

// === impl Target ===

impl Target {
    /// Reads target and Host of a parsed head.
    ///
    /// # Errors
    /// When they are malformed, missing or contradict each other.
    pub fn of(head: &RequestHead, buffer: &[u8]) -> Result<Self, TargetError> {
        let method = head.method(buffer);
        if method == "CONNECT" {
            return Err(TargetError::Connect);
        }
        let mut hosts = head.headers(buffer).known(Known::Host);
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(TargetError::ManyHosts);
        }
        if host.is_none() && head.version != Version::Http10 {
            return Err(TargetError::NoHost);
        }
        if host.is_some_and(|host| !is_authority(host)) {
            return Err(TargetError::BadHost);
        }
        let authority = host.map(|host| offset_of(buffer, host));
        let target = head.target(buffer);
        if target.contains(&b'#') {
            return Err(TargetError::Malformed);
        }
        let whole = offset_of(buffer, target);
        match target {
            [b'/', ..] => Ok(Self { authority, path_and_query: whole, asterisk: false }),
            b"*" if method == "OPTIONS" => Ok(Self { authority, path_and_query: whole, asterisk: true }),
            _ => Self::absolute(buffer, whole, host, method),
        }
    }

    fn absolute(
        buffer: &[u8],
        whole: Range<usize>,
        host: Option<&[u8]>,
        method: &str,
    ) -> Result<Self, TargetError> {
        let target = &buffer[whole.clone()];
        let scheme = ["http://", "https://"]
            .into_iter()
            .find(|scheme| {
                target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
            })
            .ok_or(TargetError::Malformed)?;
        let start = whole.start + scheme.len();
        let rest = &buffer[start..whole.end];
        let end = start + rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let authority = &buffer[start..end];
        if !is_authority(authority) {
            return Err(TargetError::Malformed);
        }
        let default_port: &[u8] = if scheme == "http://" { b"80" } else { b"443" };
        if host.is_some_and(|host| !same_authority(host, authority, default_port)) {
            return Err(TargetError::Disagree);
        }
        let path_and_query = end..whole.end;
        let asterisk = path_and_query.is_empty() && method == "OPTIONS";
        Ok(Self { authority: Some(start..end), path_and_query, asterisk })
    }

    /// The path alone, from `/`; `/` when an absolute target has none.
    #[must_use]
    pub fn path<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        let whole = &buffer[self.path_and_query.clone()];
        let path = &whole[..memchr::memchr(b'?', whole).unwrap_or(whole.len())];
        if path.is_empty() { b"/" } else { path }
    }

    /// What follows the first `?`.
    #[must_use]
    pub fn query<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        let whole = &buffer[self.path_and_query.clone()];
        memchr::memchr(b'?', whole).map(|at| &whole[at + 1..])
    }

    /// The host in lower case without its port, into `into`; empty when the request has none.
    pub fn host_into(&self, buffer: &[u8], into: &mut String) {
        into.clear();
        let Some(authority) = self.authority.clone() else { return };
        let authority = &buffer[authority];
        let host = &authority[..port_colon(authority).unwrap_or(authority.len())];
        // It was checked to be ASCII.
        into.push_str(std::str::from_utf8(host).unwrap_or_default());
        into.make_ascii_lowercase();
    }
}

/// Whether this is `host [":" port]` (RFC 3986, section 3.2.2) without user information. A comma, which a reg-name could
/// hold, is refused: it is how two Hosts look after a merge.
fn is_authority(text: &[u8]) -> bool {
    let colon = port_colon(text);
    let host = &text[..colon.unwrap_or(text.len())];
    let port = colon.map_or(&b""[..], |at| &text[at + 1..]);
    let port_ok = port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= 65_535;
    port_ok && (is_ip_literal(host) || is_reg_name(host))
}

fn is_ip_literal(host: &[u8]) -> bool {
    host.strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .and_then(|inside| std::str::from_utf8(inside).ok())
        .is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_reg_name(host: &[u8]) -> bool {
    !host.is_empty()
        && host.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
                || matches!(byte, b'*' | b'+' | b';' | b'=')
        })
}

/// The colon before the port: the last one outside brackets.
fn port_colon(authority: &[u8]) -> Option<usize> {
    let from = authority.iter().rposition(|byte| *byte == b']').map_or(0, |at| at + 1);
    authority[from..].iter().position(|byte| *byte == b':').map(|at| from + at)
}

/// Equal hosts and ports; no port is the scheme's own.
fn same_authority(a: &[u8], b: &[u8], default_port: &[u8]) -> bool {
    let part = |text: &[u8]| match port_colon(text) {
        Some(at) => (text[..at].to_ascii_lowercase(), text[at + 1..].to_vec()),
        None => (text.to_ascii_lowercase(), Vec::new()),
    };
    let ((host_a, port_a), (host_b, port_b)) = (part(a), part(b));
    let or_default = |port: &Vec<u8>| if port.is_empty() { default_port.to_vec() } else { port.clone() };
    host_a == host_b && or_default(&port_a) == or_default(&port_b)
}

fn offset_of(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;

//! The words that become label values: closed sets, so that no client can invent a time series.

/// The request's method as a label: the registered ones of RFC 9110 and PATCH (RFC 5789), and one for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the methods")]
pub enum MethodLabel {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Other,
}

/// The class of a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeClass {
    /// 100 to 199; only 101 ends a request.
    Informational,
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 to 599, and every number that is no status at all (RFC 9110, section 15).
    ServerError,
}

/// What went wrong with a request or an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// No connection to the endpoint.
    Connect,
    /// The endpoint took longer than a timeout allows.
    Timeout,
    /// The endpoint closed or reset the connection before the response was complete.
    Reset,
    /// The TLS handshake with the endpoint failed.
    Tls,
    /// A limit of Weir's own refused the request: breaker, pending requests, memory.
    Overload,
    /// The client went away before it had the whole response.
    AbortedByClient,
    /// The endpoint's response was malformed.
    Protocol,
    /// The backend had no endpoint that could take the request.
    Unavailable,
}

/// Why a listener answered a request itself, without a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The request line is malformed (400).
    RequestLine,
    /// A header line is malformed (400).
    Header,
    /// Host is missing, doubled, malformed or disagrees with the target (400).
    Host,
    /// The length of the body is ambiguous (400).
    Framing,
    /// The target or the header block is too large, or there are too many headers (414, 431).
    TooLarge,
    /// The head did not arrive in time (408).
    Timeout,
    /// The HTTP version or an expectation is not supported (505, 417).
    Unsupported,
    /// No route matches (404).
    NoRoute,
    /// Weir is at its limit of connections or memory (503).
    Overload,
    /// The connection does not begin with the PROXY protocol header that it must have; it ends without an answer.
    ProxyProtocol,
}

/// The limit at which a connection was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shed {
    /// That of the listener.
    Listener,
    /// That of all listeners together.
    Total,
    /// That of one client address.
    Address,
}

/// How a TLS handshake with a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handshake {
    /// With a new session.
    Full,
    /// With a session that was there before (RFC 8446, section 2.2).
    Resumed,
    /// It took too long.
    Timeout,
    /// The client did not speak TLS.
    Plaintext,
    /// No version, cipher suite or protocol in common.
    Incompatible,
    /// The client's certificate was missing or not accepted.
    ClientCertificate,
    /// The client refused; most often it did not accept the certificate.
    Alert,
    /// The client broke the protocol.
    Malformed,
    /// The client left.
    Gone,
}

/// What of a route's policy answered a request, in place of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyLabel {
    /// The client's address may not ask (403).
    Access,
    /// A browser asked whether a page may use the route.
    Cors,
    /// It was asked too often (429).
    RateLimit,
    /// The request's body is larger than the route takes (413).
    MaxBody,
    /// The request's body came too slowly (408).
    MinBodyRate,
    /// A failure made on purpose.
    Fault,
    /// The route sends clients elsewhere.
    Redirect,
    /// The route always answers the same.
    Respond,
    /// There is no token that is trusted (401).
    Jwt,
}

/// What became of a request's token, on routes that verify them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenLabel {
    /// It was verified.
    Verified,
    /// It was verified before, by the same worker.
    Known,
    /// There was none.
    Missing,
    /// It is no signed token.
    Malformed,
    /// There was more than one.
    Ambiguous,
    /// No key is for it.
    NoKey,
    /// Its signature is wrong.
    Signature,
    /// It has expired, or does not say when it will.
    Expired,
    /// It is not valid yet.
    Early,
    /// It is by another issuer.
    Issuer,
    /// It is for another audience.
    Audience,
}

/// A failure made on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultLabel {
    /// The request was held up.
    Delay,
    /// It was answered in place of a backend.
    Abort,
}

/// Who asked for a change of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeSource {
    /// The control file.
    File,
    /// The admin API.
    Api,
    /// A rollout.
    Rollout,
    /// Another instance of the fleet.
    Fleet,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeResult {
    /// It is in force.
    Applied,
    /// It was what already ran.
    Unchanged,
    /// It was refused; what ran keeps running.
    Refused,
}

/// What became of a call of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminResult {
    /// Answered as asked: 2xx and 3xx.
    Ok,
    /// Not allowed: 401 and 403.
    Denied,
    /// The caller's mistake, or a conflict: any other 4xx.
    Refused,
    /// Weir's fault: 5xx.
    Failed,
}

/// Why a call of the admin API was not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenialReason {
    /// It did not say who asks.
    NoToken,
    /// Its token is not known.
    WrongToken,
    /// Its token has ended.
    Expired,
    /// The caller's role is too weak.
    Role,
    /// It is about a route that is not the caller's.
    Scope,
    /// It asked for a host that is not one of the API.
    Host,
    /// A page of another origin sent it.
    Origin,
    /// Too many attempts of its address have failed.
    RateLimited,
}

/// What came of an attempt to tell people something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotificationResult {
    /// It was taken.
    Sent,
    /// The place does not want it, or is not there any more.
    Skipped,
    /// It was not taken, and will be tried again.
    Failed,
    /// The place will never take it.
    Refused,
    /// It was tried for as long as it is of use.
    GivenUp,
}

/// Gives an enum its variants in order, their words, and each one's place.
macro_rules! labels {
    ($name:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            /// All values, in the order of their [`index`](Self::index).
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word in metrics and logs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The value's place in [`ALL`](Self::ALL).
            #[must_use]
            pub fn index(self) -> usize {
                self as usize
            }
        }
    };
}

labels!(MethodLabel:
    Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Delete = "DELETE", Connect = "CONNECT",
    Options = "OPTIONS", Trace = "TRACE", Patch = "PATCH", Other = "_OTHER");
labels!(CodeClass:
    Informational = "1xx", Success = "2xx", Redirection = "3xx", ClientError = "4xx", ServerError = "5xx");
labels!(ErrorKind:
    Connect = "connect", Timeout = "timeout", Reset = "reset", Tls = "tls", Overload = "overload",
    AbortedByClient = "aborted_by_client", Protocol = "protocol", Unavailable = "unavailable");
labels!(Refusal:
    RequestLine = "request_line", Header = "header", Host = "host", Framing = "framing", TooLarge = "too_large",
    Timeout = "timeout", Unsupported = "unsupported", NoRoute = "no_route", Overload = "overload",
    ProxyProtocol = "proxy_protocol");
labels!(Shed: Listener = "listener", Total = "total", Address = "address");
labels!(Handshake:
    Full = "full", Resumed = "resumed", Timeout = "timeout", Plaintext = "plaintext", Incompatible = "incompatible",
    ClientCertificate = "client_certificate", Alert = "alert", Malformed = "malformed", Gone = "gone");
labels!(PolicyLabel:
    Access = "access", Cors = "cors", RateLimit = "rate_limit", MaxBody = "max_body", MinBodyRate = "min_body_rate", Fault = "fault", Redirect = "redirect",
    Respond = "respond", Jwt = "jwt");
labels!(TokenLabel:
    Verified = "verified", Known = "known", Missing = "missing", Malformed = "malformed", Ambiguous = "ambiguous", NoKey = "no_key",
    Signature = "signature", Expired = "expired", Early = "early", Issuer = "issuer", Audience = "audience");
labels!(FaultLabel: Delay = "delay", Abort = "abort");
labels!(ChangeSource: File = "file", Api = "api", Rollout = "rollout", Fleet = "fleet");
labels!(ChangeResult: Applied = "applied", Unchanged = "unchanged", Refused = "refused");
labels!(DenialReason:
    NoToken = "no_token", WrongToken = "wrong_token", Expired = "expired", Role = "role", Scope = "scope", Host = "host",
    Origin = "origin", RateLimited = "rate_limited");
labels!(NotificationResult:
    Sent = "sent", Skipped = "skipped", Failed = "failed", Refused = "refused", GivenUp = "given_up");
labels!(AdminResult: Ok = "ok", Denied = "denied", Refused = "refused", Failed = "failed");

// === impl MethodLabel ===

impl MethodLabel {
    /// The label of a method token; methods are case-sensitive (RFC 9110, section 9.1).
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        match method {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

// === impl CodeClass ===

impl CodeClass {
    /// The class of a status code.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

// === impl AdminResult ===

impl AdminResult {
    /// The result that a response's status tells.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            100..=399 => Self::Ok,
            401 | 403 => Self::Denied,
            400..=499 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_words_agree() {
        for (place, label) in MethodLabel::ALL.into_iter().enumerate() {
            assert_eq!(label.index(), place);
            assert_eq!(MethodLabel::of(label.as_str().as_bytes()), label);
        }
        for (place, label) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(label.index(), place);
        }
        for (place, label) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(label.index(), place);
        }
        assert_eq!(MethodLabel::of(b"get"), MethodLabel::Other);
        assert_eq!(MethodLabel::of(b"BREW"), MethodLabel::Other);
    }

    #[test]
    fn statuses_have_classes() {
        for (status, class, result) in [
            (101, "1xx", "ok"),
            (200, "2xx", "ok"),
            (304, "3xx", "ok"),
            (403, "4xx", "denied"),
            (499, "4xx", "refused"),
            (599, "5xx", "failed"),
            (999, "5xx", "failed"),
            (0, "5xx", "failed"),
        ] {
            assert_eq!(CodeClass::of(status).as_str(), class, "{status}");
            assert_eq!(AdminResult::of(status).as_str(), result, "{status}");
        }
    }
}

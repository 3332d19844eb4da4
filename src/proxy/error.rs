//! What can go wrong with a request: whose fault it was, what the client is told, and whether another attempt may be made.
//!
//! This is the one table from errors to statuses.

use std::{io, time::Duration};

use crate::{
    http::{HeadError, TargetError, framing::FramingError},
    telemetry::{ErrorKind, PolicyLabel, Refusal},
    upstream::{breaker::Limit, connect::ConnectError},
};

/// Why a request was not answered by an upstream as it should have been.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// The client closed or reset its connection, or stopped in the middle of its body.
    #[error("the client went away")]
    ClientGone,
    /// The client's body is malformed.
    #[error("the request's body is malformed")]
    ClientBody,
    /// The client's body is larger than the route takes.
    #[error("the request's body is too large")]
    TooLarge,
    /// The client's body came slower than the route wants.
    #[error("the request's body came too slowly")]
    TooSlow,
    /// The client sent nothing of its body, or took nothing of the response, for too long.
    #[error("the client kept still")]
    ClientIdle,
    /// No endpoint of the backend can take the request.
    #[error("no endpoint is available")]
    Unavailable,
    /// The backend is asked all that it may be.
    #[error("the backend is at its limit of {}", .0.as_str())]
    Overload(Limit),
    /// No connection to the endpoint.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The endpoint ended the connection before the first byte of its response.
    #[error("the endpoint closed the connection without an answer")]
    Closed {
        /// Whether the connection had carried a request before: then the endpoint may just have given it up.
        reused: bool,
        /// Whether not one byte of the request was written.
        unsent: bool,
        /// What the system said; `None` at an orderly end.
        source: Option<io::Error>,
    },
    /// The endpoint refused the stream without looking at the request (RFC 9113, section 8.7).
    #[error("the endpoint refused the stream")]
    Refused(#[source] io::Error),
    /// The endpoint answered with a status for which another attempt is made. Nobody is told; what the client gets in the end is a
    /// real response.
    #[error("the endpoint answered {0}")]
    Status(u16),
    /// The endpoint does not speak HTTP/2 as it should.
    #[error("no HTTP/2 connection to the endpoint")]
    Session(#[source] h2::Error),
    /// The endpoint does not take WebSockets over HTTP/2 (RFC 8441, section 3).
    #[error("the endpoint takes no WebSocket over HTTP/2")]
    NoConnect,
    /// The request cannot be said in HTTP/2.
    #[error("the request cannot be said in HTTP/2")]
    Untranslatable,
    /// The endpoint's response head is malformed.
    #[error("the endpoint's response is malformed")]
    Head(#[source] HeadError),
    /// The endpoint switched protocols without being asked.
    #[error("the endpoint switched protocols")]
    Switched,
    /// The endpoint ended the connection within its response.
    #[error("the endpoint broke off its response")]
    Truncated(#[source] Option<io::Error>),
    /// The endpoint's body is malformed.
    #[error("the endpoint's body is malformed")]
    Body,
    /// The endpoint did not begin its response in time.
    #[error("no response within {0:?}")]
    ResponseTimeout(Duration),
    /// Nothing moved for too long.
    #[error("nothing moved for {0:?}")]
    StreamIdle(Duration),
}

// === impl ProxyError ===

impl ProxyError {
    /// The status that the client gets when nothing has been sent to it yet; 499 (as nginx logs it) when it has gone.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::ClientGone => 499,
            Self::ClientBody => 400,
            Self::TooLarge => 413,
            Self::ClientIdle | Self::TooSlow => 408,
            Self::Unavailable | Self::Overload(_) => 503,
            Self::Connect(ConnectError::Timeout { .. }) | Self::ResponseTimeout(_) | Self::StreamIdle(_) => {
                504
            }
            Self::Connect(ConnectError::Io { .. } | ConnectError::Tls { .. })
            | Self::Session(_)
            | Self::NoConnect
            | Self::Untranslatable
            | Self::Closed { .. }
            | Self::Refused(_)
            | Self::Head(_)
            | Self::Switched
            | Self::Truncated(_)
            | Self::Body => 502,
            Self::Status(status) => *status,
        }
    }

    /// What the client is told: enough to know whose turn it is, nothing of what is behind Weir.
    pub(super) fn public_text(&self) -> &'static str {
        match self {
            Self::ClientGone => "the client went away",
            Self::ClientBody => "the request's body is malformed",
            Self::TooLarge => "the request's body is too large",
            Self::TooSlow => "the request's body came too slowly",
            Self::ClientIdle => "the request's body did not arrive in time",
            Self::Unavailable => "no backend is available",
            Self::Overload(_) => "the backend is busy",
            Self::Connect(ConnectError::Timeout { .. }) => "the backend could not be reached in time",
            Self::Connect(ConnectError::Io { .. } | ConnectError::Tls { .. }) => {
                "the backend could not be reached"
            }
            Self::Session(_) | Self::Untranslatable => "the backend could not be asked",
            Self::NoConnect => "the backend takes no WebSocket",
            Self::Closed { .. } | Self::Truncated(_) => "the backend closed the connection",
            Self::Refused(_) | Self::Status(_) => "the backend refused the request",
            Self::Head(_) | Self::Switched | Self::Body => "the backend's response could not be understood",
            Self::ResponseTimeout(_) | Self::StreamIdle(_) => "the backend did not answer in time",
        }
    }

    /// The kind in metrics and logs; `None` when a response of ours is all there is to it.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::ClientGone | Self::ClientIdle => Some(ErrorKind::AbortedByClient),
            Self::ClientBody | Self::TooLarge | Self::TooSlow | Self::Status(_) => None,
            Self::Unavailable => Some(ErrorKind::Unavailable),
            Self::Overload(_) => Some(ErrorKind::Overload),
            Self::Connect(ConnectError::Timeout { .. }) | Self::ResponseTimeout(_) | Self::StreamIdle(_) => {
                Some(ErrorKind::Timeout)
            }
            Self::Connect(ConnectError::Io { .. }) => Some(ErrorKind::Connect),
            Self::Connect(ConnectError::Tls { .. }) => Some(ErrorKind::Tls),
            Self::Closed { source, .. } if source.as_ref().is_some_and(is_of_tls) => Some(ErrorKind::Tls),
            Self::Closed { .. } | Self::Refused(_) | Self::Truncated(_) => Some(ErrorKind::Reset),
            Self::Session(_)
            | Self::NoConnect
            | Self::Untranslatable
            | Self::Head(_)
            | Self::Switched
            | Self::Body => Some(ErrorKind::Protocol),
        }
    }

    /// Whether it tells against the endpoint: it could not be reached, or did not answer as it should. A reused connection
    /// that ended before it was written to tells nothing.
    pub(super) fn is_upstreams_fault(&self) -> bool {
        match self {
            Self::Closed { reused, unsent, .. } => !(*reused && *unsent),
            Self::Connect(_)
            | Self::Refused(_)
            | Self::Session(_)
            | Self::Head(_)
            | Self::Switched
            | Self::Truncated(_)
            | Self::Body
            | Self::ResponseTimeout(_)
            | Self::StreamIdle(_) => true,
            Self::ClientGone
            | Self::ClientBody
            | Self::TooLarge
            | Self::TooSlow
            | Self::ClientIdle
            | Self::Unavailable
            | Self::Overload(_)
            | Self::Status(_)
            | Self::NoConnect
            | Self::Untranslatable => false,
        }
    }

    /// Whether it is the client's doing, so that no response is of use any more, or that it shall be told.
    pub(super) fn is_clients(&self) -> bool {
        matches!(
            self,
            Self::ClientGone | Self::ClientBody | Self::TooLarge | Self::TooSlow | Self::ClientIdle
        )
    }

    /// What of the route's policy it is, if it is.
    pub(super) fn policy(&self) -> Option<PolicyLabel> {
        match self {
            Self::TooLarge => Some(PolicyLabel::MaxBody),
            Self::TooSlow => Some(PolicyLabel::MinBodyRate),
            _ => None,
        }
    }

    /// Whether another endpoint must be tried, because this one cannot be reached at all.
    pub(super) fn is_endpoints_fault(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Session(_))
    }
}

/// Whether TLS ended it. In TLS 1.3 an endpoint refuses Weir's certificate only after the handshake is done for Weir.
fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// What a client is told about a head that is refused: the status, and the label it is counted under.
pub(super) fn refusal_of_head(error: HeadError) -> (u16, Refusal) {
    match error {
        HeadError::Malformed => (400, Refusal::Header),
        HeadError::BareLf => (400, Refusal::Header),
        HeadError::Version => (505, Refusal::Unsupported),
        HeadError::TargetTooLong => (414, Refusal::TooLarge),
        HeadError::TooLarge | HeadError::TooMany => (431, Refusal::TooLarge),
        HeadError::Framing(FramingError::Unsupported) => (501, Refusal::Unsupported),
        HeadError::Framing(_) => (400, Refusal::Framing),
    }
}

/// The same for a target or Host that is refused.
pub(super) fn refusal_of_target(error: TargetError) -> (u16, Refusal) {
    match error {
        TargetError::Malformed => (400, Refusal::RequestLine),
        TargetError::Connect => (405, Refusal::Unsupported),
        TargetError::NoHost | TargetError::ManyHosts | TargetError::BadHost | TargetError::Disagree => {
            (400, Refusal::Host)
        }
    }
}

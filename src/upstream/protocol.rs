//! What an endpoint speaks.

use crate::net::Stream;

/// What the endpoints of a backend speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1, in the clear or in TLS.
    #[default]
    Http11,
    /// HTTP/2 in the clear, known beforehand (RFC 9113, section 3.3).
    H2c,
    /// HTTP/2 in TLS.
    H2,
    /// What the endpoint chooses in the TLS handshake (ALPN, RFC 7301).
    Auto,
}

// === impl Protocol ===

impl Protocol {
    /// Whether a connection can be one that carries many requests.
    #[must_use]
    pub fn may_be_h2(self) -> bool {
        self != Self::Http11
    }

    /// Whether a connection can be one that carries one request at a time.
    #[must_use]
    pub fn may_be_h1(self) -> bool {
        matches!(self, Self::Http11 | Self::Auto)
    }

    /// Whether HTTP/2 is spoken on this connection, which was just opened.
    #[must_use]
    pub fn is_h2(self, stream: &Stream) -> bool {
        match self {
            Self::Http11 => false,
            Self::H2c | Self::H2 => true,
            Self::Auto => {
                stream.tls().is_some_and(|tls| tls.get_ref().1.alpn_protocol() == Some(b"h2".as_slice()))
            }
        }
    }
}

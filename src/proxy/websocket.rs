//! WebSocket handshakes between sides that speak different versions of HTTP.
//!
//! HTTP/1.1 has a key in the request and its proof in the answer (RFC 6455, section 4), HTTP/2 has neither (RFC 8441, section 5): the
//! frames that follow are the same. So where a client speaks HTTP/2 and the endpoint does not, a key is made up; where it is the other
//! way round, the proof is.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::fields::Fields;
use crate::http::{RequestHead, Upgrade, Version};

/// What a key is joined with before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Base64 (RFC 4648, section 4).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A handshake that an endpoint can be asked for over HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handshake {
    /// What an HTTP/1.1 client is to get as `Sec-WebSocket-Accept`; `None` is for one that speaks HTTP/2.
    pub(super) proof: Option<String>,
}

// === impl Handshake ===

impl Handshake {
    /// The one that a request asks for. Without a key an HTTP/1.1 client could not be answered, so that is none.
    pub(super) fn of(head: &RequestHead, bytes: &[u8]) -> Option<Self> {
        if head.upgrade != Some(Upgrade::WebSocket) {
            return None;
        }
        if head.version == Version::Http2 {
            return Some(Self { proof: None });
        }
        let key = head.headers(bytes).get("sec-websocket-key")?;
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
        Some(Self { proof: Some(base64(hash.as_ref())) })
    }
}

/// Writes a key of 128 random bits (RFC 6455, section 4.1).
pub(super) fn write_key(out: &mut impl Fields, [high, low]: [u64; 2]) {
    let bits = u128::from(high) << 64 | u128::from(low);
    out.field(b"sec-websocket-key", base64(&bits.to_be_bytes()).as_bytes());
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = ALPHABET[usize::try_from(bits >> (18 - 6 * at) & 63).unwrap_or_default()];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, Progress};

    #[test]
    fn a_proof_is_that_of_the_rfc() {
        let bytes = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut head = RequestHead::default();
        let parsed = head.parse(bytes, HeadLimits { bytes: 4096, fields: 100 });
        assert_eq!(parsed, Ok(Progress::Complete));
        let proof = Handshake::of(&head, bytes).and_then(|handshake| handshake.proof);
        assert_eq!(proof.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn base64_of_any_length() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

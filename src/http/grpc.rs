//! What HTTP must know of gRPC: who speaks it, and how a failure is told to them.
//!
//! A gRPC client reads the outcome from `grpc-status`, not from the HTTP status (gRPC over HTTP/2, "Responses").

use std::fmt::Write as _;

/// Whether a request with this `content-type` is a gRPC call; gRPC-Web, which has its own form of answers, is not.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some((name, rest)) = content_type.split_at_checked(NAME.len()) else { return false };
    name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The gRPC status that stands for an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping"), where the mapping would leave a client
/// in the dark the nearest of "Status codes and their use in gRPC".
#[must_use]
pub fn status_of_http(status: u16) -> u8 {
    match status {
        400 => 13,                   // INTERNAL
        401 => 16,                   // UNAUTHENTICATED
        403 => 7,                    // PERMISSION_DENIED
        404 => 12,                   // UNIMPLEMENTED
        408 => 4,                    // DEADLINE_EXCEEDED
        413 | 431 => 8,              // RESOURCE_EXHAUSTED
        429 | 502 | 503 | 504 => 14, // UNAVAILABLE
        _ => 2,                      // UNKNOWN
    }
}

/// The HTTP status that stands for a gRPC status which tells of a failure of the server, where the HTTP status itself is 200; `None` for
/// success and for what the caller did wrong (OpenTelemetry, "Semantic conventions for gRPC", and RESOURCE_EXHAUSTED).
#[must_use]
pub fn failure_as_http(status: u8) -> Option<u16> {
    match status {
        2 | 13 | 15 => Some(500), // UNKNOWN, INTERNAL, DATA_LOSS
        4 => Some(504),           // DEADLINE_EXCEEDED
        8 | 14 => Some(503),      // RESOURCE_EXHAUSTED, UNAVAILABLE
        12 => Some(501),          // UNIMPLEMENTED
        _ => None,
    }
}

/// The number in a `grpc-status`.
#[must_use]
pub fn status_of(value: &[u8]) -> Option<u8> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// `text` as the value of `grpc-message`: everything but printable ASCII, and `%` itself, percent-encoded.
#[must_use]
pub fn message(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_grpc() {
        for (content_type, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grp", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(content_type.as_bytes()), is, "{content_type}");
        }
    }

    #[test]
    fn what_stands_for_an_http_status() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (413, 8),
            (429, 14),
            (502, 14),
            (503, 14),
            (504, 14),
            (500, 2),
        ] {
            assert_eq!(status_of_http(http), grpc, "{http}");
        }
    }

    #[test]
    fn which_statuses_are_the_servers_failures() {
        for (value, http) in [
            ("0", None),
            ("1", None),
            ("2", Some(500)),
            ("3", None),
            ("4", Some(504)),
            ("5", None),
            ("7", None),
            ("8", Some(503)),
            ("12", Some(501)),
            ("13", Some(500)),
            ("14", Some(503)),
            ("15", Some(500)),
            ("16", None),
            ("x", None),
        ] {
            assert_eq!(status_of(value.as_bytes()).and_then(failure_as_http), http, "{value}");
        }
    }

    #[test]
    fn messages_are_printable() {
        assert_eq!(message("no endpoint answers"), "no endpoint answers");
        assert_eq!(message("100 % é\n"), "100 %25 %C3%A9%0A");
    }
}

//! The gRPC health service: the two messages of `grpc.health.v1`, small enough to be written and read by hand.
//!
//! Sources: gRPC Health Checking Protocol (grpc/doc/health-checking.md), gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), and the
//! Protocol Buffers wire format.

use bytes::Bytes;
use hyper::{
    Request, Uri,
    header::{self, HeaderMap},
};

use super::USER_AGENT;
use crate::types::cause::chain;

/// The path of the call.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";
/// The length of a message's prefix: a flag and four bytes of length.
const PREFIX: usize = 5;
/// `ServingStatus` of `HealthCheckResponse`, in the order of its numbers.
const SERVING_STATUS: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// The head of the call.
pub(super) fn request(uri: Uri) -> Result<Request<()>, String> {
    let request = Request::post(uri)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT);
    request.body(()).map_err(|error| chain(&error))
}

/// `HealthCheckRequest` in its frame: field 1 is the service, a string.
pub(super) fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        put_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

/// Whether the answer is SERVING; `trailers` has how the call ended.
pub(super) fn verdict(status: u16, trailers: &HeaderMap, answer: &[u8]) -> Result<(), String> {
    if status != 200 {
        return Err(format!("status {status}"));
    }
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => {}
        "" => return Err("no grpc-status; is it a gRPC server?".to_owned()),
        "5" => return Err("the server does not know the service (grpc-status 5)".to_owned()),
        "12" => return Err("the server has no health service (grpc-status 12)".to_owned()),
        other => return Err(format!("grpc-status {other} {}", text("grpc-message")).trim_end().to_owned()),
    }
    match serving_status(answer) {
        Some(1) => Ok(()),
        Some(number) => {
            let name = usize::try_from(number).ok().and_then(|number| SERVING_STATUS.get(number));
            Err(name.map_or_else(|| format!("serving status {number}"), |name| (*name).to_owned()))
        }
        None => Err("the answer is no HealthCheckResponse".to_owned()),
    }
}

/// Field 1 of the `HealthCheckResponse` in its frame. A field that is not there has its default, 0.
fn serving_status(answer: &[u8]) -> Option<u64> {
    let (prefix, message) = answer.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    let compressed = prefix[0] != 0;
    let mut rest = message.get(..usize::try_from(length).ok()?)?;
    if compressed {
        return None;
    }
    let mut status = 0;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = take_varint(&mut rest)?,
            (_, 0) => drop(take_varint(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_question_is_a_framed_message() {
        assert_eq!(question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = "s".repeat(300);
        assert_eq!(question(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn only_serving_passes() {
        let well = trailers(&[("grpc-status", "0")]);
        for (answer, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Ok(())),
            // A field of a later version, before and after.
            (b"\0\0\0\0\x0a\x12\x01x\x08\x01\x1d\0\0\0\0", Ok(())),
            (b"\0\0\0\0\0", Err("UNKNOWN")),
            (b"\0\0\0\0\x02\x08\x02", Err("NOT_SERVING")),
            (b"\0\0\0\0\x02\x08\x03", Err("SERVICE_UNKNOWN")),
            (b"\0\0\0\0\x02\x08\x09", Err("serving status 9")),
            (b"\x01\0\0\0\x02\x08\x01", Err("the answer is no HealthCheckResponse")),
            (b"\0\0\0\0\x03\x08\x01", Err("the answer is no HealthCheckResponse")),
            (b"\0\0\0\0\x02\x08\x81", Err("the answer is no HealthCheckResponse")),
            (b"", Err("the answer is no HealthCheckResponse")),
        ] {
            assert_eq!(verdict(200, &well, answer), expected.map_err(str::to_owned), "{answer:?}");
        }
    }

    #[test]
    fn a_call_that_failed_says_why() {
        for (status, fields, expected) in [
            (503, &[("grpc-status", "0")][..], "status 503"),
            (200, &[], "no grpc-status; is it a gRPC server?"),
            (200, &[("grpc-status", "5")], "the server does not know the service (grpc-status 5)"),
            (200, &[("grpc-status", "12")], "the server has no health service (grpc-status 12)"),
            (200, &[("grpc-status", "14"), ("grpc-message", "closing")], "grpc-status 14 closing"),
        ] {
            assert_eq!(verdict(status, &trailers(fields), b"\0\0\0\0\x02\x08\x01"), Err(expected.to_owned()));
        }
    }
}

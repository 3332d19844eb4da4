//! Translation by table: what an HTTP/2 message looks like as a head.

use super::*;
use ::http::{Request, Response};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 8 };

fn request(uri: &str, fields: &[(&str, &str)], ended: bool) -> Result<(RequestHead, String), HeadError> {
    let mut request = Request::builder().uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let mut head = RequestHead::default();
    let mut bytes = Vec::new();
    head.translate(&parts, ended, LIMITS, &mut bytes)?;
    let lines: Vec<String> = head
        .headers(&bytes)
        .iter()
        .map(|(name, value)| format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    let target = String::from_utf8_lossy(head.target(&bytes)).into_owned();
    let text = format!("{} {target}\n{}", head.method(&bytes), lines.join("\n"));
    Ok((head, text))
}

#[test]
fn a_request_reads_as_if_it_had_come_as_text() {
    let fields = [("x-a", "1"), ("cookie", "a=1"), ("x-b", "2"), ("cookie", "b=2")];
    let (head, text) = request("https://shop.example:8443/a%2Fb?c", &fields, true).unwrap();
    assert_eq!(text, "GET /a%2Fb?c\nhost: shop.example:8443\nx-a: 1\nx-b: 2\ncookie: a=1; b=2");
    assert_eq!((head.version, head.framing, head.upgrade), (Version::Http2, Framing::None, None));
}

#[test]
fn requests_are_framed_or_refused() {
    for (fields, ended, expected) in [
        (&[][..], true, Ok(Framing::None)),
        (&[], false, Ok(Framing::Chunked)),
        (&[("content-length", "5")], false, Ok(Framing::Length(5))),
        (&[("content-length", "0")], true, Ok(Framing::None)),
        (
            &[("content-length", "5"), ("content-length", "5")],
            false,
            Err(framing::FramingError::Length.into()),
        ),
        (&[("content-length", "+5")], false, Err(framing::FramingError::Length.into())),
        (&[("host", "A.example")], true, Ok(Framing::None)),
        (&[("host", "b.example")], true, Err(HeadError::Malformed)),
        (&[("x", " padded")], true, Err(HeadError::Malformed)),
        (&[("x", "padded\t")], true, Err(HeadError::Malformed)),
        (&[("a", "1"); 9], true, Err(HeadError::TooMany)),
    ] {
        let result = request("https://a.example/", fields, ended).map(|(head, _)| head.framing);
        assert_eq!(result, expected, "{fields:?}");
    }
    let long = "a".repeat(5000);
    let target = request(&format!("https://a/{long}"), &[], true).map(drop);
    assert_eq!(target, Err(HeadError::TargetTooLong));
    assert_eq!(request("https://a/", &[("x", &long)], true).map(drop), Err(HeadError::TooLarge));
}

#[test]
fn an_extended_connect_is_a_get_that_asks_for_an_upgrade() {
    let mut request = Request::builder().method("CONNECT").uri("https://a/chat").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (parts, ()) = request.into_parts();
    let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
    head.translate(&parts, false, LIMITS, &mut bytes).unwrap();
    assert_eq!((head.method(&bytes), head.target(&bytes)), ("GET", &b"/chat"[..]));
    assert_eq!((head.upgrade, head.framing), (Some(Upgrade::WebSocket), Framing::None));
}

#[test]
fn responses_are_framed() {
    for (status, length, ended, to_head, expected) in [
        (200, None, false, false, Framing::Chunked),
        (200, None, true, false, Framing::None),
        (200, Some("7"), false, false, Framing::Length(7)),
        (200, Some("7"), true, true, Framing::None),
        (204, None, false, false, Framing::None),
        (304, Some("7"), true, false, Framing::None),
    ] {
        let mut response = Response::builder().status(status).header("x", "1");
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        let (parts, ()) = response.body(()).unwrap().into_parts();
        let (mut head, mut bytes) = (ResponseHead::default(), Vec::new());
        head.translate(&parts, (ended, to_head), &mut bytes).unwrap();
        assert_eq!((head.status, head.framing), (status, expected), "{status} {length:?} {ended} {to_head}");
        assert_eq!(head.headers(&bytes).get("x"), Some(&b"1"[..]));
    }
}

//! Heads by table: what is taken, and what is refused and why.

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 100 };

fn request(text: &str) -> Result<(RequestHead, Progress), HeadError> {
    let mut head = RequestHead::default();
    let progress = head.parse(text.as_bytes(), LIMITS)?;
    Ok((head, progress))
}

#[test]
fn requests_are_framed_or_refused() {
    let long_field = "a".repeat(5000);
    for (fields, expected) in [
        ("", Ok(Framing::None)),
        ("Content-Length: 0\r\n", Ok(Framing::None)),
        ("Content-Length: 12\r\n", Ok(Framing::Length(12))),
        ("content-length: 012\r\n", Ok(Framing::Length(12))),
        ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("Transfer-Encoding: CHUNKED\r\n", Ok(Framing::Chunked)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(FramingError::Length.into())),
        ("Content-Length: 5, 5\r\n", Err(FramingError::Length.into())),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(FramingError::Length.into())),
        ("Content-Length: +5\r\n", Err(FramingError::Length.into())),
        ("Content-Length: -5\r\n", Err(FramingError::Length.into())),
        ("Content-Length: 0x5\r\n", Err(FramingError::Length.into())),
        ("Content-Length: \r\n", Err(FramingError::Length.into())),
        ("Content-Length: 99999999999999999999\r\n", Err(FramingError::Length.into())),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(FramingError::LengthAndCoding.into())),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(FramingError::Coding.into())),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Err(FramingError::Coding.into())),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(FramingError::Coding.into())),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(FramingError::Unsupported.into())),
        ("Transfer-Encoding: identity\r\n", Err(FramingError::Coding.into())),
        ("Transfer-Encoding: xchunked\r\n", Err(FramingError::Coding.into())),
        ("Transfer-Encoding:\x0bchunked\r\n", Err(HeadError::Malformed)),
        ("Transfer-Encoding : chunked\r\n", Err(HeadError::Malformed)),
        ("Transfer-Encoding\r\n", Err(HeadError::Malformed)),
        (" folded: x\r\n", Err(HeadError::Malformed)),
        ("A: b\r\n c\r\n", Err(HeadError::Malformed)),
        ("A: b\nC: d\r\n", Err(HeadError::BareLf)),
        ("A: b\rC: d\r\n", Err(HeadError::Malformed)),
        ("A: b\0\r\n", Err(HeadError::Malformed)),
        (": b\r\n", Err(HeadError::Malformed)),
        (&format!("A: {long_field}\r\n"), Err(HeadError::TooLarge)),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(request(&text).map(|(head, _)| head.framing), expected, "{fields:?}");
    }
}

#[test]
fn request_lines_are_taken_or_refused() {
    let long_target = format!("/{}", "a".repeat(5000));
    for (line, expected) in [
        ("GET / HTTP/1.1\r\n", Ok(true)),
        ("GET / HTTP/1.0\r\n", Ok(false)),
        ("\r\nGET / HTTP/1.1\r\n", Ok(true)),
        ("\nGET / HTTP/1.1\r\n", Err(HeadError::BareLf)),
        ("GET / HTTP/1.1\n", Err(HeadError::BareLf)),
        ("GET / HTTP/2.0\r\n", Err(HeadError::Version)),
        ("GET  / HTTP/1.1\r\n", Err(HeadError::Malformed)),
        ("GET / HTTP/1.1 \r\n", Err(HeadError::Malformed)),
        ("GET /\r\n", Err(HeadError::Malformed)),
        (" GET / HTTP/1.1\r\n", Err(HeadError::Malformed)),
        ("G@T / HTTP/1.1\r\n", Err(HeadError::Malformed)),
        (&format!("GET {long_target} HTTP/1.1\r\n"), Err(HeadError::TargetTooLong)),
        (&format!("GET {long_target}"), Err(HeadError::TargetTooLong)),
    ] {
        let text = format!("{line}Host: a\r\n\r\n");
        let text = if line.ends_with('\n') { &text } else { line };
        assert_eq!(request(text).map(|(head, _)| head.keep_alive), expected, "{line:?}");
    }
}

#[test]
fn every_prefix_of_a_request_is_partial() {
    let text = "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(request(&text[..end]).map(|(_, progress)| progress), Ok(Progress::Partial), "{end}");
    }
    let (head, progress) = request(text).unwrap();
    assert_eq!((progress, head.head_len, head.expects_continue), (Progress::Complete, text.len(), true));
    assert_eq!((head.method(text.as_bytes()), head.target(text.as_bytes())), ("POST", &b"/a?b"[..]));
}

#[test]
fn a_hundred_fields_and_no_more() {
    for (count, expected) in [(99, Ok(Progress::Complete)), (100, Err(HeadError::TooMany))] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(request(&text).map(|(_, progress)| progress), expected, "{count}");
    }
}

#[test]
fn responses_are_framed_or_refused() {
    for (text, to_head, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, Ok((Framing::Length(3), true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, Ok((Framing::None, true))),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", false, Ok((Framing::None, true))),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, Ok((Framing::None, true))),
        ("HTTP/1.1 200\r\n\r\n", false, Ok((Framing::UntilClose, false))),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, Ok((Framing::Length(3), false))),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n",
            false,
            Ok((Framing::Length(3), true)),
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 3\r\n\r\n",
            false,
            Ok((Framing::Length(3), false)),
        ),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", false, Ok((Framing::Chunked, true))),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            Err(FramingError::LengthAndCoding.into()),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            false,
            Err(FramingError::Length.into()),
        ),
        ("HTTP/1.1 099 Odd\r\n\r\n", false, Err(HeadError::Malformed)),
        ("SSH-2.0-OpenSSH\r\n\r\n", false, Err(HeadError::Version)),
    ] {
        let mut head = ResponseHead::default();
        let parsed = head.parse(text.as_bytes(), to_head, LIMITS);
        assert_eq!(parsed.map(|_| (head.framing, head.keep_alive)), expected, "{text:?}");
    }
}

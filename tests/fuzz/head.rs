//! Request and response heads: what is taken is what a strict reader reads, and no byte that comes later changes it.

use proptest::prelude::*;
use weir::http::{
    Framing, HeadError, HeadLimits, Progress, RequestHead, ResponseHead, Target as RequestTarget, Version,
};

use super::{
    engine::{Target, Verdict, hash_of},
    strict::{self, Read},
};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 60 };

/// What is put into requests.
pub(crate) const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    "\x0b",
    "\x7f",
    "\u{80}",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "HTTP/1.10",
    "http/1.1",
    "GET",
    "CONNECT",
    "PRI",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "transfer-encoding: identity\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 18446744073709551617\r\n",
    "Content-Length:5\r\n",
    "Content-Length: 00005\r\n",
    "Content_Length: 5\r\n",
    "Host: b\r\n",
    "Host: a:1\r\n",
    "Host:\r\n",
    "Host: a, b\r\n",
    " folded\r\n",
    "\tfolded\r\n",
    ": nameless\r\n",
    "Connection: close\r\n",
    "Connection: Content-Length, Host\r\n",
    "Connection: keep-alive, X-A\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "Upgrade: h2c\r\n",
    "TE: trailers\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "http://a/",
    "https://a:443/",
    "http://a@b/",
    "//",
    "/../",
    "%00",
    "#",
    "*",
    "?",
    "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
];

#[test]
fn request_head() {
    let judge = Box::new(judge_request);
    Target { name: "request-head", grammar: requests(), pieces: PIECES, judge }.run();
}

#[test]
fn response_head() {
    let judge = Box::new(judge_response);
    Target { name: "response-head", grammar: responses(), pieces: PIECES, judge }.run();
}

/// One to three requests behind each other, mostly good.
pub(crate) fn requests() -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(one_request(), 1..4).prop_map(|all| all.concat()).boxed()
}

fn one_request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "X-1", "CONNECT",
    ]);
    let target = prop_oneof![
        4 => "/[a-z0-9/._~%?=&;@:-]{0,12}",
        1 => prop::sample::select(vec!["*", "http://a/x", "http://A:80/?q", "HTTPS://a/", "http://a?q", "http://b/", "//a/x", "/\u{e4}", "a:80"])
            .prop_map(str::to_owned),
    ];
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let name = prop::sample::select(vec![
        "X-A",
        "Accept",
        "Cookie",
        "X-Forwarded-For",
        "Content-Type",
        "Via",
        "Trailer",
        "x_y",
        "TE",
    ]);
    let value = "[ -~]{0,16}";
    let fields =
        prop::collection::vec((name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n")), 0..4);
    let odd = prop_oneof![
        6 => Just(String::new()),
        1 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
    ];
    let body = prop_oneof![
        4 => Just(String::new()).prop_map(|body| ("".to_owned(), body)),
        2 => "[a-z\r\n ]{1,20}".prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        2 => prop::collection::vec("[a-z0-9]{1,9}", 0..4).prop_map(|chunks| {
            let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{chunks}0\r\n\r\n"))
        }),
    ];
    (method, target, version, fields, odd, body).prop_map(
        |(method, target, version, fields, odd, (framing, body))| {
            let fields = fields.concat();
            format!("{method} {target} {version}\r\nHost: a\r\n{fields}{framing}{odd}\r\n{body}").into_bytes()
        },
    )
}

fn responses() -> BoxedStrategy<Vec<u8>> {
    let status = prop::sample::select(vec![
        "200 OK",
        "204 No Content",
        "304 Not Modified",
        "100 Continue",
        "101 S",
        "500",
        "999 X",
        "099 X",
    ]);
    let framing = prop::sample::select(vec![
        "",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\n",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\n"]);
    let field = prop::sample::select(vec![
        "",
        "A: b",
        "Set-Cookie: a=b",
        "Connection: close",
        "Connection: keep-alive",
    ]);
    (status, framing, end, prop::collection::vec(field, 0..4))
        .prop_map(|(status, framing, end, fields)| {
            let fields: String = fields
                .iter()
                .filter(|field| !field.is_empty())
                .map(|field| format!("{field}{end}"))
                .collect();
            format!("HTTP/1.1 {status}{end}{fields}{framing}{end}abc").into_bytes()
        })
        .boxed()
}

fn judge_request(bytes: &[u8]) -> Verdict {
    let mut head = RequestHead::default();
    let taken = head.parse(bytes, LIMITS);
    let behaviour = match taken {
        Ok(Progress::Partial) => "partial".to_owned(),
        Err(error) => format!("{error:?}"),
        Ok(Progress::Complete) => {
            if head.head_len > bytes.len() {
                return Err("longer than its bytes".to_owned());
            }
            agrees(&head, bytes)?;
            stable(bytes, head.head_len, |part| RequestHead::default().parse(part, LIMITS))?;
            let target = RequestTarget::of(&head, bytes);
            if let Ok(target) = &target {
                lawful_target(target, bytes)?;
            }
            let (framing, fields) = (kind(head.framing), head.headers(bytes).len().min(5));
            format!(
                "{framing} {fields} {:?} {} {:?} {:?}",
                head.version,
                head.keep_alive,
                head.upgrade,
                target.map(|_| ())
            )
        }
    };
    Ok(hash_of(&behaviour))
}

/// A strict reader reads the same request line, fields and framing.
fn agrees(head: &RequestHead, bytes: &[u8]) -> Result<(), String> {
    let mut whole = bytes[..head.head_len].to_vec();
    match head.framing {
        Framing::Length(length) if length < 1 << 20 => {
            whole.resize(whole.len() + usize::try_from(length).unwrap(), b'.')
        }
        Framing::Length(_) => return Ok(()),
        Framing::Chunked => whole.extend_from_slice(b"0\r\n\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
    let strict = match strict::read(&whole) {
        Read::Whole(strict, used) if used == whole.len() => strict,
        other => return Err(format!("taken, and strictly it is {other:?}")),
    };
    let minor = u8::from(head.version != Version::Http10);
    if strict.method != head.method(bytes) || strict.target != head.target(bytes) || strict.minor != minor {
        return Err(format!("another request line: {strict:?}"));
    }
    let fields: Vec<(String, Vec<u8>)> = head
        .headers(bytes)
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
        .collect();
    if fields != strict.fields {
        return Err(format!("other fields: {fields:?} and {:?}", strict.fields));
    }
    let same = match (head.framing, strict.framing) {
        (Framing::None, strict::Framing::None | strict::Framing::Length(0)) => true,
        (Framing::Length(length), strict::Framing::Length(other)) => length == other,
        (Framing::Chunked, strict::Framing::Chunked) => true,
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("another framing: {:?} and {:?}", head.framing, strict.framing)) }
}

/// Every shorter beginning is incomplete, and what follows the head plays no part in it.
fn stable(
    bytes: &[u8],
    head_len: usize,
    parse: impl Fn(&[u8]) -> Result<Progress, HeadError>,
) -> Result<(), String> {
    for cut in (0..head_len).step_by(1 + head_len / 64) {
        let part = parse(&bytes[..cut]);
        if part != Ok(Progress::Partial) {
            return Err(format!("complete with {head_len} bytes, and {part:?} with {cut}"));
        }
    }
    match parse(&bytes[..head_len]) {
        Ok(Progress::Complete) => Ok(()),
        other => Err(format!("alone it is {other:?}")),
    }
}

fn lawful_target(target: &RequestTarget, bytes: &[u8]) -> Result<(), String> {
    let path = target.path(bytes);
    if !(path.starts_with(b"/") || target.asterisk) {
        return Err(format!("the path {path:?}"));
    }
    let mut host = String::new();
    target.host_into(bytes, &mut host);
    let clean = host
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"/?#@, ".contains(&byte) && !byte.is_ascii_uppercase());
    if clean { Ok(()) } else { Err(format!("the host {host:?}")) }
}

fn judge_response(bytes: &[u8]) -> Verdict {
    let mut behaviours = Vec::new();
    for to_head in [false, true] {
        let mut head = ResponseHead::default();
        let taken = head.parse(bytes, to_head, LIMITS);
        if taken == Ok(Progress::Complete) {
            stable(bytes, head.head_len, |part| ResponseHead::default().parse(part, to_head, LIMITS))?;
            if !(100..1000).contains(&head.status) || (to_head && head.framing != Framing::None) {
                return Err(format!("taken as {head:?}"));
            }
            for (name, value) in head.headers(bytes).iter() {
                if name.is_empty() || value.iter().chain(name).any(|byte| b"\r\n\0".contains(byte)) {
                    return Err(format!("the field {name:?}: {value:?}"));
                }
            }
        }
        behaviours.push((format!("{taken:?}"), head.status / 100, kind(head.framing), head.keep_alive));
    }
    Ok(hash_of(&behaviours))
}

fn kind(framing: Framing) -> &'static str {
    match framing {
        Framing::None => "none",
        Framing::Length(_) => "length",
        Framing::Chunked => "chunked",
        Framing::UntilClose => "close",
    }
}

//! HTTP/2 end to end: frames in any order, fields of any bytes; what reaches the origin in HTTP/1.1 has one meaning.

use proptest::prelude::*;

use super::{
    engine::{Target, Verdict, hash_of},
    stage::Stage,
    support::Setup,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PIECES: &[&str] = &[
    "\0\0\0\x04\0\0\0\0\0",
    "\0\0\0\x04\x01\0\0\0\0",
    "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    "\0\0\x04\x08\0\0\0\0\x01\0\0\0\0",
    "\0\0\x08\x06\0\0\0\0\0pingping",
    "\0\0\0\x01\x05\0\0\0\x03",
    "\0\0\0\x09\x04\0\0\0\x01",
    "\0\0\0\0\x01\0\0\0\x01",
    "\r\n",
    ":path",
    "content-length",
    "transfer-encoding",
    "\x7f",
    "\0",
];

#[test]
fn h2_end_to_end() {
    let stage = Stage::new(|address| {
        Setup::new()
            .backend("stable", &[address])
            .listener("name: web, bind: \"127.0.0.1:0\"")
            .listener("name: h2, bind: \"127.0.0.1:0\", protocols: [h2c]")
    });
    Target { name: "h2", grammar: grammar(), pieces: PIECES, judge: Box::new(|input| judge(&stage, input)) }
        .run();
}

/// Bytes behind the preface: frames.
fn grammar() -> BoxedStrategy<Vec<u8>> {
    let name = prop::sample::select(vec![
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "te",
        "x-a",
        "cookie",
        "Upper",
        "x\r\ny",
        "",
        ":path",
        ":odd",
        "expect",
        "upgrade",
    ]);
    let value = prop_oneof![
        3 => prop::sample::select(vec!["5", "chunked", "a", "trailers", "a\r\nx: y", "a\0", " a", "0", "close", "100-continue", ""]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
    ];
    let pseudo = (
        prop::sample::select(vec!["GET", "POST", "HEAD", "CONNECT", "G T", ""]),
        prop::sample::select(vec!["/", "/a?b", "*", "", "a", "/ HTTP/1.1\r\nx: y", "/a b", "http://b/"]),
        prop::sample::select(vec!["a", "a:80", "", "a b", "a,b", "u@a"]),
        prop::sample::select(vec!["http", "https", ""]),
    );
    let fields = prop::collection::vec((name, value), 0..4);
    let data = prop::option::of(prop::collection::vec(any::<u8>(), 0..12));
    let trailer = prop::bool::weighted(0.2);
    prop::collection::vec((pseudo, fields, data, trailer), 1..4)
        .prop_map(|requests| {
            let mut bytes = frame(4, 0, 0, &[]);
            for (at, ((method, path, authority, scheme), fields, data, trailer)) in
                requests.into_iter().enumerate()
            {
                let stream = u32::try_from(at).unwrap() * 2 + 1;
                let mut block = Vec::new();
                for (name, value) in
                    [(":method", method), (":path", path), (":authority", authority), (":scheme", scheme)]
                {
                    literal(&mut block, name, value);
                }
                for (name, value) in &fields {
                    literal(&mut block, name, value);
                }
                let end = data.is_none() && !trailer;
                bytes.extend(frame(1, if end { 5 } else { 4 }, stream, &block));
                if let Some(data) = data {
                    bytes.extend(frame(0, u8::from(!trailer), stream, &data));
                }
                if trailer {
                    let mut block = Vec::new();
                    literal(&mut block, "x-sum", "1");
                    bytes.extend(frame(1, 5, stream, &block));
                }
            }
            bytes
        })
        .boxed()
}

fn judge(stage: &Stage, input: &[u8]) -> Verdict {
    let bytes = [PREFACE, input].concat();
    // Unless the client reads, acknowledges and closes, a connection lives on; saying goodbye ends it.
    let goodbye = frame(7, 0, 0, &[0; 8]);
    let answer = stage.send_to(stage.weir.address_of("h2"), &[&bytes[..], &goodbye].concat(), bytes.len())?;
    let seen = stage.seen()?;
    let (headers, kinds) = frames(input);
    if seen.len() > headers {
        return Err(format!("{headers} header blocks, and the origin saw {seen:?}"));
    }
    for request in &seen {
        if request.all("host").count() != 1 {
            return Err(format!("without one Host: {request:?}"));
        }
    }
    stage.check()?;
    Ok(hash_of(&(seen.len(), kinds, frames(&answer).1)))
}

/// How many frames have or end header blocks, and the frames' kinds in order.
fn frames(mut bytes: &[u8]) -> (usize, Vec<u8>) {
    let (mut headers, mut kinds) = (0, Vec::new());
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        headers += usize::from(matches!(head[3], 1 | 9));
        if kinds.len() < 8 {
            kinds.push(head[3]);
        }
        let Some(next) = rest.get(length..) else { break };
        bytes = next;
    }
    (headers, kinds)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A field that is in no table (RFC 7541, section 6.2.2), without Huffman.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text.as_bytes());
    }
}

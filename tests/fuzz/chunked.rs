//! Chunked bodies: read alike however they arrive in pieces, and never otherwise than a strict reader reads them.

use proptest::prelude::*;
use weir::http::{
    BodyDecoder, Framing,
    chunked::{Piece, write_size},
};

use super::{
    engine::{Target, Verdict, hash_of},
    strict::{self, Read},
};

const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "0\r\n\r\n",
    "1\r\nx\r\n",
    ";a=b",
    ";a=\"q\\\"\"",
    " ;x",
    "\t",
    "ffffffffffffffff",
    "000000000000001",
    "0x1",
    "-1",
    "+1",
    "1_0",
    " 1",
    "Host: x\r\n",
    "T: v\r\n",
    ": v\r\n",
    "T : v\r\n",
    " folded\r\n",
    "\0",
    "\u{80}",
];

#[test]
fn chunked() {
    Target { name: "chunked", grammar: grammar(), pieces: PIECES, judge: Box::new(judge) }.run();
}

/// The first two bytes say how the rest is cut into pieces.
fn grammar() -> BoxedStrategy<Vec<u8>> {
    let chunk = prop::collection::vec(any::<u8>(), 1..40);
    let extension = prop::sample::select(vec!["", "", "", ";a", ";a=b", " ;a=\"x;y\"", ";a=\"\\\"\""]);
    let trailers =
        prop::sample::select(vec!["", "", "A: b\r\n", "A: b\r\nC:d\r\n", "A:\r\n", "Content-Length: 3\r\n"]);
    let rest = prop::sample::select(vec!["", "", "GET / HTTP/1.1\r\n\r\n", "\r\n", "0"]);
    (any::<[u8; 2]>(), prop::collection::vec((chunk, extension), 0..5), trailers, rest)
        .prop_map(|(cuts, chunks, trailers, rest)| {
            let mut body = cuts.to_vec();
            for (data, extension) in chunks {
                let mut size = Vec::new();
                write_size(&mut size, data.len());
                body.extend_from_slice(&size[..size.len() - 2]);
                body.extend_from_slice(extension.as_bytes());
                body.extend_from_slice(b"\r\n");
                body.extend_from_slice(&data);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("0\r\n{trailers}\r\n{rest}").as_bytes());
            body
        })
        .boxed()
}

/// What a decoder made of it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Made {
    Whole { data: Vec<u8>, used: usize },
    Unfinished(Vec<u8>),
    Refused,
}

fn judge(input: &[u8]) -> Verdict {
    let Some((cuts, body)) = input.split_first_chunk::<2>() else { return Ok(0) };
    let whole = decode(body, &[])?;
    let steps: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % 23 + 1).collect();
    for steps in [&[1][..], &steps] {
        let pieces = decode(body, steps)?;
        if pieces != whole {
            return Err(format!("in steps of {steps:?} it is {pieces:?}, in one {whole:?}"));
        }
    }
    let strict = strict::chunked(body);
    match (&whole, &strict) {
        (Made::Whole { data, used }, Ok((expected, length))) if data == expected && used == length => {}
        (Made::Unfinished(_), Err(Read::Partial)) | (Made::Refused, _) => {}
        // It is refused once more is there.
        (Made::Unfinished(_), Err(Read::Never(_))) => {}
        other => return Err(format!("weir and the strict reader differ: {other:?}")),
    }
    let kind = match &whole {
        Made::Whole { data, .. } => 1 + data.len().min(4),
        Made::Unfinished(data) => 10 + data.len().min(4),
        Made::Refused => 20,
    };
    Ok(hash_of(&(kind, format!("{strict:?}").chars().filter(|c| c.is_alphabetic()).collect::<String>())))
}

/// Feeds the body in pieces of these sizes, in turn; all at once when there are none.
fn decode(body: &[u8], steps: &[usize]) -> Result<Made, String> {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut data, mut at, mut there) = (Vec::new(), 0, 0);
    let mut steps = steps.iter().copied().cycle();
    while there < body.len() {
        there = steps.next().map_or(body.len(), |step| (there + step).min(body.len()));
        loop {
            match decoder.next(&body[at..there]) {
                Err(_) => return Ok(Made::Refused),
                Ok(Piece::NeedMore) => break at = there,
                Ok(Piece::Data(range)) => {
                    data.extend_from_slice(&body[at..there][range.clone()]);
                    at += range.end;
                }
                Ok(Piece::End(used)) => {
                    if !decoder.is_done() {
                        return Err("ended, and not done".to_owned());
                    }
                    return Ok(Made::Whole { data, used: at + used });
                }
            }
        }
    }
    Ok(Made::Unfinished(data))
}

/// Sizes that are written are read.
#[test]
fn sizes_that_weir_writes_are_read_by_others() {
    proptest!(|(size in any::<usize>())| {
        let mut line = Vec::new();
        write_size(&mut line, size);
        let text = std::str::from_utf8(&line).unwrap().strip_suffix("\r\n").unwrap();
        prop_assert_eq!(usize::from_str_radix(text, 16).unwrap(), size);
    });
}

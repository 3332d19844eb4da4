//! Chunked bodies: whole, in every cut, and malformed.

use super::*;
use proptest::prelude::*;

/// Decodes `body` given in steps of `step` bytes: data, trailers and what follows the body.
fn decode(body: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, usize), ChunkedError> {
    let mut decoder = ChunkedDecoder::default();
    let mut data = Vec::new();
    let mut at = 0;
    let mut given = 0;
    loop {
        match decoder.next(&body[at..given])? {
            Piece::Data(range) => {
                data.extend_from_slice(&body[at..given][range.clone()]);
                at += range.end;
            }
            Piece::End(used) => return Ok((data, decoder.trailers().to_vec(), at + used)),
            Piece::NeedMore => {
                at = given;
                if given == body.len() {
                    return Ok((data, b"partial".to_vec(), at));
                }
                given = (given + step).min(body.len());
            }
        }
    }
}

#[test]
fn bodies_are_read_in_every_cut() {
    let body = b"4 ;a=\"b;\\\"c\"\r\nWiki\r\n00005\r\npedia\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\nGET /";
    for step in 1..=body.len() {
        let (data, trailers, used) = decode(body, step).unwrap();
        assert_eq!(data, b"Wikipedia");
        assert_eq!(trailers, b"X-Sum: 1\r\nX-B: 2\r\n");
        assert_eq!(&body[used..], b"GET /");
    }
}

#[test]
fn malformed_bodies_are_refused_in_every_cut() {
    for body in [
        &b"4\nWiki\r\n0\r\n\r\n"[..],
        b"4\r\nWiki0\r\n\r\n",
        b"4\r\nWiki\n0\r\n\r\n",
        b"\r\n",
        b";a\r\n",
        b"0x4\r\nWiki\r\n",
        b"+4\r\nWiki\r\n",
        b"-1\r\n",
        b" 4\r\nWiki\r\n",
        b"g\r\n",
        b"ffffffffffffffff\r\n",
        b"4;a\nb\r\nWiki\r\n",
        b"4;a\x00\r\nWiki\r\n",
        b"4;a=\"x\\\"\r\nWiki\r\n",
        b"4 x\r\nWiki\r\n",
        b"4 4\r\nWiki\r\n",
        b"4\rX\nWiki\r\n",
        b"0\r\n\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX: 1\r\n y\r\n\r\n",
    ] {
        for step in 1..=body.len() {
            assert_eq!(
                decode(body, step),
                Err(ChunkedError),
                "{:?} by {step}",
                String::from_utf8_lossy(body)
            );
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..20),
                               step in 1_usize..64) {
        let mut body = Vec::new();
        for chunk in &chunks {
            write_size(&mut body, chunk.len());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        let (data, trailers, used) = decode(&body, step).unwrap();
        prop_assert_eq!(data, chunks.concat());
        prop_assert!(trailers.is_empty());
        prop_assert_eq!(used, body.len());
    }
}

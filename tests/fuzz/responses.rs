//! Responses end to end: whatever an origin says, the client gets one well-formed answer or a cut one, and nobody else gets the rest.

use proptest::prelude::*;

use super::{
    engine::{Target, Verdict, hash_of},
    stage::{self, Stage},
};

const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\0",
    " ",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 E\r\n",
    "HTTP/1.1 101 S\r\n",
    "HTTP/2 200\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 99999999999\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 5, 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "fffffffffffffff\r\n",
    ";x=\"",
    "Connection: close\r\n",
    "Connection: Set-Cookie\r\n",
    "Set-Cookie: a=b\r\n",
    "X : y\r\n",
    " folded\r\n",
    ": x\r\n",
    "\u{e4}",
];

#[test]
fn responses_end_to_end() {
    let stage = Stage::new(|address| {
        // An answer that never ends is cut off soon.
        super::support::Setup::new()
            .backend("stable", &[address])
            .route("name: checks, match: { path: { prefix: /check } }, backend: stable")
            .route("name: all, backend: stable, timeouts: { response_headers: 100ms, stream_idle: 100ms }")
    });
    Target {
        name: "responses",
        grammar: grammar(),
        pieces: PIECES,
        judge: Box::new(|input| judge(&stage, input)),
    }
    .run();
}

fn grammar() -> BoxedStrategy<Vec<u8>> {
    let interim = prop::sample::select(vec![
        "",
        "",
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n",
    ]);
    let status = prop::sample::select(vec!["200 OK", "204 No", "304 Not", "404 X", "500", "101 S"]);
    let fields = prop::sample::select(vec![
        "",
        "Set-Cookie: a=b\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
    ]);
    let body = prop_oneof![
        "[a-z]{0,20}".prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        prop::collection::vec("[a-z]{1,9}", 0..4).prop_map(|chunks| {
            let chunks: String =
                chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{chunks}0\r\n\r\n"))
        }),
    ];
    let rest =
        prop::sample::select(vec!["", "", "", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "x"]);
    (interim, status, fields, body, rest)
        .prop_map(|(interim, status, fields, (framing, body), rest)| {
            format!("{interim}HTTP/1.1 {status}\r\n{fields}{framing}\r\n{body}{rest}").into_bytes()
        })
        .boxed()
}

fn judge(stage: &Stage, input: &[u8]) -> Verdict {
    let method = if hash_of(input).is_multiple_of(5) { "HEAD" } else { "GET" };
    stage.say(input);
    let request = format!("{method} /odd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = stage.send(request.as_bytes(), 0)?;
    let (statuses, whole) = stage::responses(&answer, &[method.to_owned()])?;
    if statuses.len() > 1 {
        return Err(format!("one request, and {} answers", statuses.len()));
    }
    stage.seen()?;
    // A poisoned connection would give the next client the rest.
    stage.check()?;
    stage.check()?;
    Ok(hash_of(&(statuses, whole, answer.len().min(400) / 40)))
}

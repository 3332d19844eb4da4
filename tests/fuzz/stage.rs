//! A real Weir on real sockets, and an origin that reads strictly, answers at once and remembers what it was asked.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{
    strict::{self, Read, Request},
    support::{PATIENCE, Setup, Weir},
};

/// How long a connection may stay open after the client has said all that it will say.
const HANG: Duration = Duration::from_secs(6);

/// Weir before an origin.
pub(crate) struct Stage {
    pub(crate) weir: Weir,
    origin: Origin,
    asked: std::cell::Cell<u64>,
}

/// An origin. What it is asked under `/odd` it answers with whatever it was given to say.
#[derive(Clone, Default)]
struct Origin(Arc<Mutex<Seen>>);

/// What an origin saw since it was looked at last.
#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    malformed: Vec<String>,
    odd: Vec<u8>,
}

// === impl Stage ===

impl Stage {
    /// `setup` makes the control file for an origin at this address.
    pub(crate) fn new(setup: impl FnOnce(SocketAddr) -> Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let origin = Origin::default();
        let serving = origin.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                let stream = stream.unwrap();
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { weir: setup(address).start(), origin, asked: std::cell::Cell::new(0) }
    }

    /// The usual one.
    pub(crate) fn plain() -> Self {
        Self::new(|address| Setup::new().backend("stable", &[address]))
    }

    /// What the origin says to whatever asks for `/odd`.
    pub(crate) fn say(&self, odd: &[u8]) {
        self.origin.0.lock().unwrap().odd = odd.to_vec();
    }

    /// Sends bytes, in two pieces when there is a place to cut them, and reads until Weir closes.
    pub(crate) fn send(&self, bytes: &[u8], cut: usize) -> Result<Vec<u8>, String> {
        self.send_to(self.weir.address(), bytes, cut)
    }

    /// The same to another listener.
    pub(crate) fn send_to(&self, address: SocketAddr, bytes: &[u8], cut: usize) -> Result<Vec<u8>, String> {
        let mut stream =
            TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.set_write_timeout(Some(HANG)).unwrap();
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        // Weir may refuse and close before it was told everything.
        let told = stream.write_all(first).and_then(|()| {
            thread::yield_now();
            stream.write_all(second)
        });
        if told.is_ok() {
            drop(stream.shutdown(Shutdown::Write));
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                Err(format!("hangs after {} bytes of answer", answer.len()))
            }
            _ => Ok(answer),
        }
    }

    /// The requests that the origin has seen since it was looked at last; an error when it saw what has not one meaning.
    pub(crate) fn seen(&self) -> Result<Vec<Request>, String> {
        let mut seen = self.origin.0.lock().unwrap();
        let (requests, malformed) = (std::mem::take(&mut seen.requests), std::mem::take(&mut seen.malformed));
        match malformed.first() {
            Some(what) => Err(format!("the origin got {what}")),
            None => Ok(requests),
        }
    }

    /// An ordinary request gets its own answer: no connection to the origin was left with another's bytes in it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let number = self.asked.get() + 1;
        self.asked.set(number);
        let request = format!("GET /check/{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = self.send(request.as_bytes(), 0)?;
        let answer = String::from_utf8_lossy(&answer);
        self.seen()?;
        if answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("GET /check/{number}")) {
            return Ok(());
        }
        Err(format!("a good request was answered: {answer}"))
    }
}

// === impl Origin ===

impl Origin {
    fn serve(&self, mut stream: TcpStream) {
        let (mut unread, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match strict::read(&unread) {
                Read::Whole(request, used) => {
                    unread.drain(..used);
                    let odd = request.target.starts_with(b"/odd");
                    let answer = if odd { self.0.lock().unwrap().odd.clone() } else { answer(&request) };
                    self.0.lock().unwrap().requests.push(*request);
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
                Read::Partial => match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => unread.extend_from_slice(&buffer[..count]),
                },
                Read::Never(why) => {
                    let what = format!("{}: {why}", super::engine::shown(&unread));
                    self.0.lock().unwrap().malformed.push(what);
                    return;
                }
            }
        }
    }
}

/// 200 with method and target, so that answers cannot be mistaken for each other.
fn answer(request: &Request) -> Vec<u8> {
    let body = [request.method.as_bytes(), b" ", &request.target].concat();
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(&body);
    }
    answer
}

/// Reads the final responses in what a client got, given the methods it asked with; whether all bytes belong to whole ones.
pub(crate) fn responses(mut bytes: &[u8], methods: &[String]) -> Result<(Vec<u16>, bool), String> {
    let (mut statuses, mut methods) = (Vec::new(), methods.iter());
    while !bytes.is_empty() {
        let Some(end) = strict::find(bytes, b"\r\n\r\n") else { return Ok((statuses, false)) };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status: u16 = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| format!("no response: {head:?}"))?;
        bytes = &bytes[end + 4..];
        if status < 200 {
            continue;
        }
        let to_head = methods.next().is_some_and(|method| method == "HEAD");
        let lengths: Vec<&str> = values(&head, "content-length").collect();
        let codings: Vec<&str> = values(&head, "transfer-encoding").collect();
        statuses.push(status);
        match (&lengths[..], &codings[..]) {
            _ if to_head || matches!(status, 204 | 304) => {}
            ([length], []) => {
                let length: usize = length.parse().map_err(|_| format!("the length {length:?}"))?;
                let Some(rest) = bytes.get(length..) else { return Ok((statuses, false)) };
                bytes = rest;
            }
            ([], ["chunked"]) => match strict::chunked(bytes) {
                Ok((_, used)) => bytes = &bytes[used..],
                Err(Read::Never(why)) => return Err(format!("a chunked body: {why}")),
                Err(_) => return Ok((statuses, false)),
            },
            ([], []) => return Ok((statuses, true)),
            _ => return Err(format!("an answer of two framings: {head:?}")),
        }
    }
    Ok((statuses, true))
}

fn values<'h>(head: &'h str, name: &'h str) -> impl Iterator<Item = &'h str> {
    head.split("\r\n").skip(1).filter_map(move |line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

//! Messages on a socket: a parser that has nothing in common with Weir's, so that it can judge it.
//!
//! It is plain and strict: CRLF, one length or chunks, nothing else. Bytes are kept as characters of the same number
//! (Latin-1), so that any byte can be compared as text.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

use super::tls::Session;

/// A connection with what has been read from it and not yet used.
pub(crate) struct Wire {
    pub(crate) stream: Arc<TcpStream>,
    /// TLS over it.
    pub(crate) session: Option<Session>,
    pub(crate) unread: Vec<u8>,
    /// Is told of every byte that arrives.
    pub(crate) tap: Option<Tap>,
}

/// Is told of bytes.
pub(crate) type Tap = Box<dyn Fn(&[u8]) + Send>;
/// Names and values, in order.
pub(crate) type Fields = Vec<(String, String)>;

/// A head: its first line and its fields, in order and with their case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
    /// In TLS, without a word of it: what came may not have been all.
    Cut,
}

/// Why a message is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection ended in it, after these bytes.
    Ended(End, Vec<u8>),
    /// Nothing came for too long.
    TimedOut,
    /// It is no HTTP.
    Malformed(String),
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Self {
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.set_write_timeout(Some(patience)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Arc::new(stream), session: None, unread: Vec::new(), tap: None }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += self.write(&bytes[sent..])?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.session {
            None => (&*self.stream).write(bytes),
            Some(session) => session.write(&self.stream, bytes),
        }
    }

    /// Sends as much as the connection takes without waiting longer than `patience` for room; how many bytes that was.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let before = self.stream.write_timeout().unwrap();
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(before).unwrap();
        sent
    }

    /// Closes the sending side.
    pub(crate) fn finish(&mut self) {
        if let Some(session) = &mut self.session {
            session.goodbye(&self.stream);
        }
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Makes the socket end by a reset once it is dropped.
    pub(crate) fn reset_on_drop(&self) {
        drop(socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)));
    }

    /// Reads once. An end is an error.
    pub(crate) fn fill(&mut self) -> Result<(), Broken> {
        let mut bytes = [0; 65_536];
        loop {
            let read = match &mut self.session {
                None => (&*self.stream).read(&mut bytes),
                Some(session) => session.read(&self.stream, &mut bytes),
            };
            return match read {
                Ok(0) => Err(Broken::Ended(End::Closed, Vec::new())),
                Ok(count) => {
                    self.unread.extend_from_slice(&bytes[..count]);
                    if let Some(tap) = &self.tap {
                        tap(&bytes[..count]);
                    }
                    Ok(())
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(Broken::TimedOut),
                    io::ErrorKind::UnexpectedEof => Err(Broken::Ended(End::Cut, Vec::new())),
                    // What TLS makes of it: no session, or an alert.
                    io::ErrorKind::InvalidData => Err(Broken::Malformed(error.to_string())),
                    _ => Err(Broken::Ended(End::Reset, Vec::new())),
                },
            };
        }
    }

    /// Reads a head.
    pub(crate) fn head(&mut self) -> Result<Head, Broken> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at;
            }
            self.fill().map_err(|broken| broken.after(&self.unread))?;
        };
        let head: Vec<u8> = self.unread.drain(..end + 4).collect();
        parse_head(&head[..end])
    }

    /// Reads exactly `len` bytes.
    pub(crate) fn exactly(&mut self, len: usize) -> Result<Vec<u8>, Broken> {
        while self.unread.len() < len {
            self.fill().map_err(|broken| broken.after(&self.unread))?;
        }
        Ok(self.unread.drain(..len).collect())
    }

    /// Reads until the connection ends in order.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(Broken::Ended(End::Closed, _)) => return Ok(std::mem::take(&mut self.unread)),
                Err(broken) => return Err(broken.after(&self.unread)),
            }
        }
    }

    /// Reads a chunked body and its trailers.
    pub(crate) fn chunked(&mut self) -> Result<(Vec<u8>, Fields), Broken> {
        let mut body = Vec::new();
        while let Some(data) = self.chunk().map_err(|broken| broken.prefixed(&body))? {
            body.extend_from_slice(&data);
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line().map_err(|broken| broken.prefixed(&body))?;
            if line.is_empty() {
                return Ok((body, trailers));
            }
            trailers.push(field(&line)?);
        }
    }

    /// Reads one chunk; `None` is the last one.
    pub(crate) fn chunk(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let line = self.line()?;
        let size = usize::from_str_radix(&line, 16)
            .map_err(|_| Broken::Malformed(format!("chunk size {line:?}")))?;
        if size == 0 {
            return Ok(None);
        }
        let data = self.exactly(size)?;
        match self.exactly(2)?.as_slice() {
            b"\r\n" => Ok(Some(data)),
            other => Err(Broken::Malformed(format!("{other:?} after a chunk"))),
        }
    }

    fn line(&mut self) -> Result<String, Broken> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n") {
                break at;
            }
            self.fill()?;
        };
        let line: Vec<u8> = self.unread.drain(..end + 2).collect();
        Ok(text(&line[..end]))
    }

    /// Reads to the end and throws away what comes; how it ended.
    pub(crate) fn end(&mut self) -> End {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(Broken::Ended(end, _)) => return end,
                Err(broken) => panic!("the connection is still open: {broken}"),
            }
        }
    }
}

// === impl Head ===

impl Head {
    /// The values of the fields of this name, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} stands {} times in {self:?}", values.len());
        values.first().copied()
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

// === impl Broken ===

impl Broken {
    fn after(self, bytes: &[u8]) -> Self {
        self.prefixed(bytes)
    }

    fn prefixed(self, bytes: &[u8]) -> Self {
        match self {
            Self::Ended(end, rest) => Self::Ended(end, [bytes, &rest].concat()),
            other => other,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(end, bytes) => {
                let shown = &bytes[..bytes.len().min(200)];
                write!(f, "ended ({end:?}) after {} bytes: {:?}", bytes.len(), text(shown))
            }
            Self::TimedOut => f.write_str("nothing came for too long"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

/// Bytes as characters of the same number.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The place of the first `needle`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(head: &[u8]) -> Result<Head, Broken> {
    let head = text(head);
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(Broken::Malformed(format!("control characters in {head:?}")));
    }
    let fields = lines.map(field).collect::<Result<_, _>>()?;
    Ok(Head { start, fields })
}

fn field(line: impl AsRef<str>) -> Result<(String, String), Broken> {
    let line = line.as_ref();
    let (name, value) =
        line.split_once(": ").ok_or_else(|| Broken::Malformed(format!("the field {line:?}")))?;
    let token = |letter: char| letter.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(letter);
    if name.is_empty() || !name.chars().all(token) {
        return Err(Broken::Malformed(format!("the name {name:?}")));
    }
    Ok((name.to_owned(), value.to_owned()))
}

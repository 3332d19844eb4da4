//! A reader of HTTP/1.1 requests that has nothing in common with Weir's, strict where RFC 9112 lets a recipient be lenient.
//!
//! What Weir forwards must be what this reads in the client's bytes, and this must read one meaning in what Weir writes.

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    /// HTTP/1.x
    pub(crate) minor: u8,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

/// How its body was delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What bytes begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// A request of so many bytes.
    Whole(Box<Request>, usize),
    /// What may become one.
    Partial,
    /// None, and for what reason.
    Never(String),
}

type Broken = Result<(), Read>;

// === impl Request ===

impl Request {
    pub(crate) fn all<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| &value[..])
    }

    /// The target as it is forwarded: without scheme and authority (RFC 9112, section 3.2.2).
    pub(crate) fn origin_form(&self) -> Vec<u8> {
        let lower = self.target.to_ascii_lowercase();
        let Some(scheme) =
            [&b"http://"[..], b"https://"].into_iter().find(|scheme| lower.starts_with(scheme))
        else {
            return self.target.clone();
        };
        let rest = &self.target[scheme.len()..];
        let at = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        match &rest[at..] {
            [] if self.method == "OPTIONS" => b"*".to_vec(),
            [b'/', ..] => rest[at..].to_vec(),
            other => [b"/", other].concat(),
        }
    }
}

/// Reads all requests that a client's bytes hold, up to the first that is none or not whole; whether all was used.
pub(crate) fn requests(mut bytes: &[u8]) -> (Vec<Request>, bool) {
    let mut all = Vec::new();
    loop {
        match read(bytes) {
            Read::Whole(request, used) => {
                all.push(*request);
                bytes = &bytes[used..];
            }
            _ => return (all, bytes.iter().all(|byte| b"\r\n".contains(byte))),
        }
    }
}

/// Reads the request at the start.
pub(crate) fn read(bytes: &[u8]) -> Read {
    // Empty lines before a request are skipped (RFC 9112, section 2.2).
    let skipped = bytes.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2;
    let Some(end) = find(&bytes[skipped..], b"\r\n\r\n") else {
        return Read::Partial;
    };
    let head = &bytes[skipped..skipped + end];
    let body_at = skipped + end + 4;
    match request(head) {
        Err(never) => never,
        Ok(mut request) => match body(&mut request, &bytes[body_at..]) {
            Err(other) => other,
            Ok(used) => Read::Whole(Box::new(request), body_at + used),
        },
    }
}

fn request(head: &[u8]) -> Result<Request, Read> {
    let mut lines = split(head, b"\r\n").into_iter();
    let line = lines.next().unwrap_or_default();
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return never("the request line's parts") };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return never("the method");
    }
    if target.is_empty() || !target.iter().all(|byte| matches!(byte, b'!'..=b'~' | 0x80..)) {
        return never("the target");
    }
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return never("the version"),
    };
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let mut request = Request {
        method: String::from_utf8_lossy(method).into_owned(),
        target: target.to_vec(),
        minor,
        fields,
        body: Vec::new(),
        framing: Framing::None,
    };
    request.framing = framing(&request)?;
    Ok(request)
}

pub(crate) fn field(line: &[u8]) -> Result<(String, Vec<u8>), Read> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return never("a line without colon");
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return never("a field's name");
    }
    if !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
        return never("a field's value");
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value[start..end].to_vec()))
}

fn framing(request: &Request) -> Result<Framing, Read> {
    let lengths: Vec<&[u8]> = request.all("content-length").collect();
    let codings: Vec<&[u8]> = request.all("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::None),
        ([], [one]) if one.eq_ignore_ascii_case(b"chunked") && request.minor == 1 => Ok(Framing::Chunked),
        ([one], []) if !one.is_empty() && one.len() <= 18 && one.iter().all(u8::is_ascii_digit) => {
            Ok(Framing::Length(String::from_utf8_lossy(one).parse().unwrap()))
        }
        _ => never("the framing"),
    }
}

/// Reads the body that the request announces; how many bytes it has here.
fn body(request: &mut Request, bytes: &[u8]) -> Result<usize, Read> {
    match request.framing {
        Framing::None => Ok(0),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap();
            let Some(body) = bytes.get(..length) else { return Err(Read::Partial) };
            request.body = body.to_vec();
            Ok(length)
        }
        Framing::Chunked => {
            let (body, used) = chunked(bytes)?;
            request.body = body;
            Ok(used)
        }
    }
}

/// Reads a chunked body (RFC 9112, section 7.1): its data, and how many bytes it has.
pub(crate) fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, usize), Read> {
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let line = line(bytes, &mut at)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let blank = line[digits..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = &line[digits + blank..];
        if !(1..=15).contains(&digits) || !(rest.is_empty() || rest[0] == b';') {
            return never("a chunk's size");
        }
        if !rest.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
            return never("a chunk's extension");
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(&line[..digits]), 16).unwrap();
        if size == 0 {
            break;
        }
        let end = at.checked_add(size).ok_or_else(|| Read::Never("a chunk's size".to_owned()))?;
        let Some(piece) = bytes.get(at..end) else { return Err(Read::Partial) };
        data.extend_from_slice(piece);
        at = end;
        after_data(bytes, &mut at)?;
    }
    loop {
        let line = line(bytes, &mut at)?;
        if line.is_empty() {
            return Ok((data, at));
        }
        field(line)?;
    }
}

fn after_data(bytes: &[u8], at: &mut usize) -> Broken {
    match bytes.get(*at..*at + 2) {
        Some(b"\r\n") => {
            *at += 2;
            Ok(())
        }
        Some(_) => never("what follows a chunk"),
        None => Err(Read::Partial),
    }
}

fn line<'b>(bytes: &'b [u8], at: &mut usize) -> Result<&'b [u8], Read> {
    let rest = &bytes[*at..];
    let Some(end) = find(rest, b"\r\n") else { return Err(Read::Partial) };
    *at += end + 2;
    if rest[..end].contains(&b'\n') { never("a bare LF") } else { Ok(&rest[..end]) }
}

fn never<T>(reason: &str) -> Result<T, Read> {
    Err(Read::Never(reason.to_owned()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The place of the first `needle`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn split<'b>(mut bytes: &'b [u8], needle: &[u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, needle) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + needle.len()..];
    }
    parts.push(bytes);
    parts
}

//! The PROXY protocol, versions 1 and 2: what a proxy in front says of the client before the client's own bytes
//! (haproxy.org/download/3.2/doc/proxy-protocol.txt).
//!
//! Read strictly, in bounded steps, and not a byte beyond the header, so that TLS or HTTP begins where it should. Both versions have at
//! least 15 bytes, which tells them apart; the line of version 1 is looked at before it is taken, that of version 2 says its length.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::AsyncReadExt as _;

use super::Plain;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its line end included (section 2.1).
const LONGEST_LINE: usize = 107;
/// The fixed part of version 2.
const FIXED: usize = 16;

/// Whom a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// A client with this address.
    Source(SocketAddr),
    /// Nobody: the proxy speaks for itself (`LOCAL`), or the client has no address that it can tell.
    Nobody,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It is none, or one that is wrong.
    #[error("no PROXY protocol header")]
    Malformed,
    /// The connection ended within it.
    #[error("the connection ended within its PROXY protocol header")]
    Gone(#[from] io::Error),
}

/// Reads the header that the connection must begin with. The caller limits how long that may take.
///
/// # Errors
/// When there is none, it is malformed, or the connection ends within it. Nothing more is to be read then.
pub async fn read(socket: &mut Plain) -> Result<Carried, HeaderError> {
    let mut start = [0; SIGNATURE.len()];
    socket.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        version_2(socket).await
    } else if start.starts_with(b"PROXY ") {
        version_1(socket, &start).await
    } else {
        Err(HeaderError::Malformed)
    }
}

async fn version_1(socket: &mut Plain, start: &[u8]) -> Result<Carried, HeaderError> {
    let mut line = [0; LONGEST_LINE];
    let mut len = start.len();
    line[..len].copy_from_slice(start);
    while len < LONGEST_LINE {
        // All before the line's end belongs to the header, so that much can be taken, and no more.
        let there = socket.peek(&mut line[len..]).await?;
        if there == 0 {
            return Err(HeaderError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = memchr::memchr(b'\n', &line[len..len + there]);
        let taken = end.map_or(there, |at| at + 1);
        socket.read_exact(&mut line[len..len + taken]).await?;
        len += taken;
        if end.is_some() {
            return line_1(&line[..len]).ok_or(HeaderError::Malformed);
        }
    }
    Err(HeaderError::Malformed)
}

/// A whole line of version 1.
fn line_1(line: &[u8]) -> Option<Carried> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?.strip_prefix("PROXY ")?;
    let (family, rest) = text.split_once(' ').unwrap_or((text, ""));
    if family == "UNKNOWN" {
        // Whatever else it says is to be ignored.
        return Some(Carried::Nobody);
    }
    let words: Vec<&str> = rest.splitn(5, ' ').collect();
    let [source, destination, port, destination_port] = words[..] else { return None };
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    address(destination)?;
    port_1(destination_port)?;
    source_of(address(source)?, port_1(port)?)
}

/// A port as version 1 writes it: digits without a zero in front.
fn port_1(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

async fn version_2(socket: &mut Plain) -> Result<Carried, HeaderError> {
    let mut fixed = [0; FIXED - SIGNATURE.len()];
    socket.read_exact(&mut fixed).await?;
    let [command, family, high, low] = fixed;
    let mut left = usize::from(u16::from_be_bytes([high, low]));
    let wanted = addresses_2(command, family, left).ok_or(HeaderError::Malformed)?;
    let mut addresses = [0; 36];
    socket.read_exact(&mut addresses[..wanted]).await?;
    let carried = match wanted {
        12 => {
            let [a, b, c, d, ..] = addresses;
            source_of(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([addresses[8], addresses[9]]))
        }
        36 => {
            let mut source = [0; 16];
            source.copy_from_slice(&addresses[..16]);
            source_of(Ipv6Addr::from(source).into(), u16::from_be_bytes([addresses[32], addresses[33]]))
        }
        _ => Some(Carried::Nobody),
    };
    // What follows the addresses (TLVs) says nothing that is used here.
    left -= wanted;
    let mut skipped = [0; 256];
    while left > 0 {
        let part = left.min(skipped.len());
        socket.read_exact(&mut skipped[..part]).await?;
        left -= part;
    }
    carried.ok_or(HeaderError::Malformed)
}

/// How many bytes of addresses are to be read by the fixed part; `None` when it makes no sense.
fn addresses_2(command: u8, family: u8, len: usize) -> Option<usize> {
    // A unix socket's addresses are two paths, of which nothing is used.
    let (least, read) = match (command, family) {
        // LOCAL: the proxy's own connection, a health check for instance. What else it says is to be ignored.
        (0x20, _) => (0, 0),
        // PROXY, over TCP or a unix socket, or over something that it has no word for.
        (0x21, 0x11) => (12, 12),
        (0x21, 0x21) => (36, 36),
        (0x21, 0x31) => (216, 0),
        (0x21, 0x00) => (0, 0),
        _ => return None,
    };
    (len >= least).then_some(read)
}

/// A client's address. One that no client can have is none.
fn source_of(address: IpAddr, port: u16) -> Option<Carried> {
    let address = address.to_canonical();
    (!address.is_unspecified()).then_some(Carried::Source(SocketAddr::new(address, port)))
}

#[cfg(test)]
mod tests;

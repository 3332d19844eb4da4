//! The PROXY protocol, versions 1 and 2: a load balancer in front says whose connection it is.
//!
//! Source: "The PROXY protocol", HAProxy Technologies, 2020/03/05. An own parser: it says of every part how many bytes more there
//! are at least, so that a reader never takes one from behind the header, and it is strict: what is no header in every byte is
//! refused.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with (section 2.1).
const WORD: &[u8; 6] = b"PROXY ";
/// The longest line of version 1, with its end (section 2.1).
const LINE: usize = 107;
/// What version 2 has before its addresses.
const FIXED: usize = 16;
/// The most that version 2 may have after that, in bytes. Balancers add some hundred bytes of TLVs; a certificate would fit.
const MAX_REST: usize = 4096;

/// The longest header, in bytes.
pub const MAX_HEADER: usize = FIXED + MAX_REST;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The connection is this client's.
    Client(SocketAddr),
    /// The connection is the sender's own (a health check), or the sender does not know whose it is.
    Sender,
}

/// How far a header is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// All of it: what it says, and how many bytes it has.
    Complete(Source, usize),
    /// A part; the header has at least so many bytes.
    Partial(usize),
}

/// These bytes begin no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PROXY protocol header")]
pub struct Malformed;

/// Reads the header that `bytes` begin with.
///
/// # Errors
/// When they begin none.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, expected)| byte == expected);
    if bytes.is_empty() {
        Ok(Parsed::Partial(1))
    } else if begins(SIGNATURE) {
        version_2(bytes)
    } else if begins(WORD) {
        version_1(bytes)
    } else {
        Err(Malformed)
    }
}

/// An address that a client can have; nobody's address is that of unix sockets here, which a header may not claim.
fn client(address: SocketAddr) -> Result<Source, Malformed> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    if address.ip().is_unspecified() { Err(Malformed) } else { Ok(Source::Client(address)) }
}

// === version 1 ===

fn version_1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some(end) = bytes.iter().take(LINE).position(|byte| *byte == b'\n') else {
        let shortest: &str = match bytes.get(WORD.len()..WORD.len() + 4) {
            Some(b"TCP4") => "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
            Some(b"TCP6") => "PROXY TCP6 :: :: 0 0\r\n",
            _ => "PROXY UNKNOWN\r\n",
        };
        let least = shortest.len().max(bytes.len() + 1);
        return if bytes.len() < LINE { Ok(Parsed::Partial(least)) } else { Err(Malformed) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let rest = line.strip_prefix("PROXY ").ok_or(Malformed)?;
    let source = match rest.split_once(' ').unwrap_or((rest, "")) {
        // Whatever follows is to be ignored.
        ("UNKNOWN", _) => Source::Sender,
        ("TCP4", addresses) => client(addresses_of::<Ipv4Addr>(addresses)?)?,
        ("TCP6", addresses) => client(addresses_of::<Ipv6Addr>(addresses)?)?,
        _ => return Err(Malformed),
    };
    Ok(Parsed::Complete(source, end + 1))
}

/// `source destination source-port destination-port`, with one space between.
fn addresses_of<A: FromStr + Into<IpAddr>>(text: &str) -> Result<SocketAddr, Malformed> {
    let mut words = text.split(' ');
    let mut address = || words.next().and_then(|word| word.parse::<A>().ok()).ok_or(Malformed);
    let (source, _) = (address()?, address()?);
    let mut port = || words.next().and_then(port).ok_or(Malformed);
    let (source_port, _) = (port()?, port()?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    Ok(SocketAddr::new(source.into(), source_port))
}

/// 0 to 65535 without leading zeros and signs.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

// === version 2 ===

fn version_2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(Parsed::Partial(FIXED)) };
    let [version_and_command, family_and_transport, high, low] = [fixed[12], fixed[13], fixed[14], fixed[15]];
    let rest = usize::from(u16::from_be_bytes([high, low]));
    let command = version_and_command & 0x0f;
    if version_and_command >> 4 != 2 || command > 1 || rest > MAX_REST {
        return Err(Malformed);
    }
    let (family, transport) = (family_and_transport >> 4, family_and_transport & 0x0f);
    // An unspecified family has no addresses that anybody would know; a stream is what this is.
    let addresses = match (family, transport) {
        (0, 0) => 0,
        (1, 1) => 12,
        (2, 1) => 36,
        (3, 1) => 216,
        _ => return Err(Malformed),
    };
    if rest < addresses {
        return Err(Malformed);
    }
    let whole = FIXED + rest;
    let Some(content) = bytes.get(FIXED..whole) else { return Ok(Parsed::Partial(whole)) };
    let (addresses, extensions) = content.split_at(addresses);
    if family != 0 {
        check_extensions(extensions)?;
    }
    let source = match (command, family) {
        (1, 1) => client(v4(addresses))?,
        (1, 2) => client(v6(addresses))?,
        // LOCAL, unix sockets, and senders that do not know.
        _ => Source::Sender,
    };
    Ok(Parsed::Complete(source, whole))
}

fn v4(addresses: &[u8]) -> SocketAddr {
    let mut source = [0; 4];
    source.copy_from_slice(&addresses[..4]);
    SocketAddr::new(IpAddr::from(source), u16::from_be_bytes([addresses[8], addresses[9]]))
}

fn v6(addresses: &[u8]) -> SocketAddr {
    let mut source = [0; 16];
    source.copy_from_slice(&addresses[..16]);
    SocketAddr::new(IpAddr::from(source), u16::from_be_bytes([addresses[32], addresses[33]]))
}

/// TLVs fill what is left exactly (section 2.2); what they say is not used.
fn check_extensions(mut extensions: &[u8]) -> Result<(), Malformed> {
    while !extensions.is_empty() {
        let [_, high, low, rest @ ..] = extensions else { return Err(Malformed) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        extensions = rest.get(length..).ok_or(Malformed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of version 2.
    fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, content].concat()
    }

    fn from(text: &str) -> Result<Source, Malformed> {
        Ok(Source::Client(text.parse().unwrap()))
    }

    #[test]
    fn headers_are_read_and_everything_else_is_refused() {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 4, 0x1f, 0x90];
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six[32..34].copy_from_slice(&[0, 80]);
        let with = |content: &[u8], more: &[u8]| [content, more].concat();
        let line = |text: &str| text.as_bytes().to_vec();
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LINE - 16));
        for (bytes, expected) in [
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n"), from("192.0.2.7:56324")),
            (line("PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), from("[2001:db8::7]:0")),
            (line("PROXY UNKNOWN\r\n"), Ok(Source::Sender)),
            (line("PROXY UNKNOWN ffff::1 whatever\r\n"), Ok(Source::Sender)),
            (line(&longest), Ok(Source::Sender)),
            (line(&longest.replace("\r\n", "f\r\n")), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 56324  443\r\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 \r\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.07 10.0.0.1 56324 443\r\n"), Err(Malformed)),
            (line("PROXY TCP4 ::1 10.0.0.1 56324 443\r\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 01 443\r\n"), Err(Malformed)),
            (line("PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n"), Err(Malformed)),
            (line("PROXY TCP4 0.0.0.0 10.0.0.1 1 2\r\n"), Err(Malformed)),
            (line("PROXY TCP6 ::ffff:0.0.0.0 ::1 1 2\r\n"), Err(Malformed)),
            (line("PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n"), Err(Malformed)),
            (line("PROXY tcp4 192.0.2.7 10.0.0.1 1 2\r\n"), Err(Malformed)),
            (line("proxy UNKNOWN\r\n"), Err(Malformed)),
            (line("GET / HTTP/1.1\r\n"), Err(Malformed)),
            (v2(1, 0x11, &four), from("192.0.2.7:56324")),
            (v2(1, 0x11, &with(&four, &[4, 0, 2, 1, 1, 5, 0, 0])), from("192.0.2.7:56324")),
            (v2(1, 0x21, &six), from("[2001:db8::7]:80")),
            (v2(1, 0x31, &[0; 216]), Ok(Source::Sender)),
            (v2(1, 0, b"anything"), Ok(Source::Sender)),
            (v2(0, 0x11, &four), Ok(Source::Sender)),
            (v2(0, 0, b""), Ok(Source::Sender)),
            (v2(2, 0x11, &four), Err(Malformed)),
            (v2(1, 0x12, &four), Err(Malformed)),
            (v2(1, 0x41, &four), Err(Malformed)),
            (v2(1, 0x11, &four[..11]), Err(Malformed)),
            (v2(1, 0x11, &with(&four, &[4, 0, 2, 1])), Err(Malformed)),
            (v2(1, 0x11, &with(&four, &[4])), Err(Malformed)),
            (v2(1, 0, &[0; MAX_REST + 1]), Err(Malformed)),
            (with(SIGNATURE, &[0x11, 0x11, 0, 12]), Err(Malformed)),
        ] {
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            let behind = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            let read = parse(&behind);
            assert_eq!(read, expected.map(|source| Parsed::Complete(source, bytes.len())), "{shown:?}");
            // It is never read before all of it is there, and never refused when it is good.
            for cut in 0..bytes.len() {
                match parse(&bytes[..cut]) {
                    Ok(Parsed::Complete(..)) => unreachable!("complete after {cut} of {shown:?}"),
                    Ok(Parsed::Partial(least)) => {
                        assert!(least > cut && (expected.is_err() || least <= bytes.len()), "{shown:?}");
                    }
                    Err(Malformed) => assert!(expected.is_err(), "{shown:?} after {cut}"),
                }
            }
        }
    }

    proptest! {
        /// Whatever comes, the answer is the same for every way in which it arrives, and never wants more than the longest header.
        #[test]
        fn no_bytes_confuse_it(
            prefix in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [prefix, &rest].concat();
            let whole = parse(&bytes);
            if let Ok(Parsed::Partial(least)) = whole {
                prop_assert!(least > bytes.len() && least <= MAX_HEADER);
            }
            if let Ok(Parsed::Complete(_, length)) = whole {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(parse(&bytes[..length]), whole);
            }
            for cut in 0..bytes.len() {
                match parse(&bytes[..cut]) {
                    Err(Malformed) => prop_assert_eq!(whole, Err(Malformed)),
                    Ok(Parsed::Complete(source, length)) => {
                        prop_assert_eq!(whole, Ok(Parsed::Complete(source, length)));
                    }
                    Ok(Parsed::Partial(_)) => {}
                }
            }
        }

        /// What senders write is read back.
        #[test]
        fn every_source_comes_through(ip in any::<IpAddr>(), port in any::<u16>(), tlvs in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(!ip.to_canonical().is_unspecified());
            let source = SocketAddr::new(ip.to_canonical(), port);
            let (word, family, other) = if ip.is_ipv4() { ("TCP4", 0x11, "10.0.0.1") } else { ("TCP6", 0x21, "::1") };
            let line = format!("PROXY {word} {ip} {other} {port} 80\r\n");
            prop_assert_eq!(parse(line.as_bytes()), Ok(Parsed::Complete(Source::Client(source), line.len())));
            let mut content = match ip {
                IpAddr::V4(ip) => [&ip.octets()[..], &[10, 0, 0, 1]].concat(),
                IpAddr::V6(ip) => [&ip.octets()[..], &[0; 16]].concat(),
            };
            content.extend(port.to_be_bytes());
            content.extend(80_u16.to_be_bytes());
            content.push(4);
            content.extend(u16::try_from(tlvs.len()).unwrap().to_be_bytes());
            content.extend(&tlvs);
            let header = v2(1, family, &content);
            prop_assert_eq!(parse(&header), Ok(Parsed::Complete(Source::Client(source), header.len())));
        }
    }
}

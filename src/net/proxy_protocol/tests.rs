//! Headers by table, and any bytes at all.

use proptest::prelude::*;
use tokio::{io::AsyncWriteExt as _, net::UnixStream, runtime::Builder};

use super::*;

/// What comes of a connection that sends `pieces`, one after the other, and closes: what the header carries, and what is left
/// behind it.
fn take(pieces: &[&[u8]]) -> (Result<Carried, &'static str>, Vec<u8>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut server = Plain::from(server);
        let sending = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                // The reader sees the pieces one by one.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let reading = async {
            let carried = match read(&mut server).await {
                Ok(carried) => Ok(carried),
                Err(HeaderError::Malformed) => Err("malformed"),
                Err(HeaderError::Gone(_)) => Err("gone"),
            };
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            (carried, rest)
        };
        let ((), seen) = tokio::join!(sending, reading);
        seen
    })
}

fn source(text: &str) -> Result<Carried, &'static str> {
    Ok(Carried::Source(text.parse().unwrap()))
}

const NOBODY: Result<Carried, &str> = Ok(Carried::Nobody);
const MALFORMED: Result<Carried, &str> = Err("malformed");

#[test]
fn version_1_is_taken_as_it_is_specified() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(long.len(), LONGEST_LINE);
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", source("192.0.2.1:56324")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", source("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", source("[2001:db8::1]:1")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", source("192.0.2.1:1")),
        ("PROXY UNKNOWN\r\n", NOBODY),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", NOBODY),
        (&long, NOBODY),
        (&longer, MALFORMED),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", MALFORMED),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n", MALFORMED),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 56324 443\r\n", MALFORMED),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n", MALFORMED),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", MALFORMED),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +5 443\r\n", MALFORMED),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 05 443\r\n", MALFORMED),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 5 443\r\n", MALFORMED),
        ("PROXY TCP4 ::1 ::1 5 443\r\n", MALFORMED),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 5 443\r\n", MALFORMED),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 5 443\r\n", MALFORMED),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 5 443\r\n", MALFORMED),
        ("PROXY TCP4 0.0.0.0 192.0.2.2 5 443\r\n", MALFORMED),
        ("proxy TCP4 192.0.2.1 192.0.2.2 5 443\r\n", MALFORMED),
        ("PROXYTCP4 192.0.2.1 192.0.2.2 5 443\r\n", MALFORMED),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        ("PROXY TCP4 192.0", Err("gone")),
        ("PROXY", Err("gone")),
        ("", Err("gone")),
    ] {
        let (carried, rest) = take(&[line.as_bytes(), b"GET /"]);
        match expected {
            Err("gone") => assert_eq!(take(&[line.as_bytes()]).0, expected, "{line:?}"),
            _ => assert_eq!(carried, expected, "{line:?}"),
        }
        if expected.is_ok() {
            assert_eq!(rest, b"GET /", "{line:?}");
        }
    }
}

/// A header of version 2.
fn binary(command: u8, family: u8, len: u16, body: &[u8]) -> Vec<u8> {
    [&SIGNATURE[..], &[command, family], &len.to_be_bytes(), body].concat()
}

#[test]
fn version_2_is_taken_as_it_is_specified() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    v6[33] = 7;
    let with_tlvs = [&v4[..], &[4, 0, 200], &[0; 200]].concat();
    let many = [&v4[..], &vec![9; 65_535 - 12]].concat();
    for (header, expected) in [
        (binary(0x21, 0x11, 12, &v4), source("192.0.2.1:56324")),
        (binary(0x21, 0x11, 215, &with_tlvs), source("192.0.2.1:56324")),
        (binary(0x21, 0x11, 65_535, &many), source("192.0.2.1:56324")),
        (binary(0x21, 0x21, 36, &v6), source("[2001:db8::]:7")),
        (binary(0x21, 0x31, 216, &[1; 216]), NOBODY),
        (binary(0x21, 0, 0, &[]), NOBODY),
        (binary(0x21, 0, 3, &[1, 2, 3]), NOBODY),
        (binary(0x20, 0, 0, &[]), NOBODY),
        (binary(0x20, 0x11, 12, &v4), NOBODY),
        (binary(0x20, 0xff, 1, &[0]), NOBODY),
        // Lengths that are too short for what they hold, other versions, commands and families.
        (binary(0x21, 0x11, 11, &v4[..11]), MALFORMED),
        (binary(0x21, 0x21, 12, &v4), MALFORMED),
        (binary(0x21, 0x31, 215, &[1; 215]), MALFORMED),
        (binary(0x21, 0x12, 12, &v4), MALFORMED),
        (binary(0x21, 0x10, 12, &v4), MALFORMED),
        (binary(0x11, 0x11, 12, &v4), MALFORMED),
        (binary(0x22, 0x11, 12, &v4), MALFORMED),
        (binary(0x21, 0x11, 12, &[0; 12]), MALFORMED),
        (binary(0x21, 0x21, 36, &[0; 36]), MALFORMED),
    ] {
        let (carried, rest) = take(&[&header, b"GET /"]);
        assert_eq!(carried, expected, "{header:?}");
        if expected.is_ok() {
            assert_eq!(rest, b"GET /", "{header:?}");
        }
    }
    assert_eq!(take(&[&binary(0x21, 0x11, 13, &v4)]).0, Err("gone"), "a byte is missing");
    assert_eq!(take(&[&SIGNATURE[..]]).0, Err("gone"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However the header comes in pieces, it is the same header, and what follows is left.
    #[test]
    fn pieces_make_no_difference(cut in 1_usize..60, again in 1_usize..60, second in any::<bool>()) {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];
        let header = if second {
            binary(0x21, 0x11, 40, &[&v4[..], &[1; 28]].concat())
        } else {
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec()
        };
        let all = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        let cut = cut.min(all.len());
        let again = (cut + again).min(all.len());
        let (carried, rest) = take(&[&all[..cut], &all[cut..again], &all[again..]]);
        prop_assert_eq!(carried, source("192.0.2.1:56324"));
        prop_assert_eq!(rest, b"GET / HTTP/1.1\r\n\r\n");
    }

    /// Any bytes end in an answer, and a header that is taken had at most its longest length.
    #[test]
    fn any_bytes_end(version in 0..3, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let start: &[u8] = match version { 0 => b"PROXY ", 1 => SIGNATURE, _ => b"" };
        let all = [start, &bytes].concat();
        let (carried, rest) = take(&[&all]);
        if carried.is_ok() {
            prop_assert!(all.len() - rest.len() >= 15);
        }
    }

    /// What a source says in version 1 is what comes out.
    #[test]
    fn sources_survive(address in any::<std::net::IpAddr>(), port in any::<u16>()) {
        prop_assume!(!address.to_canonical().is_unspecified());
        let family = if address.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!("PROXY {family} {address} {address} {port} 1\r\n");
        let carried = take(&[line.as_bytes()]).0;
        prop_assert_eq!(carried, Ok(Carried::Source(SocketAddr::new(address.to_canonical(), port))));
    }
}

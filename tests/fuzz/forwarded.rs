//! Forwarding fields: who a client is behind trusted proxies, and what the origin is told of it.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::{
    engine::{Target, Verdict, hash_of},
    stage::Stage,
    strict,
    support::Setup,
};

const PIECES: &[&str] = &[
    ",",
    ", ",
    ":",
    "::",
    "::1",
    "[::1]",
    "[::1]:80",
    "[",
    "]",
    "9.9.9.9",
    "9.9.9.9:80",
    "127.0.0.1",
    "10.0.0.1",
    "0.0.0.0",
    "::ffff:9.9.9.9",
    "unknown",
    "_hidden",
    "\"",
    ";",
    "for=",
    "\r\nX-Forwarded-For: ",
    "256.1.1.1",
    "9.9.9",
    "09.9.9.9",
    " ",
    "\t",
    "%eth0",
];

#[test]
fn forwarded() {
    // Who asks is seen by the door that opens: one route takes 9.0.0.0/8 only.
    let stage = Stage::new(|address| {
        Setup::new()
            .backend("stable", &[address])
            .top("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, \"::1/128\"]")
            .route("name: nine, match: { path: { prefix: /nine } }, backend: stable, access: { allow: [9.0.0.0/8] }")
            .route("name: all, backend: stable")
    });
    Target {
        name: "forwarded",
        grammar: grammar(),
        pieces: PIECES,
        judge: Box::new(|input| judge(&stage, input)),
    }
    .run();
}

fn grammar() -> BoxedStrategy<Vec<u8>> {
    let hop = prop::sample::select(vec![
        "9.9.9.9",
        "10.0.0.1",
        "8.8.8.8",
        "127.0.0.1",
        "::1",
        "[::1]:1",
        "9.1.1.1:80",
        "unknown",
        "",
        "::ffff:9.0.0.1",
    ]);
    prop::collection::vec(hop, 0..5).prop_map(|hops| hops.join(", ").into_bytes()).boxed()
}

fn judge(stage: &Stage, input: &[u8]) -> Verdict {
    let request = [
        b"GET /nine HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: ".as_slice(),
        input,
        b"\r\n\r\n",
    ]
    .concat();
    let (sent, _) = strict::requests(&request);
    let answer = stage.send(&request, 0)?;
    let seen = stage.seen()?;
    let status = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned();
    let Some(sent) = sent.first() else {
        return if seen.is_empty() {
            Ok(hash_of(&status))
        } else {
            Err(format!("malformed, and seen as {seen:?}"))
        };
    };
    let lines: Vec<String> =
        sent.all("x-forwarded-for").map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    let client = client(&lines);
    let admitted = matches!(client, IpAddr::V4(address) if address.octets()[0] == 9);
    if sent.target == b"/nine" && (status == "200") != admitted && status != "400" {
        return Err(format!("the client is {client}, and the answer {status}"));
    }
    for request in &seen {
        let told: Vec<&[u8]> = request.all("x-forwarded-for").collect();
        let last = told.last().map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default();
        if last.rsplit(',').next().map(str::trim) != Some("127.0.0.1") {
            return Err(format!("the origin was told {told:?}"));
        }
    }
    Ok(hash_of(&(status, seen.len(), lines.len().min(3), client.is_ipv6())))
}

/// From the right, the first hop that is not trusted; what is no address ends the search.
fn client(lines: &[String]) -> IpAddr {
    let trusted = |address: IpAddr| match address {
        IpAddr::V4(address) => [127, 10].contains(&address.octets()[0]),
        IpAddr::V6(address) => address.is_loopback(),
    };
    let mut client: IpAddr = [127, 0, 0, 1].into();
    let hops: Vec<&str> = lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
        let address =
            bare.parse::<IpAddr>().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|full| full.ip()));
        let Some(address) =
            address.map(|address| address.to_canonical()).filter(|address| !address.is_unspecified())
        else {
            return client;
        };
        client = address;
        if !trusted(address) {
            return client;
        }
    }
    client
}

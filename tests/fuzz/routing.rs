//! Paths, hosts and the route table: the same route as a plain walk over all matches finds, whatever the request.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use weir::{
    http::{Headers, RequestView},
    routing::{HostMatcher, PathMatcher, RouteMatcher, RouteTable},
};

use super::engine::{Target, Verdict, hash_of};

const PIECES: &[&str] = &[
    "/", "//", "/.", "/..", "/../", "/./", "%2f", "%2F", "%2e%2e", "%00", "%", ";", "/a", "/a/b", "/A", "\n",
    "*.", "*", ".", "a.b", "\u{e4}", "\\", "?", " ", "\0",
];

#[test]
fn routing() {
    Target { name: "routing", grammar: grammar(), pieces: PIECES, judge: Box::new(judge) }.run();
}

/// Lines: the request's host and path, then for each route `HOST KIND PATH`.
fn grammar() -> BoxedStrategy<Vec<u8>> {
    let path = "(/(a|b|ab|A|\\.\\.|%2f|)){1,4}";
    let host = prop::sample::select(vec!["a", "a.b", "x.a.b", "b", "", "a.b.", "xa.b"]);
    let pattern = prop::sample::select(vec!["a", "a.b", "*.a.b", "*.b", "*", "b"]);
    let route = (pattern, prop::sample::select(vec!["exact", "prefix", "prefix", "any"]), path)
        .prop_map(|(host, kind, path)| format!("{host} {kind} {path}"));
    (host, path, prop::collection::vec(route, 1..8))
        .prop_map(|(host, path, routes)| format!("{host} {path}\n{}", routes.join("\n")).into_bytes())
        .boxed()
}

/// A match, as the plain walk needs it.
struct Plain {
    host: String,
    path: Option<(bool, Vec<u8>)>,
}

fn judge(input: &[u8]) -> Verdict {
    let mut lines = input.split(|byte| *byte == b'\n');
    let asked = lines.next().unwrap_or_default();
    let space = asked.iter().position(|byte| *byte == b' ').unwrap_or(asked.len());
    let host = String::from_utf8_lossy(&asked[..space]).to_ascii_lowercase();
    let path = asked.get(space + 1..).unwrap_or(b"/");
    let (mut matchers, mut plain) = (Vec::new(), Vec::new());
    for line in lines {
        if let Some((matcher, same)) = route(&String::from_utf8_lossy(line)) {
            matchers.push(vec![matcher]);
            plain.push(same);
        }
    }
    let count = matchers.len();
    let request = RequestView {
        method: "GET",
        host: &host,
        path,
        query: None,
        headers: Headers::empty(),
        client_ip: Ipv4Addr::LOCALHOST.into(),
        peer_ip: Ipv4Addr::LOCALHOST.into(),
        secure: false,
        listener_region: None,
    };
    let found = RouteTable::new(matchers).find(&request);
    let expected = plainly(&plain, &host, path);
    if found != expected {
        return Err(format!("route {found:?}, and by walking {expected:?}"));
    }
    Ok(hash_of(&(found, count, path.len().min(6), host.len().min(3))))
}

fn route(line: &str) -> Option<(RouteMatcher, Plain)> {
    let mut parts = line.splitn(3, ' ');
    let (host, kind, path) = (parts.next()?, parts.next()?, parts.next()?);
    let hosts = vec![HostMatcher::new(host).ok()?];
    let (matcher, same) = match kind {
        "exact" => (Some(PathMatcher::exact(path).ok()?), Some((true, path.as_bytes().to_vec()))),
        "prefix" => (Some(PathMatcher::prefix(path).ok()?), Some((false, path.as_bytes().to_vec()))),
        _ => (None, None),
    };
    let plain = Plain { host: host.to_ascii_lowercase(), path: same };
    Some((RouteMatcher { hosts, path: matcher, ..RouteMatcher::default() }, plain))
}

/// The Gateway API's order: exact host, longest wildcard, any; then exact path, longest prefix; then the order of the file.
fn plainly(routes: &[Plain], host: &str, path: &[u8]) -> Option<usize> {
    let rank = |route: &Plain| Some((host_rank(&route.host, host)?, path_rank(route.path.as_ref(), path)?));
    let ranked = routes.iter().enumerate().filter_map(|(at, route)| Some((rank(route)?, at)));
    ranked.max_by_key(|(rank, at)| (*rank, std::cmp::Reverse(*at))).map(|(_, at)| at)
}

fn host_rank(pattern: &str, host: &str) -> Option<(u8, usize)> {
    // The root's dot is part of a valid name, and nobody's route is written with it.
    let host = host.strip_suffix('.').unwrap_or(host);
    if pattern == "*" {
        return Some((0, 0));
    }
    if let Some(suffix) = pattern.strip_prefix('*') {
        let fits = host.len() > suffix.len() && host.ends_with(suffix);
        return fits.then_some((1, suffix.len()));
    }
    (pattern == host).then_some((2, 0))
}

fn path_rank(pattern: Option<&(bool, Vec<u8>)>, path: &[u8]) -> Option<(u8, usize)> {
    let Some((exact, pattern)) = pattern else { return Some((0, 0)) };
    if *exact {
        return (pattern == path).then_some((1, 0));
    }
    // By whole segments: what follows the prefix is nothing or begins with a slash.
    let pattern = pattern.strip_suffix(b"/").unwrap_or(pattern);
    let rest = path.strip_prefix(pattern)?;
    (pattern.is_empty() || rest.is_empty() || rest[0] == b'/').then_some((0, pattern.len()))
}

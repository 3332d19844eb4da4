//! Targets and Hosts by table.

use super::*;
use crate::http::HeadLimits;

fn target(text: &str) -> Result<(String, String, String), TargetError> {
    let mut head = RequestHead::default();
    head.parse(text.as_bytes(), HeadLimits { bytes: 4096, fields: 100 }).unwrap();
    let target = Target::of(&head, text.as_bytes())?;
    let mut host = String::new();
    target.host_into(text.as_bytes(), &mut host);
    let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        host,
        text_of(target.path(text.as_bytes())),
        target.query(text.as_bytes()).map(text_of).unwrap_or_default(),
    ))
}

#[test]
fn targets_are_read_as_received() {
    for (line, host, expected) in [
        ("GET /", "A.example:8080", ("a.example", "/", "")),
        ("GET /a/../%2e?x=1?y", "a", ("a", "/a/../%2e", "x=1?y")),
        ("GET /?", "[2001:DB8::1]:80", ("[2001:db8::1]", "/", "")),
        ("GET http://A.example/p?q", "a.example", ("a.example", "/p", "q")),
        ("GET http://a.example?q", "a.example:80", ("a.example", "/", "q")),
        ("GET HTTPS://a.example", "a.example", ("a.example", "/", "")),
        ("OPTIONS *", "a", ("a", "*", "")),
        ("OPTIONS http://a", "a", ("a", "/", "")),
        ("GET //other/path", "a", ("a", "//other/path", "")),
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (h, p, q) = expected;
        assert_eq!(target(&text), Ok((h.into(), p.into(), q.into())), "{line} {host}");
    }
    assert_eq!(target("GET / HTTP/1.0\r\n\r\n"), Ok((String::new(), "/".into(), String::new())));
}

#[test]
fn what_is_ambiguous_is_refused() {
    for (line, hosts, expected) in [
        ("GET /", "", TargetError::NoHost),
        ("GET /", "Host: a\r\nHost: a\r\n", TargetError::ManyHosts),
        ("GET /", "Host: a\r\nhost: b\r\n", TargetError::ManyHosts),
        ("GET /", "Host:\r\n", TargetError::BadHost),
        ("GET /", "Host: a b\r\n", TargetError::BadHost),
        ("GET /", "Host: a,b\r\n", TargetError::BadHost),
        ("GET /", "Host: a/b\r\n", TargetError::BadHost),
        ("GET /", "Host: user@a\r\n", TargetError::BadHost),
        ("GET /", "Host: a:b\r\n", TargetError::BadHost),
        ("GET /", "Host: a:99999\r\n", TargetError::BadHost),
        ("GET /", "Host: [::1\r\n", TargetError::BadHost),
        ("GET /", "Host: a:80:80\r\n", TargetError::BadHost),
        ("GET http://b/", "Host: a\r\n", TargetError::Disagree),
        ("GET http://a:81/", "Host: a\r\n", TargetError::Disagree),
        ("GET http://user@a/", "Host: a\r\n", TargetError::Malformed),
        ("GET http:///", "Host: a\r\n", TargetError::Malformed),
        ("GET a", "Host: a\r\n", TargetError::Malformed),
        ("GET *", "Host: a\r\n", TargetError::Malformed),
        ("GET ftp://a/", "Host: a\r\n", TargetError::Malformed),
        ("GET /#x", "Host: a\r\n", TargetError::Malformed),
        ("CONNECT a:443", "Host: a\r\n", TargetError::Connect),
    ] {
        assert_eq!(target(&format!("{line} HTTP/1.1\r\n{hosts}\r\n")), Err(expected), "{line} {hosts:?}");
    }
}

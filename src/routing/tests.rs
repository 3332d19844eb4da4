//! Matchers by table, and the route table against the rule as it is told.

use std::net::{IpAddr, Ipv4Addr};

use proptest::{prelude::*, sample::select};

use super::*;
use crate::http::{HeaderList, RequestView};

fn view<'a>(method: &'a str, host: &'a str, target: &'a str, headers: &'a HeaderList) -> RequestView<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    RequestView {
        method,
        host,
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
        headers: headers.view(),
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        listener_region: None,
    }
}

#[test]
fn a_match_that_names_the_scheme_comes_first() {
    let with = |secure, host: Option<&str>| {
        let hosts = host.map(|host| HostMatcher::new(host).unwrap()).into_iter().collect();
        vec![RouteMatcher { secure, hosts, ..RouteMatcher::default() }]
    };
    let table = RouteTable::new([
        with(None, Some("a.example")),
        with(None, None),
        with(Some(false), None),
        with(Some(true), Some("b.example")),
    ]);
    let headers = HeaderList::default();
    for (host, secure, route) in [
        ("a.example", false, 2),
        ("c.example", false, 2),
        ("a.example", true, 0),
        ("b.example", true, 3),
        ("c.example", true, 1),
    ] {
        let request = RequestView { secure, ..view("GET", host, "/", &headers) };
        assert_eq!(table.find(&request), Some(route), "{host} {secure}");
    }
}

#[test]
fn values_match() {
    let regex = |pattern| ValueMatcher::regex(pattern).unwrap();
    for (matcher, value, expected) in [
        (ValueMatcher::Present, "", true),
        (ValueMatcher::exact("a"), "a", true),
        (ValueMatcher::exact("a"), "A", false),
        (ValueMatcher::one_of(["a", "b"]), "b", true),
        (ValueMatcher::one_of(["a", "b"]), "ab", false),
        (ValueMatcher::prefix("be"), "beta", true),
        (ValueMatcher::prefix("be"), "abe", false),
        (ValueMatcher::contains("et"), "beta", true),
        (ValueMatcher::contains("te"), "beta", false),
        (regex("b|beta"), "beta", true),
        (regex("bet"), "beta", false),
        (regex("a$"), "a\n", false),
        (regex("(?i)BETA"), "beta", true),
    ] {
        assert_eq!(matcher.matches(value.as_bytes()), expected, "{matcher} on {value:?}");
    }
}

#[test]
fn patterns_that_are_none_are_refused() {
    for pattern in ["(", "a)|(b", "*"] {
        assert!(matches!(Pattern::new(pattern), Err(MatcherError::Regex { .. })), "{pattern}");
    }
}

#[test]
fn headers_cookies_and_parameters_match() {
    let headers = HeaderList::from_pairs([("X-G", "a"), ("x-g", "b"), ("Cookie", "plan=beta; plan=old")]);
    let named = |name, text| NamedMatcher::new(name, ValueMatcher::exact(text));
    assert!(named("x-g", "b").matches_header(headers.view()));
    assert!(!named("x-g", "a, b").matches_header(headers.view()));
    assert!(named("plan", "beta").matches_cookie(headers.view()));
    assert!(!named("plan", "old").matches_cookie(headers.view()));
    assert!(!named("Plan", "beta").matches_cookie(headers.view()));
    for (query, expected) in [
        (Some("v=a b"), true),
        (Some("x=1&v=a+b"), true),
        (Some("v=a%20b"), true),
        (Some("%76=a%20b&v=c"), true),
        (Some("v=c&v=a+b"), false),
        (Some("v=a%2"), false),
        (Some("v"), false),
        (None, false),
    ] {
        assert_eq!(named("v", "a b").matches_query(query.map(str::as_bytes)), expected, "{query:?}");
    }
    assert!(named("v", "").matches_query(Some(b"v")));
    assert!(named("v", "%zz%").matches_query(Some(b"v=%zz%")));
}

#[test]
fn paths_match_by_segment() {
    let prefix = |path| PathMatcher::prefix(path).unwrap();
    for (matcher, path, expected) in [
        (prefix("/a"), "/a", true),
        (prefix("/a"), "/a/", true),
        (prefix("/a/"), "/a", true),
        (prefix("/a"), "/a/b", true),
        (prefix("/a"), "/ab", false),
        (prefix("/a"), "/", false),
        (prefix("/"), "/ab", true),
        (prefix("/"), "*", true),
        (PathMatcher::exact("/a").unwrap(), "/a", true),
        (PathMatcher::exact("/a").unwrap(), "/a/", false),
        (PathMatcher::regex("/v[0-9]+/.*").unwrap(), "/v12/x", true),
        (PathMatcher::regex("/v[0-9]+").unwrap(), "/v12/x", false),
    ] {
        assert_eq!(matcher.matches(path.as_bytes()), expected, "{matcher} on {path}");
    }
    assert_eq!(PathMatcher::exact("a").unwrap_err(), MatcherError::Path("a".to_owned()));
}

#[test]
fn hosts_match() {
    for (host, name, expected) in [
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "aexample.com", false),
        ("Shop.example.com", "shop.example.com", true),
        ("*", "", true),
        ("[2001:db8::1]", "[2001:db8::1]", true),
    ] {
        assert_eq!(HostMatcher::new(host).unwrap().matches(name), expected, "{host} on {name}");
    }
    for text in ["", "a.*.com", "*a.com", "a:80", "a b", ".a", "a..b", "*."] {
        assert_eq!(HostMatcher::new(text), Err(MatcherError::Host(text.to_owned())), "{text}");
    }
}

/// Routes as `host path method header query`, `-` for none.
fn table(routes: &[&str]) -> RouteTable {
    RouteTable::new(routes.iter().map(|route| vec![parse(route)]))
}

fn parse(route: &str) -> RouteMatcher {
    let fields: Vec<_> = route.split(' ').map(|field| (field != "-").then_some(field)).collect();
    let named = |field: Option<&str>| {
        field
            .into_iter()
            .flat_map(|field| field.split(','))
            .map(|name| NamedMatcher::new(name, ValueMatcher::Present))
            .collect()
    };
    RouteMatcher {
        secure: None,
        hosts: fields[0].iter().map(|host| HostMatcher::new(host).unwrap()).collect(),
        path: fields[1].map(|path| match path.split_at(1) {
            ("=", path) => PathMatcher::exact(path).unwrap(),
            ("~", path) => PathMatcher::regex(path).unwrap(),
            _ => PathMatcher::prefix(path).unwrap(),
        }),
        methods: fields[2].iter().map(|method| (*method).into()).collect(),
        headers: named(fields[3]),
        query: named(fields[4]),
        cookies: vec![],
    }
}

#[test]
fn the_more_specific_match_wins() {
    let headers = HeaderList::from_pairs([("a", "1"), ("b", "1")]);
    let cases: [(&[&str], Option<usize>); 11] = [
        (&["- - - - -", "*.com - - - -", "*.x.com - - - -", "s.x.com - - - -"], Some(3)),
        (&["- - - - -", "*.com - - - -", "*.x.com - - - -"], Some(2)),
        (&["- =/p/q - - -", "s.x.com / - - -"], Some(1)),
        (&["- / - - -", "- /p - - -", "- ~/p.* - - -", "- =/p/q - - -"], Some(3)),
        (&["- / - - -", "- /p - - -", "- /p/q - - -"], Some(2)),
        (&["- /p - - -", "- ~/p.* - - -", "- /p/q - - -"], Some(1)),
        (&["- / - a,b v", "- / GET - -"], Some(1)),
        (&["- / - a v", "- / - a,b -"], Some(1)),
        (&["- / - a -", "- / - a v", "- / - b v"], Some(1)),
        // The best does not hold: the next one does, up to another host's.
        (&["*.com /p - - -", "s.x.com =/p/q POST - -", "s.x.com /p - c -"], Some(0)),
        (&["- /pq - - -", "- =/p - - -", "y.com - - - -"], None),
    ];
    for (routes, expected) in cases {
        let found = table(routes).find(&view("GET", "s.x.com", "/p/q?v", &headers));
        assert_eq!(found, expected, "{routes:?}");
    }
    let table = table(&["s.x.com - - - -"]);
    assert_eq!(table.find(&view("GET", "s.x.com.", "/", &headers)), Some(0));
}

/// The rule as it is told, not as it is built: all that match, the best by every criterion in turn.
fn naive(routes: &[Vec<RouteMatcher>], request: &RequestView<'_>) -> Option<usize> {
    let host_rank = |host: &HostMatcher| match host {
        HostMatcher::Exact(_) => (2, 0),
        HostMatcher::Wildcard(suffix) => (1, suffix.len()),
        HostMatcher::Any => (0, 0),
    };
    let path_rank = |path: &Option<PathMatcher>| match path {
        Some(PathMatcher::Exact(_)) => (2, 0),
        Some(PathMatcher::Regex(_)) => (1, 0),
        Some(PathMatcher::Prefix(prefix)) => (0, prefix.len()),
        None => (0, 0),
    };
    let mut best: Option<(_, usize)> = None;
    for (index, matcher) in routes.iter().enumerate().flat_map(|(i, ms)| ms.iter().map(move |m| (i, m))) {
        let any = [HostMatcher::Any];
        let hosts = if matcher.hosts.is_empty() { &any[..] } else { &matcher.hosts[..] };
        let Some(host) = hosts.iter().filter(|host| host.matches(request.host)).map(host_rank).max() else {
            continue;
        };
        let holds = matcher.path.as_ref().is_none_or(|path| path.matches(request.path))
            && (matcher.methods.is_empty() || matcher.methods.iter().any(|m| **m == *request.method))
            && matcher.headers.iter().all(|m| m.matches_header(request.headers))
            && matcher.cookies.iter().all(|m| m.matches_cookie(request.headers))
            && matcher.query.iter().all(|m| m.matches_query(request.query));
        let named = matcher.headers.len() + matcher.cookies.len();
        let rank = (host, path_rank(&matcher.path), !matcher.methods.is_empty(), named, matcher.query.len());
        if holds && best.as_ref().is_none_or(|(other, _)| rank > *other) {
            best = Some((rank, index));
        }
    }
    best.map(|(_, index)| index)
}

fn any_matcher() -> impl Strategy<Value = RouteMatcher> {
    let hosts = vec!["a.com", "x.a.com", "*.a.com", "*.x.a.com", "*.com", "*"];
    let paths = vec!["/", "/p", "/p/q", "/p/", "=/p", "=/p/q", "=/", "~/p.*", "~/[pq]/?.*", "/q"];
    let names = || proptest::collection::vec(select(vec!["a", "b"]), 0..3);
    (
        proptest::collection::vec(select(hosts), 0..3),
        proptest::option::of(select(paths)),
        proptest::collection::vec(select(vec!["GET", "POST"]), 0..2),
        (names(), names(), names()),
    )
        .prop_map(|(hosts, path, methods, (headers, query, cookies))| {
            let named = |names: Vec<&str>| {
                names.into_iter().map(|name| NamedMatcher::new(name, ValueMatcher::Present)).collect()
            };
            let path = path.map_or_else(|| "- - - - -".to_owned(), |path| format!("- {path} - - -"));
            RouteMatcher {
                hosts: hosts.into_iter().map(|host| HostMatcher::new(host).unwrap()).collect(),
                methods: methods.into_iter().map(Into::into).collect(),
                headers: named(headers),
                query: named(query),
                cookies: named(cookies),
                ..parse(&path)
            }
        })
}

proptest! {
    #[test]
    fn the_table_finds_what_the_rule_says(
        routes in proptest::collection::vec(proptest::collection::vec(any_matcher(), 1..3), 0..12),
        host in select(vec!["a.com", "x.a.com", "y.a.com", "z.x.a.com", "b.com", "b.org", ""]),
        target in select(vec!["/", "/p", "/p/", "/p/q", "/p/q/r?a&b", "/pq?a", "/q?b=1", "*"]),
        method in select(vec!["GET", "POST", "PUT"]),
        names in select(vec!["", "a", "b", "ab"]),
    ) {
        let mut headers = HeaderList::default();
        for name in names.split("").filter(|name| !name.is_empty()) {
            headers.push(name, b"1");
            headers.push("cookie", format!("{name}=1").as_bytes());
        }
        let request = view(method, host, target, &headers);
        let expected = naive(&routes, &request);
        prop_assert_eq!(RouteTable::new(routes).find(&request), expected);
    }
}

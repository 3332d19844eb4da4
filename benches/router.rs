//! How long finding a route takes, with 1, 10 and 1000 routes, for the first, the last and no route.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write undocumented functions; a bench may panic"
)]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
};

use criterion::{Criterion, criterion_group, criterion_main};
use weir::{
    http::{HeaderList, RequestView},
    routing::{HostMatcher, NamedMatcher, PathMatcher, RouteMatcher, RouteTable, ValueMatcher},
};

fn request<'a>(host: &'a str, path: &'a str, headers: &'a HeaderList) -> RequestView<'a> {
    RequestView {
        method: "GET",
        host,
        path: path.as_bytes(),
        query: None,
        headers: headers.view(),
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        listener_region: None,
    }
}

/// `count` routes of one host by prefixes of ten lengths: the shape in which prefixes cost most.
fn prefixes(count: usize) -> RouteTable {
    RouteTable::new((0..count).map(|index| {
        let path = format!("/service-{index}{}", "/deeper".repeat(index % 10));
        vec![RouteMatcher {
            hosts: vec![HostMatcher::new("shop.example.com").unwrap()],
            path: Some(PathMatcher::prefix(&path).unwrap()),
            ..RouteMatcher::default()
        }]
    }))
}

/// `count` hosts under one domain, each with a header to match.
fn hosts(count: usize) -> RouteTable {
    RouteTable::new((0..count).map(|index| {
        vec![RouteMatcher {
            hosts: vec![HostMatcher::new(&format!("*.s{index}.example.com")).unwrap()],
            headers: vec![NamedMatcher::new("x-tenant", ValueMatcher::exact("a"))],
            ..RouteMatcher::default()
        }]
    }))
}

fn lookup(c: &mut Criterion) {
    let headers = HeaderList::from_pairs([
        ("Host", "shop.example.com"),
        ("User-Agent", "bench"),
        ("Accept", "*/*"),
        ("Cookie", "session=abcdef; weir=4711.0.20000.f433.622437b6cae0aba0b5605b3f61fe0b2b"),
        ("X-Tenant", "a"),
    ]);
    let mut group = c.benchmark_group("router");
    let any = RouteTable::new([vec![RouteMatcher::default()]]);
    let plain = request("shop.example.com", "/", &headers);
    group.bench_function("one route for all", |b| b.iter(|| any.find(black_box(&plain))));
    for count in [1, 10, 1000] {
        let table = prefixes(count);
        let last = count - 1;
        let path = format!("/service-{last}{}/orders/17", "/deeper".repeat(last % 10));
        let hit = request("shop.example.com", &path, &headers);
        assert_eq!(table.find(&hit), Some(last));
        group.bench_function(format!("prefix, {count} routes"), |b| b.iter(|| table.find(black_box(&hit))));
        let miss = request("shop.example.com", "/nothing/of/the/kind/here/at/all", &headers);
        assert_eq!(table.find(&miss), None);
        group
            .bench_function(format!("no match, {count} routes"), |b| b.iter(|| table.find(black_box(&miss))));
        let table = hosts(count);
        let host = format!("a.s{last}.example.com");
        let hit = request(&host, "/", &headers);
        assert_eq!(table.find(&hit), Some(last));
        group.bench_function(format!("wildcard host and header, {count} routes"), |b| {
            b.iter(|| table.find(black_box(&hit)));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);

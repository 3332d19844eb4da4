//! How long an assignment takes by each way to a backend, and how long weights take to compile.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write undocumented functions; a bench may panic"
)]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use weir::{
    http::{HeaderList, RequestView},
    routing::{NamedMatcher, ValueMatcher},
    split::{
        Allocation, AssignContext, Condition, CookieSettings, GeoDatabase, KeySource, Keyring, PlanBackend,
        PlanParts, PlanRule, RegionSources, RuleTarget, SameSite, SplitPlan, assign, explain,
    },
    types::{BackendState, Name, Reason, StickyMode, Weight},
};

const NOW: u64 = 20_000 * 86_400;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn backends(count: u32) -> Vec<(Name, Weight)> {
    (0..count).map(|index| (name(&format!("v{index}")), Weight::of(index % 7 + 1))).collect()
}

fn parts(count: u32, rules: Vec<PlanRule>) -> PlanParts {
    let backend = |(name, weight)| PlanBackend { name, weight, state: BackendState::Active };
    PlanParts {
        route: name("shop"),
        backends: backends(count).into_iter().map(backend).collect(),
        rules,
        keys: vec![KeySource::Header("X-User-Id".into())],
        salt: "shop".to_owned(),
        mode: StickyMode::Bucket,
        cookie: Some(CookieSettings {
            name: "weir".to_owned(),
            same_site: SameSite::Lax,
            path: "/".to_owned(),
            domain: None,
            secure: None,
            max_age: Duration::from_secs(30 * 86_400),
        }),
        kill_switch: None,
        overrides: Vec::new(),
        epoch: 0,
    }
}

fn rule(text: &str, condition: Condition) -> PlanRule {
    PlanRule { name: name(text), condition, target: RuleTarget::Backend(name("v1")) }
}

fn request(headers: &HeaderList) -> RequestView<'_> {
    let client = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    RequestView {
        method: "GET",
        host: "shop.example.com",
        path: b"/orders/17",
        query: None,
        headers: headers.view(),
        client_ip: client,
        peer_ip: client,
        secure: false,
        listener_region: None,
    }
}

fn headers(extra: &[(&str, &str)]) -> HeaderList {
    let base =
        [("Host", "shop.example.com"), ("User-Agent", "bench"), ("Accept", "*/*"), ("X-Request-Id", "1")];
    HeaderList::from_pairs(base.into_iter().chain(extra.iter().copied()))
}

fn ways(c: &mut Criterion) {
    let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/country-test.mmdb");
    let regions = RegionSources {
        database: Some(std::sync::Arc::new(GeoDatabase::open(&database).unwrap())),
        ..RegionSources::default()
    };
    let keyring = Keyring::new([7; 16], None);
    let context = AssignContext {
        keyring: &keyring,
        now_unix_secs: NOW,
        regions: &regions,
        secure: true,
        claims: None,
    };
    let plain = SplitPlan::new(parts(2, vec![])).unwrap();
    let ruled = SplitPlan::new(parts(
        3,
        vec![
            rule("qa", Condition::Header(NamedMatcher::new("X-Canary", ValueMatcher::exact("always")))),
            rule("beta", Condition::Cookie(NamedMatcher::new("plan", ValueMatcher::exact("beta")))),
            rule("dach", Condition::Region([name("DE"), name("AT"), name("CH")].into())),
        ],
    ))
    .unwrap();
    let none = headers(&[]);
    let first = assign(&plain, &request(&none), &context, 1);
    let header = plain.set_cookie_header(&first.set_cookie.unwrap(), &context).unwrap();
    let known = headers(&[("Cookie", &format!("session=abcdef; {}", header.split(';').next().unwrap()))]);
    let user = headers(&[("X-User-Id", "8c9f6a52-1f0e-4a3b-9b1e-6f1f6a0c7d11")]);

    let mut group = c.benchmark_group("assign");
    for (text, plan, headers, reason) in [
        ("by cookie", &plain, &known, Reason::Cookie),
        ("by identity", &plain, &user, Reason::Identity),
        ("first sight, without the header", &plain, &none, Reason::Draw),
        ("by identity after three rules, one by database", &ruled, &user, Reason::Identity),
    ] {
        let request = request(headers);
        assert_eq!(assign(plan, &request, &context, 1).reason, reason);
        group.bench_function(text, |b| b.iter(|| assign(plan, black_box(&request), &context, 1)));
    }
    group.bench_function("the Set-Cookie header", |b| {
        b.iter(|| plain.set_cookie_header(black_box(&first.set_cookie.unwrap()), &context));
    });
    group.bench_function("explain", |b| b.iter(|| explain(&ruled, &request(black_box(&user)), &context, 1)));
    group.finish();
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("allocation");
    group.sample_size(20);
    for count in [2, 3, 8, 64] {
        let backends = backends(count);
        group.bench_function(format!("{count} backends"), |b| {
            b.iter(|| Allocation::new(black_box(&backends)))
        });
    }
    group.finish();
}

criterion_group!(benches, ways, compile);
criterion_main!(benches);

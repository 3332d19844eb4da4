//! Every error class as people see it: one list of files, one text with what each of them gets.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    super::{Code, Look, parse, parse_bytes},
    HEAD, ROUTES, bad,
};

/// Files that are wrong in one way, with the code that says so. Short names stand for the rest: `@head` for listeners and
/// two backends, `@routes` for a route over them.
const WRONG: &[(Code, &str)] = &[
    (Code::Syntax, "a: [1, 2\nb: 3\n"),
    (Code::Syntax, "@head\nroutes: [ { name: a, match: { hosts: [*.example.com] }, backend: stable } ]\n"),
    (Code::Syntax, "listeners:\n  - name: http\n    bind: [::1]:8080\n"),
    (Code::Tab, "@head\nroutes:\n\t- name: shop\n"),
    (Code::Tab, "listeners:\n  - name: http\n\tbind: 127.0.0.1:8080\n"),
    (Code::SeveralDocuments, "@head\n@routes\n---\nworkers: 2\n"),
    (Code::TooDeep, "a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"),
    (Code::AliasLimit, "@head\nroutes: &a [*a]\n"),
    (Code::Empty, "# nothing but a comment\n"),
    (Code::DuplicateKey, "@head\nworkers: 1\n@routes\nworkers: 2\n"),
    (Code::YamlFeature, "@head\n@routes\nworkers: !!int 2\n"),
    (Code::YamlFeature, "@head\nroutes: [ { name: a, backend: stable, <<: {} } ]\n"),
    (Code::WrongType, "@head\n@routes\nworkers: many\n"),
    (Code::WrongType, "@head\n@routes\nworkers: \"2\"\n"),
    (Code::WrongType, "@head\n@routes\ntrusted_proxies: 10.0.0.0/8\n"),
    (Code::WrongType, "@head\n@routes\ngeo:\nadmin: 9900\n"),
    (Code::WrongType, "@head\nroutes: [ { name: 7, backend: stable } ]\n"),
    (Code::WrongType, "@head\nroutes: [ { name: a, split: [stable, canary] } ]\n"),
    (Code::MissingKey, "backends: { a: { health_check: {} } }\nroutes: [ { backend: a } ]\n"),
    (Code::Choice, "@head\nroutes: [ { name: a } ]\n"),
    (
        Code::Choice,
        "@head\nroutes:\n  - name: a\n    backend: stable\n    split: { backends: { stable: 1 } }\n",
    ),
    (
        Code::Choice,
        "@head\nroutes: [ { name: a, backend: stable, match: { path: { exact: /a, prefix: /b } } } ]\n",
    ),
    (
        Code::Choice,
        "@head\nroutes: [ { name: a, split: { key: none, backends: { stable: 1 }, sticky: { mode: pin } } } ]\n",
    ),
    (
        Code::EmptyList,
        "listeners: []\nbackends: {}\nroutes: [ { name: a, backend: b, rules: [ { match: {}, backend: b } ] } ]\n",
    ),
    (Code::RenamedKey, "@head\nroutes: [ { name: a, backend: stable, match: { methods: [GET] } } ]\n"),
    (
        Code::UnknownKey,
        "@head\nroutes: [ { name: a, split: { backends: { stable: 1 }, stiky: { mode: pin } } } ]\n",
    ),
    (Code::UnknownKey, "@head\nroutes: [ { name: a, backend: stable, sticky: { mode: pin } } ]\n"),
    (Code::UnknownKey, "@head\n@routes\nfrobnicate: 1\n"),
    (
        Code::UnknownKey,
        "@head\nroutes:\n  - name: a\n    spilt: { backends: { stable: 1 } }\n  - name: b\n    backend: stable\n    rules: [ { macth: { method: GET }, backend: stable } ]\n",
    ),
    (Code::NotAvailable, "listeners: [ { name: a, bind: ':80', protocols: [h3] } ]\n@backends"),
    (Code::Duration, "@head\n@routes\ndrain: { delay: 5, timeout: 2 weeks }\n"),
    (
        Code::Size,
        "listeners: [ { name: a, bind: ':80', limits: { max_header_bytes: 32 KiB } } ]\nbackends: { a: { endpoints: [ { address: '1.1.1.1:1' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (Code::Percent, "@head\n@routes\naccess_log: { sample: 10 }\n"),
    (Code::Cidr, "@head\n@routes\ntrusted_proxies: [10.1.2.3/8, lan]\n"),
    (Code::Address, "@head\n@routes\nadmin: { bind: 127.0.0.1 }\n"),
    (
        Code::Address,
        "listeners: [ { name: a, bind: ':80' } ]\nbackends: { a: { endpoints: [ { dns: app.internal }, { dns: '10.0.0.1:80' }, { dns: 'a..b:80' }, { dns: 'a:0' }, { dns: '10.0.0.300:80' }, { address: 'app.internal:80' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::Address,
        "listeners: [ { name: a, bind: '::1:80' } ]\nbackends: { a: { endpoints: [ { address: 'canary.internal:8080' }, { address: '1.1.1.1:0' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::Address,
        "listeners:\n  - { name: a, bind: 8080 }\n  - { name: b, bind: '8080' }\n  - { name: c, bind: '*:8080' }\n  - name: d\n    bind: 127.0.0.1:${PORT}\n@backends",
    ),
    (Code::Name, "@head\nroutes: [ { name: my shop, backend: stable } ]\n"),
    (Code::Regex, "@head\nroutes: [ { name: a, backend: stable, match: { path: { regex: '/a(b' } } } ]\n"),
    (
        Code::Regex,
        "@head\nroutes: [ { name: a, backend: stable, match: { path: { regex: '(a{900}){900}' } } } ]\n",
    ),
    (Code::Weight, "@head\nroutes: [ { name: a, split: { backends: { stable: 95%, canary: -5 } } } ]\n"),
    (Code::Range, "@head\n@routes\nworkers: 4000\n"),
    (Code::Range, "version: 2\n@head\n@routes\n"),
    (
        Code::Word,
        "@head\nroutes: [ { name: a, split: { backends: { stable: 1 }, sticky: { mode: buckets } } } ]\n",
    ),
    (
        Code::FieldName,
        "@head\nroutes: [ { name: a, split: { key: { header: 'X User' }, backends: { stable: 1 } } } ]\n",
    ),
    (Code::Path, "@head\nroutes: [ { name: a, backend: stable, match: { path: { prefix: shop } } } ]\n"),
    (
        Code::Host,
        "@head\nroutes: [ { name: a, backend: stable, match: { hosts: ['shop.*.com', '*', 'http://a'] } } ]\n",
    ),
    (Code::Method, "@head\nroutes: [ { name: a, backend: stable, match: { method: get } } ]\n"),
    (
        Code::Status,
        "listeners: [ { name: a, bind: ':80' } ]\nbackends: { a: { endpoints: [ { address: '1.1.1.1:1' } ], health_check: { path: /, expected_status: 2xx } } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (Code::Text, "@head\n@routes\naccess_log: { path: stdot }\n"),
    (
        Code::Rate,
        "@head\nroutes: [ { name: a, backend: stable, rate_limit: [ { key: route, rate: 100 }, { key: cookie, rate: 5/10s } ] } ]\n",
    ),
    (
        Code::UnknownBackend,
        "@head\nroutes:\n  - name: a\n    split: { backends: { stable: 1, cannary: 1 } }\n",
    ),
    (
        Code::UnknownSegment,
        "@head\nsegments: { beta: { method: GET } }\nroutes: [ { name: a, backend: stable, rules: [ { match: { segment: betta }, backend: canary } ] } ]\n",
    ),
    (
        Code::DuplicateName,
        "@head\nroutes:\n  - { name: a, backend: stable, match: { path: { exact: /a } } }\n  - { name: a, backend: canary }\n",
    ),
    (
        Code::DuplicateEndpoint,
        "listeners: [ { name: a, bind: ':80' } ]\nbackends: { a: { endpoints: [ { address: '1.1.1.1:1' }, { address: '1.1.1.1:1' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (Code::DuplicateBind, "@head\n@routes\nadmin: { bind: 127.0.0.1:8080 }\n"),
    (Code::DuplicateBind, "listeners:\n  - { name: a, bind: 127.0.0.1:9900 }\n@backends"),
    (
        Code::DuplicateShare,
        "@head\nroutes:\n  - name: a\n    split:\n      backends:\n        - { name: stable, weight: 1 }\n        - { name: stable, weight: 2 }\n",
    ),
    (
        Code::ZeroWeights,
        "@head\nroutes:\n  - name: checkout\n    split:\n      backends:\n        - {name: stable, weight: 0}\n        - {name: canary, weight: 0}\n",
    ),
    (
        Code::NothingActive,
        "@head\nroutes: [ { name: a, split: { backends: [ { name: stable, weight: 1, state: off } ] } } ]\n",
    ),
    (
        Code::SegmentCycle,
        "@head\n@routes\nsegments:\n  a: { any: [ { method: GET }, { segment: b } ] }\n  b: { not: { segment: c } }\n  c: { segment: a }\n  d: { segment: d }\n",
    ),
    (Code::TooManyShares, "@many"),
    (
        Code::InsecureCookie,
        "@head\nroutes: [ { name: a, split: { backends: { stable: 1 }, sticky: { cookie: { same_site: none } } } } ]\n",
    ),
    (Code::OpenAdmin, "@head\n@routes\nadmin: { bind: :9900 }\n"),
    (Code::OpenAdmin, "@head\n@routes\nadmin: { bind: :9900, tokens: /tokens, metrics: none }\n"),
    (
        Code::UserNumber,
        "@head\n@routes\nadmin: { socket: { path: /a.sock, uids: { alice: admin, 1000: operator } } }\n",
    ),
    (
        Code::DuplicateBind,
        "admin: { socket: { path: /a.sock, uids: { 1000: root } }, tls: { clients: { ca_file: /a, roles: [ { dns: a, uri: b } ] } } }\nlisteners: [ { name: a, bind: 'unix:/a.sock' } ]\n@backends",
    ),
    (
        Code::SameMatch,
        "@head\nroutes:\n  - { name: a, match: { hosts: [a.example, b.example] }, backend: stable }\n  - { name: b, match: { hosts: [b.example, A.example] }, backend: canary }\n",
    ),
    (
        Code::Protocol,
        "listeners: [ { name: a, bind: ':80', protocols: [h2, http/1.1] } ]\nbackends: { a: { protocol: auto, endpoints: [ { address: '1.1.1.1:1' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::Protocol,
        "listeners: [ { name: a, bind: ':80', protocols: [h2c], tls: { certificates: [ { cert_file: a, key_file: b } ] } } ]\nbackends: { a: { protocol: h2c, tls: {}, endpoints: [ { address: '1.1.1.1:1' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::Choice,
        "listeners: [ { name: a, bind: ':80' } ]\nbackends: { a: { endpoints: [ { address: '1.1.1.1:1', unix: /a } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::Socket,
        "listeners: [ { name: a, bind: ':80', mode: '0600' } ]\nbackends: { a: { tls: {}, endpoints: [ { unix: /a } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::Address,
        "listeners: [ { name: a, bind: /run/weir.sock, mode: '0980' }, { name: b, bind: 'unix:weir.sock' } ]\nbackends: { a: { endpoints: [ { unix: run/a.sock } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (
        Code::PinWithoutCookie,
        "@head\nroutes: [ { name: a, split: { backends: { stable: 1 }, sticky: { mode: pin, cookie: off } } } ]\n",
    ),
    (Code::SegmentDepth, "@deep"),
    (
        Code::HealthCheck,
        "@head\n  a: { endpoints: [ { address: 1.1.1.1:1 } ], health_check: { tcp: true, host: a, expected_status: 200 } }\n  b: { endpoints: [ { address: 1.1.1.2:1 } ], health_check: { grpc: {}, expected_status: 200 } }\n@routes\n",
    ),
    (
        Code::UnknownJwtProvider,
        "@head\njwt: { accounts: { jwks_file: /keys.json, audience: shop } }\nroutes:\n  - { name: a, backend: stable, jwt: { provider: acounts } }\n",
    ),
    (
        Code::ClaimWithoutToken,
        "@head\nsegments:\n  beta: { jwt: { claim: plan, exact: beta } }\n  wide: { any: [ { segment: beta }, { method: GET } ] }\nroutes:\n  - name: a\n    rules: [ { match: { segment: wide }, backend: canary } ]\n    split: { key: [ { jwt: sub } ], backends: { stable: 1 } }\n",
    ),
    (
        Code::ReservedHeader,
        "@head\njwt: { accounts: { keys_file: /keys.pem } }\nroutes:\n  - { name: a, backend: stable, jwt: { provider: accounts, claims: { Host: sub, X-Real-IP: ip, X-User: sub } } }\n",
    ),
    (
        Code::ClaimHeader,
        "@head\njwt: { accounts: { keys_file: /keys.pem, token: { header: X-Token } } }\nroutes:\n  - name: a\n    backend: stable\n    headers: { request: { set: { X_Tenant: a } } }\n    jwt: { provider: accounts, claims: { X-Token: sub, X-Tenant: org, X-User: sub, x_user: email } }\n",
    ),
    (
        Code::Choice,
        "@head\njwt: { accounts: { keys_file: /keys.pem, jwks_file: /keys.json, algorithms: [none], token: {} } }\nroutes:\n  - { name: a, backend: stable, jwt: {} }\n",
    ),
    (
        Code::ReservedHeader,
        "@head\nroutes:\n  - name: a\n    backend: stable\n    headers:\n      request: { add: { Connection: x }, set: { Host: a, X_Forwarded-For: b } }\n      response: { remove: [Content-Length, Server] }\n",
    ),
    (Code::NoRedirect, "@head\nroutes: [ { name: a, redirect: { scheme: https, status: 304 } } ]\n"),
    (Code::RedirectCircle, "@head\nroutes: [ { name: a, redirect: {} } ]\n"),
    (Code::NoPrefix, "@head\nroutes: [ { name: a, redirect: { prefix: /b } } ]\n"),
    (Code::NoBody, "@head\nroutes: [ { name: a, respond: { status: 204, body: none } } ]\n"),
    (
        Code::CorsOrigin,
        "@head\nroutes: [ { name: a, backend: stable, cors: { origins: [shop.example, 'https://a.example/', 'https://A.example', 'https://a.example:443', 'https://a.*.example', 'http://a:0'] } } ]\n",
    ),
    (
        Code::CorsCredentials,
        "@head\nroutes: [ { name: a, backend: stable, cors: { origins: ['*', 'null'], credentials: true, expose: '*' } } ]\n",
    ),
    (
        Code::NoFault,
        "@head\nroutes: [ { name: a, backend: stable, fault: { header: { name: X-Chaos } } }, { name: b, backend: stable, match: { method: GET }, fault: { delay: { percent: 5 }, abort: { status: 200 } } } ]\n",
    ),
    (
        Code::NothingToMirror,
        "@head\nroutes: [ { name: a, respond: { status: 200 }, mirror: { backend: canary, percent: 101 } } ]\n",
    ),
    (
        Code::RetryStatus,
        "@head\nroutes: [ { name: a, backend: stable, retry: { on: [200, 503, 5xx, 304-404] } } ]\n",
    ),
    (Code::Backoff, "@head\nroutes: [ { name: a, backend: stable, retry: { backoff: { base: 1s } } } ]\n"),
    (
        Code::Word,
        "@head\nroutes: [ { name: a, backend: stable, retry: { on: [timeouts, conect_failure], attempts: 2 } } ]\n",
    ),
    (
        Code::UnknownNotification,
        "@head\nnotifications: { slack: { slack: { url_file: /url }, on: rolledback } }\n@rollout      preset: standard\n      notify: [slak]\n",
    ),
    (Code::RolloutBackends, "@head\n@rollout      preset: standard\n@also      preset: fast\n"),
    (
        Code::RolloutBackends,
        "@head\nroutes:\n  - { name: a, backend: stable, rollout: { preset: fast, baseline: stable, canary: canary } }\n  - { name: b, match: { method: GET }, respond: { status: 204 }, rollout: { preset: fast, baseline: stable, canary: canary } }\n",
    ),
    (Code::NoSteps, "@head\n@rollout      analysis: { gates: [] }\n"),
    (
        Code::Word,
        "@head\n@rollout      preset: standart\n      on_failure: retreat\n      hooks: [ { type: before, url: 'http://a' } ]\n      analysis: { gates: [ { metric: latency, max: 1s }, { metric: eror_rate, max: 1% } ] }\n",
    ),
    (
        Code::Step,
        "@head\n@rollout      steps: [ {}, { weight: 5, bake: 5m }, { approval: false }, { weight: 100, mirror: 5 } ]\n",
    ),
    (Code::RenamedKey, "@head\n@rollout      steps: [ { setWeight: 5, pause: 5m }, { weight: 100 } ]\n"),
    (
        Code::Percent,
        "@head\n@rollout      steps: [ { weight: 101 }, { weight: 0.0005 }, { weight: five } ]\n",
    ),
    (
        Code::Url,
        "@head\n@rollout      preset: fast\n      hooks: [ { type: event, url: checks }, { type: event, url: 'https://me:secret@checks' } ]\n      analysis: { prometheus: 'localhost:9090' }\n",
    ),
    (
        Code::Multiple,
        "@gates          - { metric: error_rate, max_ratio: 0.5 }\n          - { regression: error_rate, tolerance: 1.2 }\n",
    ),
    (Code::Limit, "@gates          - { metric: latency_p99, max: 500 msec }\n"),
    (
        Code::GateLimit,
        "@gates          - { metric: error_rate, max: 0.01 }\n          - { metric: latency_p99, max: 500 }\n          - { metric: request_rate, min: 10 }\n          - { metric: availability, max: 99.9% }\n          - { metric: request_rate, max_ratio: 2 }\n          - { metric: retry_rate, max: 50%, hard_max: 5% }\n          - { metric: reset_rate }\n",
    ),
    (
        Code::GateLimit,
        "@gates          - { prometheus: up, max: 1% }\n          - { prometheus: up, server: 'http://a' }\n          - { webhook: 'http://a', max: 3 }\n          - { webhook: 'http://a', pointer: /a }\n          - { regression: latency, tolerance: [1.2x, 1.3x, 1%] }\n",
    ),
    (
        Code::GateKey,
        "@gates          - { metric: error_rate, max: 1%, quantile: 0.9 }\n          - { consecutive_failures: 5, max: 1% }\n          - { regression: error_rate, quantile: 0.9 }\n",
    ),
    (
        Code::Choice,
        "@gates          - { max: 1% }\n          - { metric: error_rate, webhook: 'http://a', max: 1% }\n",
    ),
    (
        Code::DuplicateName,
        "@gates          - { metric: error_rate, max: 1% }\n          - { metric: retry_rate, max: 1%, name: error_rate }\n",
    ),
    (
        Code::FreezeTime,
        "@head\n@rollout      preset: fast\n      freeze:\n        - { cron: '0 16 * *', for: 1h }\n        - { cron: '0 16 * * FRI', for: 1h, zone: Europe/Berln }\n        - { cron: '0 0 31 2 *', for: 1h }\n",
    ),
    (
        Code::RolloutGroup,
        "@head\n@rollout      preset: fast\n      group: shops\n  - name: b\n    match: { method: GET }\n    split: { backends: { stable: 1, canary: 0 } }\n    rollout: { preset: standard, baseline: stable, canary: canary, group: shops }\n",
    ),
    (
        Code::RolloutRange,
        "@gates          - { webhook: 'http://a', every: 5s, timeout: 10s }\n          - { regression: latency, alpha: 60% }\n        interval: 2h\n        alpha: 0%\n      freeze: { cron: '0 0 * * *', for: 400d }\n",
    ),
    (
        Code::NoSplit,
        "@head\nroutes: [ { name: a, respond: { status: 204 }, rules: [ { match: { method: GET }, backend: stable } ] } ]\n",
    ),
];

/// What follows listeners that are wrong.
const BACKENDS: &str =
    "backends: { a: { endpoints: [ { address: 1.1.1.1:1 } ] } }\nroutes: [ { name: a, backend: a } ]\n";

/// Files that are right but odd.
const ODD: &[(Code, &str)] = &[
    (Code::UnusedBackend, "@head\nroutes: [ { name: a, backend: stable } ]\n"),
    (Code::UnusedSegment, "@head\nsegments: { beta: { method: GET } }\n@routes\n"),
    (
        Code::UnreachableRule,
        "@head\nsegments: { all: { any: [ { fraction: 100% } ] } }\nroutes:\n  - name: a\n    backend: stable\n    rules:\n      - { match: { segment: all }, backend: canary }\n      - { match: { method: GET }, backend: stable }\n",
    ),
    (
        Code::UnreachableRule,
        "@head\nroutes:\n  - name: a\n    backend: stable\n    rules:\n      - { match: { method: GET }, backend: canary }\n      - { match: { method: [GET] }, backend: stable }\n",
    ),
    (
        Code::ShadowedRoute,
        "@head\nroutes:\n  - { name: a, match: { hosts: [a.example, b.example] }, backend: stable }\n  - { name: b, match: { hosts: a.example }, backend: canary }\n",
    ),
    (
        Code::ShieldAlone,
        "@head\nroutes: [ { name: a, backend: stable, shield: true }, { name: b, match: { method: GET }, backend: canary } ]\n",
    ),
    (
        Code::PreflightElsewhere,
        "@head\nroutes: [ { name: a, backend: stable, match: { method: [GET, POST] }, cors: { origins: '*' } }, { name: b, backend: canary } ]\n",
    ),
    (
        Code::Unverified,
        "listeners: [ { name: a, bind: ':80' } ]\nbackends: { a: { tls: { verify: false }, endpoints: [ { address: '1.1.1.1:1' } ] } }\nroutes: [ { name: a, backend: a } ]\n",
    ),
    (Code::FirstStep, "@head\n@rollout      steps: [ { weight: 20, hold: 5m }, { weight: 100 } ]\n@judged"),
    (
        Code::StepDown,
        "@head\n@rollout      steps: [ { weight: 5, hold: 5m }, { weight: 50, hold: 5m }, { region: DE, weight: 5, hold: 1m }, { weight: 20, hold: 5m }, { weight: 100 } ]\n@judged",
    ),
    (
        Code::EndsShort,
        "@head\n@rollout      steps: [ { weight: 5, hold: 5m }, { region: DE, hold: 5m } ]\n@judged",
    ),
    (Code::EndsShort, "@head\n@rollout      steps: [ { weight: 5, hold: 5m }, { approval: true } ]\n@judged"),
    (Code::NoGates, "@head\n@rollout      steps: [ { weight: 5, hold: 5m }, { weight: 100 } ]\n"),
    (Code::DeadlineShort, "@head\n@rollout      preset: conservative\n      deadline: 1h\n"),
    (Code::NoHold, "@head\n@rollout      steps: [ { weight: 5 }, { weight: 100 } ]\n@judged"),
    (Code::UnusedNotification, "@head\nnotifications: { slack: { slack: { url_file: /url } } }\n@routes\n"),
    (Code::UnusedJwtProvider, "@head\njwt: { accounts: { keys_file: /keys.pem } }\n@routes\n"),
];

/// A route with the beginning of a rollout.
const ROLLOUT: &str = "\
routes:
  - name: shop
    split: { backends: { stable: 95, canary: 5 } }
    rollout:
      baseline: stable
      canary: canary
";

fn whole(text: &str) -> String {
    let many: String = (0..65).map(|n| format!("        b{n}: 1\n")).collect();
    let deep: String = (0..35).map(|n| format!("  s{n}: {{ segment: s{} }}\n", n + 1)).collect();
    match text {
        "@many" => format!("{HEAD}routes:\n  - name: a\n    split:\n      backends:\n{many}"),
        "@deep" => format!("{HEAD}{ROUTES}segments:\n{deep}  s35: {{ method: GET }}\n"),
        _ => text
            .replace("@gates", &format!("@head\n{ROLLOUT}      preset: standard\n      analysis:\n        gates:\n"))
            .replace("@also", "  - name: b\n    match: { method: GET }\n    split: { backends: { stable: 1 } }\n    rollout:\n      baseline: canary\n      canary: canary\n")
            .replace("@rollout", ROLLOUT)
            .replace("@judged", "      analysis: { gates: [ { metric: error_rate, max: 1% } ] }\n")
            .replace("@head\n", HEAD).replace("@routes\n", ROUTES).replace("@backends", BACKENDS),
    }
}

#[test]
fn every_error_class_is_shown() {
    let mut shown = String::new();
    for (code, text) in WRONG {
        let errors = bad(&whole(text));
        let codes: BTreeSet<_> = errors.iter().map(|error| error.code).collect();
        assert!(codes.contains(code), "{code:?} in\n{text}\n{errors}");
        let drawn = errors.render(Look::default());
        // Sixty-five unknown backends would say little.
        let few: Vec<&str> = drawn.lines().take(32).collect();
        writeln!(shown, "──── {}: {}\n{}\n", code.as_str(), code.meaning(), few.join("\n")).unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn every_warning_is_shown() {
    let mut shown = String::new();
    for (code, text) in ODD {
        let warnings = super::good(&whole(text)).warnings;
        assert!(warnings.iter().any(|warning| warning.code == *code), "{code:?} in\n{text}\n{warnings}");
        writeln!(shown, "──── {}: {}\n{}", code.as_str(), code.meaning(), warnings.render(Look::default()))
            .unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn no_class_is_without_an_example() {
    let shown: BTreeSet<Code> = WRONG.iter().chain(ODD).map(|(code, _)| *code).collect();
    // These are about bytes and files, and shown in `files.rs`.
    let elsewhere = [Code::Unreadable, Code::FileTooLarge, Code::NotUtf8];
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| !shown.contains(code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn all_errors_come_at_once_in_order() {
    let text = "\
listeners:
  - { name: http, bind: 127.0.0.1 }
backends:
  stable: { endpoints: [ { address: 10.0.0.1:80 } ] }
routes:
  - name: checkout
    timeouts: { connect: 2 }
    split:
      stiky: { mode: bucket }
      backends:
        - {name: stabel, weight: 0}
        - {name: canary, weight: 0}
";
    insta::assert_snapshot!(bad(text).to_string(), @r"
    weir.yaml:2:25: error[E0044]: `127.0.0.1` is not an address (add the port: `127.0.0.1:8080`)
    weir.yaml:7:26: error[E0040]: `2` is not a duration (add the unit: `2s`, `2ms`)
    weir.yaml:9:7: error[E0031]: unknown key `stiky`; did you mean `sticky`?
    weir.yaml:11:18: error[E0101]: there is no backend `stabel` (did you mean `stable`?)
    weir.yaml:12:18: error[E0101]: there is no backend `canary`
    weir.yaml:12:34: error[E0107]: all weights of route `checkout` are zero (give at least one backend a weight above 0)
    ");
}

#[test]
fn one_mistake_is_reported_once() {
    for (text, count) in [
        // A name that is no name is not also an unknown backend, or a second route of that name.
        (
            "@head\nroutes: [ { name: '?', backend: '?' }, { name: '?', match: { method: GET }, backend: stable } ]\n",
            3,
        ),
        ("@head\nroutes: [ { name: a, split: { backends: { '?': 0, '!': x } } } ]\n", 3),
        ("@head\nroutes: [ { name: a, split: 5 } ]\n", 1),
        ("@head\nroutes: [ { name: a, rules: [ { match: 5, backend: canary } ], backend: stable } ]\n", 1),
        ("@head\nroutes: [ { name: a, rules: [ 5 ], backend: stable } ]\n", 1),
        ("@head\nroutes: 5\n", 1),
        ("backends: 5\nlisteners: 5\nroutes: [ { name: a, backend: stable } ]\n", 2),
        ("5\n", 1),
        // A misspelt key that must be there is not also a missing one.
        ("@head\nroutes: [ { name: a, spilt: { backends: { stable: 1 } } } ]\n", 1),
        ("@head\nroute: [ { name: a, backend: stable } ]\n", 1),
        ("@head\nroutes: [ { nmae: a, backend: stable } ]\n", 1),
        ("@head\nroutes: [ { nmae: a, match: { methods: [GET] } } ]\n", 3),
        ("@head\nroutes: [ { name: a, backend: [stable] } ]\n", 1),
    ] {
        let errors = bad(&whole(text));
        assert_eq!(errors.len(), count, "{text}\n{errors}");
    }
}

#[test]
fn scripts_get_json() {
    let errors = bad(&whole("@head\nroutes: [ { name: a, backend: stabel } ]\n"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&errors.to_json()).unwrap());
}

#[test]
fn code_scanning_gets_sarif() {
    let mut log = bad(&whole("@head\nroutes: [ { name: a, backend: stabel } ]\n")).to_sarif();
    let rules = log["runs"][0]["tool"]["driver"]["rules"].take();
    assert_eq!(rules.as_array().map(Vec::len), Some(Code::ALL.len()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&log["runs"]).unwrap());
}

#[test]
fn places_are_right_behind_other_alphabets_and_line_ends() {
    for (text, line, column) in [
        ("# äöü 🦀\r\nfrob: 1\r\n", 2, 1),
        ("\u{feff}frob: 1\n", 1, 1),
        ("listeners: [ { name: \"ä🦀\", frob: 1 } ]\n", 1, 28),
        ("frob: 1", 1, 1),
    ] {
        let errors = parse(text, "x").unwrap_err();
        let unknown = errors.iter().find(|error| error.code == Code::UnknownKey).unwrap();
        let (start, _) = errors.position(unknown).unwrap();
        assert_eq!((start.line, start.column), (line, column), "{text:?}");
    }
    let errors = parse_bytes(b"a: \xff", "x").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "x:1:4: error[E0003]: the file is not UTF-8: byte 0xff (save the file as UTF-8)"
    );
}

//! The Cookie header: cookies are found as a plain reading finds them, and nothing but what Weir signed assigns a user.

use std::{net::Ipv4Addr, time::Duration};

use proptest::prelude::*;
use weir::{
    http::{HeaderList, RequestView},
    split::{
        AssignContext, CookieSettings, KeySource, Keyring, PlanBackend, PlanParts, RegionSources, SameSite,
        SplitPlan, assign,
    },
    types::{BackendState, Name, Reason, StickyMode, Weight},
};

use super::engine::{Target, Verdict, hash_of};

const NOW: u64 = 20_000 * 86_400;
const PIECES: &[&str] = &[
    ";",
    "; ",
    "=",
    "weir=",
    "Weir=",
    "weir =",
    "uid=",
    "uid=\"q\"",
    ".",
    "..",
    "0",
    "00",
    "99999",
    "100000",
    "4294967296",
    "-1",
    "\"",
    ",",
    " ",
    "\t",
    "f433",
    "%3B",
    "weir=;",
    ";weir",
    "\u{e4}",
];

#[test]
fn cookies() {
    let stage = Stage::new();
    let tokens = stage.signed();
    let grammar = grammar(tokens.clone());
    Target {
        name: "cookies",
        grammar,
        pieces: PIECES,
        judge: Box::new(move |input| stage.judge(input, &tokens)),
    }
    .run();
}

fn grammar(tokens: Vec<String>) -> BoxedStrategy<Vec<u8>> {
    let value = prop_oneof![3 => prop::sample::select(tokens), 1 => "[ -~]{0,20}"];
    let name = prop::sample::select(vec!["weir", "weir", "weir-00000000", "uid", "a", ""]);
    prop::collection::vec((name, value).prop_map(|(name, value)| format!("{name}={value}")), 0..4)
        .prop_map(|pairs| pairs.join("; ").into_bytes())
        .boxed()
}

struct Stage {
    plans: Vec<SplitPlan>,
    keyring: Keyring,
    regions: RegionSources,
}

// === impl Stage ===

impl Stage {
    fn new() -> Self {
        let plans = [StickyMode::Bucket, StickyMode::Pin].map(plan).into();
        Self { plans, keyring: Keyring::new(*b"0123456789abcdef", None), regions: RegionSources::default() }
    }

    /// Tokens that it sets for new users.
    fn signed(&self) -> Vec<String> {
        let mut tokens = Vec::new();
        for plan in &self.plans {
            for entropy in 0..20_u64 {
                let none = HeaderList::default();
                let context = self.context();
                let given = assign(plan, &view(&none), &context, entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let header = plan.set_cookie_header(&given.set_cookie.unwrap(), &context).unwrap();
                tokens.push(header.split_once('=').unwrap().1.split(';').next().unwrap().to_owned());
            }
        }
        tokens
    }

    fn judge(&self, input: &[u8], signed: &[String]) -> Verdict {
        let mut list = HeaderList::default();
        list.push("Cookie", input);
        let request = view(&list);
        for name in ["weir", "uid", "a"] {
            let found: Vec<&[u8]> = request.headers.cookies(name).collect();
            let plain = plainly(input, name);
            if found != plain {
                return Err(format!("{name}: {found:?}, and plainly {plain:?}"));
            }
        }
        let mut reasons = Vec::new();
        for plan in &self.plans {
            let given = assign(plan, &request, &self.context(), 7);
            let by_cookie = matches!(given.reason, Reason::Cookie | Reason::Pin);
            let genuine = signed.iter().any(|token| super::strict::find(input, token.as_bytes()).is_some());
            if by_cookie && !genuine {
                return Err(format!("believed: {given:?}"));
            }
            if let Some(value) = &given.set_cookie {
                let header = plan.set_cookie_header(value, &self.context()).unwrap_or_default();
                if !header.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                    return Err(format!("sets {header:?}"));
                }
            }
            reasons.push((given.reason.as_str(), given.set_cookie.is_some()));
        }
        Ok(hash_of(&(reasons, plainly(input, "weir").len().min(3), plainly(input, "uid").len().min(3))))
    }

    fn context(&self) -> AssignContext<'_> {
        AssignContext {
            keyring: &self.keyring,
            now_unix_secs: NOW,
            regions: &self.regions,
            secure: true,
            claims: None,
        }
    }
}

fn plan(mode: StickyMode) -> SplitPlan {
    let backend = |name: &str, weight| PlanBackend {
        name: Name::new(name).unwrap(),
        weight: Weight::of(weight),
        state: BackendState::Active,
    };
    SplitPlan::new(PlanParts {
        route: Name::new("shop").unwrap(),
        backends: vec![backend("stable", 90), backend("canary", 10)],
        rules: Vec::new(),
        keys: vec![KeySource::Cookie("uid".into())],
        salt: "shop".to_owned(),
        mode,
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
    })
    .unwrap()
}

fn view(list: &HeaderList) -> RequestView<'_> {
    RequestView {
        method: "GET",
        host: "a",
        path: b"/",
        query: None,
        headers: list.view(),
        client_ip: Ipv4Addr::LOCALHOST.into(),
        peer_ip: Ipv4Addr::LOCALHOST.into(),
        secure: true,
        listener_region: None,
    }
}

/// The values of a cookie, written down anew from RFC 6265, section 5.4.
fn plainly<'i>(input: &'i [u8], name: &str) -> Vec<&'i [u8]> {
    let mut values = Vec::new();
    for pair in input.split(|byte| *byte == b';') {
        let pair = pair.trim_ascii();
        if let Some(equals) = pair.iter().position(|byte| *byte == b'=')
            && pair[..equals] == *name.as_bytes()
        {
            values.push(&pair[equals + 1..]);
        }
    }
    values
}

//! Signed overrides: who is believed, for how long, and what comes before them.

use super::*;
use crate::{
    split::{
        cookie::Cookie,
        signed::{Unsigned, verify},
    },
    types::{Bucket, Reason},
};

const KEY: [u8; 16] = *b"0123456789abcdef";
/// An hour later.
const END: u32 = 20_000 * 86_400 + 3600;

fn keyring() -> Keyring {
    Keyring::new(KEY, None)
}

fn sign(backend: &str) -> String {
    keyring().sign_override((&name("shop"), &name(backend)), END)
}

/// Which backend a text gives, or why none.
fn found(text: &str, plan: &SplitPlan, now: u64) -> Result<usize, &'static str> {
    verify(text.as_bytes(), plan, (&keyring(), now)).map_err(Unsigned::as_str)
}

#[test]
fn the_text_is_as_documented() {
    insta::assert_snapshot!(sign("canary"), @"canary.shop.1728003600.f433.69a5657b74f9aeea36de4d6733ec62b9");
}

#[test]
fn it_counts_for_one_backend_of_one_route_and_until_it_ends() {
    let shop = plan(parts(&[100, 0]));
    let mut off = parts(&[100, 0]);
    off.backends[1].state = BackendState::Off;
    let other = plan(PlanParts { route: name("cart"), ..parts(&[100, 0]) });
    let dotted = PlanParts { route: name("v1.shop"), ..parts(&[100, 0]) };
    let (text, end) = (sign("v1"), u64::from(END));
    for (text, plan, now, expected) in [
        (&text, &shop, NOW, Ok(1)),
        (&text, &shop, end - 1, Ok(1)),
        (&text, &shop, end, Err("its time is over")),
        (&text, &other, NOW, Err("it is for another route")),
        // `v1.shop` of its own ends on what is signed here, and nothing is left for a backend.
        (&text, &plan(dotted), NOW, Err("it is for another route")),
        (&text, &plan(off), NOW, Err("its backend takes nobody")),
        (&sign("v2"), &shop, NOW, Err("the split has no such backend")),
        (&sign("v0.x"), &shop, NOW, Err("the split has no such backend")),
        (&format!("x{text}"), &shop, NOW, Err("it was not signed by this Weir")),
        (&"x".repeat(10_000), &shop, NOW, Err("it was not signed by this Weir")),
        (&String::new(), &shop, NOW, Err("it was not signed by this Weir")),
    ] {
        assert_eq!(found(text, plan, now), expected, "{text}");
    }
}

#[test]
fn no_flipped_bit_no_cut_and_no_other_key_is_believed() {
    let (shop, text) = (plan(parts(&[100, 0])), sign("v1").into_bytes());
    for bit in 0..text.len() * 8 {
        let mut changed = text.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, &shop, (&keyring(), NOW)).is_err(), "bit {bit}");
    }
    for cut in 0..text.len() {
        assert!(verify(&text[..cut], &shop, (&keyring(), NOW)).is_err(), "cut at {cut}");
    }
    for (current, previous, counts) in [(KEY, None, true), ([9; 16], Some(KEY), true), ([9; 16], None, false)]
    {
        let keyring = Keyring::new(current, previous);
        assert_eq!(verify(&text, &shop, (&keyring, NOW)).is_ok(), counts);
    }
}

#[test]
fn what_signs_a_cookie_signs_no_override() {
    // The cookie's fields, read as an override: backend 1, route 2, and a time that is far off.
    let named = |name: &str| CookieSettings { name: name.to_owned(), ..cookie_settings() };
    let value = CookieValue { number: Bucket::new(1).unwrap(), epoch: 2, issued_day: u32::MAX, pin: None };
    let route = PlanParts { route: name("2"), ..parts(&[100, 0]) };
    let plan = plan(route);
    for cookie in ["weir", "override", "x-weir-override"] {
        let cookie = Cookie::new(&named(cookie), StickyMode::Bucket, "shop").unwrap();
        let header = cookie.header(&value, &keyring(), (u32::MAX, true));
        let text = header.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        assert_eq!(found(&text, &plan, NOW), Err("it was not signed by this Weir"), "{text}");
    }
}

#[test]
fn it_yields_only_to_the_kill_switch_and_leaves_cookies_alone() {
    let mut overridden = parts(&[100, 0, 0]);
    overridden.overrides = vec![(b"alice"[..].into(), name("v2"))];
    let killed = plan(PlanParts { kill_switch: Some(name("v0")), ..overridden.clone() });
    let (open, header) = (plan(overridden), sign("v1"));
    let asks = |header: &str| Client { keyring: keyring(), ..Client::new() }.with("X-Weir-Override", header);
    for (plan, user, header, expected) in [
        (&open, "alice", header.as_str(), (1, Reason::Override)),
        (&open, "bob", &header, (1, Reason::Override)),
        (&open, "alice", "forged", (2, Reason::Override)),
        (&open, "bob", "forged", (0, Reason::Identity)),
        (&killed, "bob", &header, (0, Reason::KillSwitch)),
    ] {
        let assigned = asks(header).with("x-user", user).visit(plan, 0);
        assert_eq!((assigned.backend, assigned.reason), expected, "{user} {header}");
    }
    // A user who would be drawn and get a cookie gets none of this, and draws later.
    let mut stranger = asks(&header);
    assert_eq!(stranger.visit(&open, 7).set_cookie, None);
    let mut forger = asks("forged");
    let assigned = forger.visit(&open, 7);
    assert!(assigned.new_bucket && assigned.reason == Reason::Draw, "{assigned:?}");
    let told = asks(&format!("{header}0")).on(|request, context| explain(&open, request, context, 7));
    let step = told.steps.iter().find(|step| step.step == "signed override").unwrap();
    assert_eq!(step.detail, "ignored: it was not signed by this Weir");
}

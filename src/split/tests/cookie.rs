//! The assignment cookie's text, and what is not believed.

use super::*;
use crate::{split::cookie::Cookie, types::Bucket};

fn cookie() -> Cookie {
    Cookie::new(&cookie_settings(), StickyMode::Bucket, "shop").unwrap()
}

fn value(pin: Option<u32>) -> CookieValue {
    CookieValue { number: Bucket::new(4711).unwrap(), epoch: 3, issued_day: 20_000, pin }
}

fn token(header: &str) -> String {
    header.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
}

const KEY: [u8; 16] = *b"0123456789abcdef";

#[test]
fn the_header_is_as_documented() {
    let keyring = Keyring::new(KEY, None);
    insta::assert_snapshot!(cookie().header(&value(None), &keyring, (20_000, true)), @"weir=4711.3.20000.f433.622437b6cae0aba0b5605b3f61fe0b2b; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax; Secure");
    let pinned = Cookie::new(
        &CookieSettings {
            domain: Some("example.com".to_owned()),
            same_site: SameSite::None,
            ..cookie_settings()
        },
        StickyMode::Pin,
        "shop",
    );
    let header = pinned.unwrap().header(&value(Some(pin_of("canary"))), &keyring, (20_010, false));
    insta::assert_snapshot!(header, @"weir-657dbca5=4711.3.20000.5b08d9df.f433.c4124adbb3b3bdc9b60775f9285f66ea; Max-Age=1728000; Path=/; Domain=example.com; HttpOnly; SameSite=None; Secure");
}

#[test]
fn a_cookie_survives_the_round_trip_and_no_flipped_bit() {
    let keyring = Keyring::new(KEY, None);
    for value in [value(None), value(Some(7))] {
        let text = token(&cookie().header(&value, &keyring, (20_000, true)));
        let verify = |text: &[u8]| cookie().verify(text, &keyring, 20_001).map(|verified| verified.value);
        assert_eq!(verify(text.as_bytes()), Some(value));
        for bit in 0..text.len() * 8 {
            let mut changed = text.clone().into_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&changed), None, "bit {bit}");
        }
        for cut in 0..text.len() {
            assert_eq!(verify(&text.as_bytes()[..cut]), None, "cut at {cut}");
        }
    }
}

#[test]
fn a_cookie_is_bound_to_its_name_key_and_time() {
    let keyring = Keyring::new(KEY, None);
    let text = token(&cookie().header(&value(None), &keyring, (20_000, true)));
    let verify = |cookie: &Cookie, keyring: &Keyring, today| cookie.verify(text.as_bytes(), keyring, today);
    for (today, counts, ageing) in [
        (20_000, true, false),
        (20_015, true, false),
        (20_016, true, true),
        (20_030, true, true),
        (20_031, false, false),
        (19_999, true, false),
        (19_998, false, false),
    ] {
        let verified = verify(&cookie(), &keyring, today);
        assert_eq!((verified.is_some(), verified.is_some_and(|v| v.ageing)), (counts, ageing), "{today}");
    }
    let pinned = |salt| Cookie::new(&cookie_settings(), StickyMode::Pin, salt).unwrap();
    assert_eq!(verify(&pinned("shop"), &keyring, 20_000), None);
    assert_ne!(pinned("shop").name(), pinned("other").name());
    assert_eq!(verify(&cookie(), &Keyring::new([1; 16], None), 20_000), None);
    assert!(verify(&cookie(), &Keyring::new([1; 16], Some(KEY)), 20_000).unwrap().old_key);
    assert!(!verify(&cookie(), &Keyring::new(KEY, Some([1; 16])), 20_000).unwrap().old_key);
}

#[test]
fn settings_that_would_break_the_header_are_refused() {
    let error = |settings| Cookie::new(&settings, StickyMode::Bucket, "shop").err();
    let base = cookie_settings;
    for name in ["", "a b", "a=b", "a;b", "ä"] {
        let expected = Some(CookieError::Name(name.to_owned()));
        assert_eq!(error(CookieSettings { name: name.to_owned(), ..base() }), expected);
    }
    for path in ["", "a", "/;x", "/\r\nx"] {
        let expected = Some(CookieError::Attribute(path.to_owned()));
        assert_eq!(error(CookieSettings { path: path.to_owned(), ..base() }), expected);
    }
    assert_eq!(
        error(CookieSettings { domain: Some("a;b".to_owned()), ..base() }),
        Some(CookieError::Attribute("a;b".to_owned()))
    );
    assert_eq!(error(CookieSettings { max_age: Duration::ZERO, ..base() }), Some(CookieError::MaxAge));
}

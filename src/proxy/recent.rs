//! The fields that responses repeat.
//!
//! In the map of an HTTP/2 message every field owns its name and its value, so each would be looked up, checked and copied for
//! each response. Most say what the one before has said. So a worker remembers the last field of a name, and gives out clones,
//! which share the text.

use std::cell::RefCell;

use ::http::{HeaderName, HeaderValue};

/// Names that are remembered, a power of two. Two that fall on one place take turns.
const PLACES: usize = 64;
/// Longer values are seldom the same again.
const MAX_VALUE: usize = 64;

/// A worker's memory of fields.
#[derive(Debug)]
pub(super) struct RecentFields {
    places: RefCell<Vec<Option<(HeaderName, HeaderValue)>>>,
}

// === impl RecentFields ===

impl RecentFields {
    /// The field as a map takes it; `None` when it is none.
    pub(super) fn field(&self, name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let mut places = self.places.borrow_mut();
        let place = &mut places[place_of(name)];
        // What is said to one client alone is kept for nobody.
        if value.len() > MAX_VALUE || name.eq_ignore_ascii_case(b"set-cookie") {
            return Some((name_of(place.as_ref(), name)?, HeaderValue::from_bytes(value).ok()?));
        }
        if let Some((known, last)) = place
            && last.as_bytes() == value
            && is(known, name)
        {
            return Some((known.clone(), last.clone()));
        }
        let field = (name_of(place.as_ref(), name)?, HeaderValue::from_bytes(value).ok()?);
        Some(place.insert(field).clone())
    }
}

impl Default for RecentFields {
    fn default() -> Self {
        Self { places: RefCell::new(vec![None; PLACES]) }
    }
}

fn name_of(known: Option<&(HeaderName, HeaderValue)>, name: &[u8]) -> Option<HeaderName> {
    match known {
        Some((known, _)) if is(known, name) => Some(known.clone()),
        _ => HeaderName::from_bytes(name).ok(),
    }
}

fn is(known: &HeaderName, name: &[u8]) -> bool {
    known.as_str().as_bytes().eq_ignore_ascii_case(name)
}

/// The place of a name, whatever its letters' case. The factor is one that keeps apart the names that most responses have.
fn place_of(name: &[u8]) -> usize {
    name.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(45).wrapping_add(usize::from(byte | 0x20)))
        % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(recent: &RecentFields, name: &str, value: &str) -> Option<(String, Vec<u8>)> {
        let (name, value) = recent.field(name.as_bytes(), value.as_bytes())?;
        Some((name.as_str().to_owned(), value.as_bytes().to_vec()))
    }

    #[test]
    fn it_says_what_it_was_asked_whatever_it_remembers() {
        let recent = RecentFields::default();
        let long = "x".repeat(MAX_VALUE + 1);
        assert_eq!(place_of(b"a"), place_of(b"!"), "two that take turns");
        for round in 0..3 {
            for name in ["content-type", "Content-Type", "X-Backend", "a", "!", "Set-Cookie"] {
                for value in ["", "stable", "canary", "stable", &long, &round.to_string()] {
                    let expected = (name.to_ascii_lowercase(), value.as_bytes().to_vec());
                    assert_eq!(said(&recent, name, value), Some(expected));
                }
            }
        }
    }

    #[test]
    fn a_field_that_repeats_shares_its_text() {
        let recent = RecentFields::default();
        let ask = |name: &str, value: &str| recent.field(name.as_bytes(), value.as_bytes()).unwrap().1;
        let first = ask("X-Backend", "stable");
        assert_eq!(first.as_bytes().as_ptr(), ask("x-backend", "stable").as_bytes().as_ptr());
        let secret = ask("set-cookie", "a=1");
        assert_ne!(secret.as_bytes().as_ptr(), ask("set-cookie", "a=1").as_bytes().as_ptr());
    }

    #[test]
    fn usual_names_have_places_of_their_own() {
        let usual = "content-type content-length date server cache-control etag last-modified vary expires location age via";
        let places: std::collections::BTreeSet<_> =
            usual.split(' ').map(|name| place_of(name.as_bytes())).collect();
        assert_eq!(places.len(), usual.split(' ').count());
        assert_eq!(place_of(b"Content-Type"), place_of(b"content-type"));
    }

    #[test]
    fn what_is_no_field_is_none() {
        let recent = RecentFields::default();
        assert_eq!(said(&recent, "not a name", "x"), None);
        assert_eq!(said(&recent, "x", "a\r\nb"), None);
        assert_eq!(said(&recent, "", ""), None);
    }
}

//! The assignment cookie: what a browser without another identity is recognised by.
//!
//! # Format
//! `bucket.epoch.issued.keyid.mac`, and with a pin `bucket.epoch.issued.pin.keyid.mac`:
//!
//! | field | what |
//! |---|---|
//! | bucket | a number drawn at first sight, 0 to 99,999, decimal |
//! | epoch | the route's epoch when the cookie was made, decimal |
//! | issued | the day it was made, in days since 1970-01-01, decimal |
//! | pin | the backend, 32 bits of SipHash-2-4 of its name, 8 hexadecimal digits |
//! | keyid | which key signed, 4 hexadecimal digits that are derived from the key |
//! | mac | SipHash-2-4-128 over `name=` and all that stands before the mac's dot, 32 hexadecimal digits |
//!
//! Each value has one spelling (no leading zeros, no upper case), so any changed bit fails. The day is coarse on purpose:
//! with the second it would single people out.
//!
//! # Who shares it
//! A browser keeps one cookie per name and path, whatever route answered. So the number belongs to the browser and
//! is shared by every route with the same cookie name; each split permutes it by its own salt
//! ([`Salt::cookie_bucket`](super::Salt::cookie_bucket)). If the cookie were bound to one route, two routes on one host
//! would replace each other's for ever, and users would flip. A pin does belong to one split: there the cookie's name
//! gets the salt's hash appended (`weir-1f3a9c02`), and as the mac covers the name, no cookie is valid under another.

use std::{hash::Hasher, time::Duration};

use siphasher::{
    sip::SipHasher24,
    sip128::{self, Hasher128},
};

use crate::types::{Bucket, StickyMode};

const DAY: u64 = 86_400;

/// The keys that cookies are signed with: the current one signs, the previous one is still believed.
#[derive(Clone)]
pub struct Keyring {
    current: Key,
    previous: Option<Key>,
}

/// The assignment cookie's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSettings {
    /// Its name, a token (RFC 6265, section 4.1.1).
    pub name: String,
    /// Its SameSite attribute.
    pub same_site: SameSite,
    /// Its Path attribute.
    pub path: String,
    /// Its Domain attribute.
    pub domain: Option<String>,
    /// Whether it is marked Secure: `None` when the request came over TLS. `SameSite=None` always is.
    pub secure: Option<bool>,
    /// How long it counts, at least a second. A user agent keeps it as long; Weir enforces it in whole days, rounded up.
    pub max_age: Duration,
}

/// The SameSite attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Sent on top-level navigation.
    #[default]
    Lax,
    /// Sent on same-site requests only.
    Strict,
    /// Sent always; needs Secure.
    None,
}

/// Why settings make no cookie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// The name is empty or has a character that no cookie name may have.
    #[error("`{0}` is not a cookie name")]
    Name(String),
    /// Path or Domain has a `;`, a control character, or one beyond ASCII; or the path does not begin with `/`.
    #[error("`{0}` cannot be an attribute of a cookie")]
    Attribute(String),
    /// Less than a second.
    #[error("the cookie's max_age is less than a second")]
    MaxAge,
}

/// What an assignment cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieValue {
    /// The number that every split makes its bucket of.
    pub number: Bucket,
    /// The route's epoch.
    pub epoch: u32,
    /// The day of issue, since 1970-01-01.
    pub issued_day: u32,
    /// The pinned backend, by [`pin_of`].
    pub pin: Option<u32>,
}

/// A cookie as compiled for one split.
#[derive(Debug, Clone)]
pub(super) struct Cookie {
    name: Box<str>,
    /// From `; Path=` to the end, without Max-Age and Secure.
    attributes: Box<str>,
    secure: Option<bool>,
    max_age: Duration,
}

/// A cookie that verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) value: CookieValue,
    /// Signed with the previous key.
    pub(super) old_key: bool,
    /// More than half of its time has passed.
    pub(super) ageing: bool,
}

#[derive(Clone)]
struct Key {
    hasher: sip128::SipHasher24,
    id: [u8; 4],
}

/// The pin that stands for a backend.
#[must_use]
pub fn pin_of(backend: &str) -> u32 {
    u32::try_from(SipHasher24::new().hash(backend.as_bytes()) >> 32).expect("the upper half of 64 bits")
}

/// The day of a unix time, since 1970-01-01.
#[must_use]
pub fn day_of(unix_secs: u64) -> u32 {
    u32::try_from(unix_secs / DAY).unwrap_or(u32::MAX)
}

// === impl Keyring ===

impl Keyring {
    /// A keyring of secret keys of 128 random bits.
    #[must_use]
    pub fn new(current: [u8; 16], previous: Option<[u8; 16]>) -> Self {
        Self { current: Key::new(current), previous: previous.map(Key::new) }
    }

    /// `text` with the id of the current key and its mac behind, by a name that says what it is.
    pub(super) fn signed(&self, name: &str, mut text: String) -> String {
        text.push('.');
        text.push_str(&String::from_utf8_lossy(&self.current.id));
        let mac = self.current.mac(name, text.as_bytes());
        format!("{text}.{mac:032x}")
    }

    /// What was signed by this name, if one of the keys did. Does not allocate.
    pub(super) fn verified<'t>(&self, name: &str, text: &'t [u8]) -> Option<&'t [u8]> {
        let (signed, mac) = apart(text)?;
        let dot = memchr::memrchr(b'.', signed)?;
        self.signer(name, signed, (&signed[dot + 1..], mac))?;
        Some(&signed[..dot])
    }

    /// Whether it was the previous key that signed; `None` when none did.
    fn signer(&self, name: &str, signed: &[u8], (id, mac): (&[u8], &[u8])) -> Option<bool> {
        let signs = |key: &Key| {
            let mut expected = [0; 32];
            hex(&mut expected, key.mac(name, signed));
            equal(&expected, mac)
        };
        self.with_id(id).find(|(key, _)| signs(key)).map(|(_, old_key)| old_key)
    }

    /// The keys that have this id, the current first; the flag says that it is the previous one.
    fn with_id(&self, id: &[u8]) -> impl Iterator<Item = (&Key, bool)> {
        let previous = self.previous.iter().map(|key| (key, true));
        std::iter::once((&self.current, false)).chain(previous).filter(move |(key, _)| key.id == *id)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The ids are public, the keys are not.
        let id = |key: &Key| String::from_utf8_lossy(&key.id).into_owned();
        f.debug_struct("Keyring")
            .field("current", &id(&self.current))
            .field("previous", &self.previous.as_ref().map(id))
            .finish_non_exhaustive()
    }
}

// === impl Key ===

impl Key {
    fn new(key: [u8; 16]) -> Self {
        let hasher = sip128::SipHasher24::new_with_key(&key);
        let mut id = [0; 4];
        // A mac of a text that no cookie has, so that the id tells nothing about the key or a mac.
        hex(&mut id, u128::from(hasher.hash(b"key id").as_u64().0 & 0xffff));
        Self { hasher, id }
    }

    fn mac(&self, name: &str, text: &[u8]) -> u128 {
        let mut hasher = self.hasher;
        hasher.write(name.as_bytes());
        hasher.write(b"=");
        hasher.write(text);
        hasher.finish128().as_u128()
    }
}

/// Writes the number's lowest digits in lower-case hexadecimal.
fn hex(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

// === impl SameSite ===

impl SameSite {
    /// The attribute's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

// === impl Cookie ===

impl Cookie {
    /// The cookie of a split with this salt.
    pub(super) fn new(settings: &CookieSettings, mode: StickyMode, salt: &str) -> Result<Self, CookieError> {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if settings.name.is_empty() || !settings.name.chars().all(token) {
            return Err(CookieError::Name(settings.name.clone()));
        }
        if settings.max_age < Duration::from_secs(1) {
            return Err(CookieError::MaxAge);
        }
        let bad = |text: &str| text.contains(';') || !text.chars().all(|c| (' '..='~').contains(&c));
        let attributes = [Some(&settings.path), settings.domain.as_ref()];
        if let Some(text) = attributes.into_iter().flatten().find(|text| bad(text)) {
            return Err(CookieError::Attribute(text.clone()));
        }
        if !settings.path.starts_with('/') {
            return Err(CookieError::Attribute(settings.path.clone()));
        }
        let domain = settings.domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let name = match mode {
            StickyMode::Pin => format!("{}-{:08x}", settings.name, pin_of(salt)),
            StickyMode::Bucket | StickyMode::None => settings.name.clone(),
        };
        let same_site = settings.same_site.as_str();
        Ok(Self {
            name: name.into(),
            attributes: format!("; Path={}{domain}; HttpOnly; SameSite={same_site}", settings.path).into(),
            secure: if settings.same_site == SameSite::None { Some(true) } else { settings.secure },
            max_age: settings.max_age,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What a cookie of this name says, if it verifies and counts today. Does not allocate.
    pub(super) fn verify(&self, text: &[u8], keyring: &Keyring, today: u32) -> Option<Verified> {
        let (signed, mac) = apart(text)?;
        let mut fields = signed.split(|byte| *byte == b'.');
        let value = CookieValue {
            number: Bucket::new(decimal(fields.next()?)?)?,
            epoch: decimal(fields.next()?)?,
            issued_day: decimal(fields.next()?)?,
            pin: None,
        };
        let (pin, id) = match (fields.next()?, fields.next(), fields.next()) {
            (id, None, None) => (None, id),
            (pin, Some(id), None) => (Some(pin_number(pin)?), id),
            _ => return None,
        };
        let old_key = keyring.signer(&self.name, signed, (id, mac))?;
        let (age, limit) = (u64::from(today.saturating_sub(value.issued_day)), self.max_age_days());
        // A day ahead is another instance's clock; more is a clock that was wrong, and would count for ever.
        let counts = age <= limit && u64::from(value.issued_day) <= u64::from(today) + 1;
        counts.then_some(Verified { value: CookieValue { pin, ..value }, old_key, ageing: age * 2 > limit })
    }

    /// The value of a Set-Cookie field.
    pub(super) fn header(
        &self,
        value: &CookieValue,
        keyring: &Keyring,
        (today, secure): (u32, bool),
    ) -> String {
        let CookieValue { number, epoch, issued_day, pin } = value;
        let pin = pin.map(|pin| format!(".{pin:08x}")).unwrap_or_default();
        let text = format!("{number}.{epoch}.{issued_day}{pin}");
        let text = keyring.signed(&self.name, text);
        let passed = u64::from(today.saturating_sub(*issued_day)) * DAY;
        let max_age = self.max_age.as_secs().saturating_sub(passed).max(1);
        let secure = if self.secure.unwrap_or(secure) { "; Secure" } else { "" };
        format!("{}={text}; Max-Age={max_age}{}{secure}", self.name, self.attributes)
    }

    fn max_age_days(&self) -> u64 {
        self.max_age.as_secs().div_ceil(DAY)
    }
}

/// What is signed, and the mac of 32 digits behind it.
fn apart(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let signed = text.get(..text.len().checked_sub(33)?)?;
    Some((signed, text[signed.len()..].strip_prefix(b".")?))
}

/// A decimal number in its one spelling.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    let canonical = text == b"0" || text.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    let digits = canonical && text.len() <= 10 && text.iter().all(u8::is_ascii_digit);
    if !digits {
        return None;
    }
    let number = text.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    u32::try_from(number).ok()
}

/// Eight lower-case hexadecimal digits.
fn pin_number(text: &[u8]) -> Option<u32> {
    let number = u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
    let mut spelling = [0; 8];
    hex(&mut spelling, u128::from(number));
    (spelling == *text).then_some(number)
}

/// Compares in a time that does not depend on where the texts differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

//! Keys that sign assignment cookies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A key of 128 random bits, and the short name by which a cookie says that it was signed with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "KeyText", into = "KeyText")]
pub struct SigningKey {
    id: String,
    secret: [u8; 16],
}

/// A key as the file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    id: String,
    secret: String,
}

// === impl SigningKey ===

impl SigningKey {
    /// A new key.
    #[must_use]
    pub fn random() -> Self {
        Self { id: format!("{:04x}", rand::random::<u16>()), secret: rand::random() }
    }

    /// Its name: one to eight lower-case letters and digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret; it never leaves the process but through the store.
    #[must_use]
    pub fn secret(&self) -> &[u8; 16] {
        &self.secret
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl From<SigningKey> for KeyText {
    fn from(key: SigningKey) -> Self {
        Self { secret: format!("{:032x}", u128::from_be_bytes(key.secret)), id: key.id }
    }
}

impl TryFrom<KeyText> for SigningKey {
    type Error = &'static str;

    fn try_from(text: KeyText) -> Result<Self, Self::Error> {
        let id_fits = (1..=8).contains(&text.id.len())
            && text.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !id_fits {
            return Err("a key's id is one to eight lower-case letters and digits");
        }
        let digits = text.secret.len() == 32 && text.secret.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(&text.secret, 16) {
            Ok(secret) if digits => Ok(Self { id: text.id, secret: secret.to_be_bytes() }),
            _ => Err("a key's secret is 32 hexadecimal digits"),
        }
    }
}

//! Names of routes, backends, listeners, rules and segments.
//!
//! A name becomes a metric label, a part of a URL path and a key of the store, so it is limited to characters that
//! need no escaping in any of them. Cloning is cheap: the text is shared.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: a DNS label's length (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 63;

/// A validated name: 1 to 63 of `a-z A-Z 0-9 - _ .`, beginning with a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("a name has at most {MAX_NAME} characters")]
    TooLong,
    /// A character outside the allowed set, or a first character that is no letter or digit.
    #[error(
        "`{0}` is not allowed here; a name has letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
    )]
    Character(char),
}

// === impl Name ===

impl Name {
    /// Checks `text` and takes it.
    ///
    /// # Errors
    /// When it is empty, too long, or has a character that is not allowed.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::Character(first));
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
            Some(bad) => Err(NameError::Character(bad)),
            None => Ok(Self(text.into())),
        }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let long = "a".repeat(64);
        for (text, expected) in [
            ("shop", Ok(())),
            ("v1.9.0", Ok(())),
            ("9-lives_", Ok(())),
            ("", Err(NameError::Empty)),
            ("-x", Err(NameError::Character('-'))),
            ("a b", Err(NameError::Character(' '))),
            ("ä", Err(NameError::Character('ä'))),
            (long.as_str(), Err(NameError::TooLong)),
        ] {
            assert_eq!(Name::new(text).map(|_| ()), expected, "{text}");
        }
    }
}

//! Tokens: what is given to people and programs, and what the file keeps of it.
//!
//! A token is 256 random bits, so nobody can guess one and nobody can find one from its hash: a plain SHA-256 is enough
//! where passwords would need a slow hash with a salt. The file has the hash alone; whoever reads it learns who may do
//! what, and can do nothing.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::types::{Name, Role};

/// What every token begins with, so that scanners find one that was left in a repository or a log.
pub const PREFIX: &str = "weir_";
/// Random bytes of a token.
const BYTES: usize = 32;
/// The largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// The most tokens. Every request looks at each of them, which takes about 50 ns.
const MAX_TOKENS: usize = 1000;

/// A token in the clear. Shown once, kept nowhere, and never printed by `Debug`.
#[derive(Clone)]
pub struct Secret(String);

/// What is kept of a token: SHA-256 of its text. Written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

/// A line of the file of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Who has it: the actor of what is done with it.
    pub name: Name,
    /// What it must hash to.
    pub hash: TokenHash,
    /// What it may do.
    pub role: Role,
    /// The routes that it may change; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Name>>,
    /// When it ends; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// A file of tokens, as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    entries: Vec<TokenEntry>,
}

/// Everything that is wrong with a file of tokens, line by line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct TokenFileError(pub Vec<String>);

// === impl Secret ===

impl Secret {
    /// A new token.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; BYTES];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// The text, for the one time that it is shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

// === impl TokenHash ===

impl TokenHash {
    /// The hash of a token's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(hash)
    }
}

impl TokenHash {
    /// The bytes, for maps.
    pub(super) fn bytes(self) -> [u8; SHA256_OUTPUT_LEN] {
        self.0
    }
}

/// In constant time: how long it takes tells nothing about where two differ.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

impl FromStr for TokenHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "`hash` is `sha256:` and 64 hexadecimal digits".to_owned();
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        if digits.len() != 2 * SHA256_OUTPUT_LEN || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut hash = [0; SHA256_OUTPUT_LEN];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for TokenHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_string()
    }
}

// === impl TokenEntry ===

impl TokenEntry {
    /// Whether it has ended at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// The line of the file, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("a token has nothing that JSON cannot say");
        format!("{json}\n")
    }
}

// === impl Tokens ===

impl Tokens {
    /// Reads a file: a JSON object on each line; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// Everything that is wrong with it. No message has anything of a hash.
    pub fn parse(content: &[u8]) -> Result<Self, TokenFileError> {
        if content.len() > MAX_FILE {
            return Err(TokenFileError(vec!["a file of tokens has at most 1 MiB".to_owned()]));
        }
        let text = std::str::from_utf8(content)
            .map_err(|_| TokenFileError(vec!["the file is not UTF-8".to_owned()]))?;
        let mut entries: Vec<TokenEntry> = Vec::new();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| is_entry(line)) {
            match serde_json::from_str::<TokenEntry>(line) {
                Ok(entry) if entries.iter().any(|other| other.name == entry.name) => {
                    problems.push(format!("line {number}: there are two tokens called `{}`", entry.name));
                }
                Ok(entry) if entries.iter().any(|other| other.hash == entry.hash) => {
                    problems.push(format!("line {number}: `{}` is the token of another line", entry.name));
                }
                Ok(entry) if entry.routes.as_ref().is_some_and(Vec::is_empty) => {
                    let problem = format!("line {number}: `routes` is empty; leave it out for all routes");
                    problems.push(problem);
                }
                Ok(entry) => entries.push(entry),
                Err(error) => problems.push(format!("line {number}: {}", without_place(&error))),
            }
        }
        if entries.len() > MAX_TOKENS {
            problems.push(format!("a file has at most {MAX_TOKENS} tokens"));
        }
        if problems.is_empty() { Ok(Self { entries }) } else { Err(TokenFileError(problems)) }
    }

    /// The token with this text. All are looked at, so that the time tells nothing about which one it is.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&TokenEntry> {
        self.find_hash(TokenHash::of(text))
    }

    pub(super) fn find_hash(&self, hash: TokenHash) -> Option<&TokenEntry> {
        let mut found = None;
        for entry in &self.entries {
            if entry.hash == hash {
                found = Some(entry);
            }
        }
        found
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[TokenEntry] {
        &self.entries
    }
}

/// Whether a line of the file is a token.
pub(super) fn is_entry(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// What serde says, without "at line 1": the line is that of the file.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, secret: &str) -> TokenEntry {
        TokenEntry {
            name: Name::new(name).unwrap(),
            hash: TokenHash::of(secret),
            role: Role::Operator,
            routes: None,
            expires: None,
            created: None,
        }
    }

    #[test]
    fn a_token_is_found_by_its_text_alone() {
        let secret = Secret::random().unwrap();
        assert!(secret.expose().starts_with("weir_") && secret.expose().len() == 69);
        assert_ne!(Secret::random().unwrap().expose(), secret.expose());
        assert_eq!(format!("{secret:?} {:?}", TokenHash::of("a")), "Secret(…) TokenHash(…)");
        let file = [entry("other", "weir_x").line(), entry("ci", secret.expose()).line()].concat();
        assert!(!file.contains(&secret.expose()[5..]));
        let tokens = Tokens::parse(file.as_bytes()).unwrap();
        assert_eq!(tokens.find(secret.expose()).unwrap().name.as_str(), "ci");
        assert_eq!(tokens.find(&secret.expose().to_uppercase()), None);
        // RFC 6234's first test vector, by way of the file's form.
        assert!(TokenHash::of("abc").to_string().starts_with("sha256:ba7816bf8f01cfea414140de5dae2223"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        let good = entry("ci", "weir_a").line();
        let with = |more: &str| good.trim().replace("ci", "x").replace('}', &format!(", {more}}}"));
        let same = |other: &str| entry(other, "weir_a").line();
        for (text, expected) in [
            (format!("# comment\n\n{good}"), None),
            (format!("{good}{good}"), Some("line 2: there are two tokens called `ci`".to_owned())),
            (format!("{good}{}", same("b")), Some("line 2: `b` is the token of another line".to_owned())),
            ("\n{}".to_owned(), Some("line 2: missing field `name`".to_owned())),
            (with("\"rolle\": 1"), Some("line 1: unknown field `rolle`, expected one of `name`, `hash`, `role`, `routes`, `expires`, `created`".to_owned())),
            (with("\"routes\": []"), Some("line 1: `routes` is empty; leave it out for all routes".to_owned())),
            (good.replace("operator", "root"), Some("line 1: unknown variant `root`, expected one of `viewer`, `operator`, `admin`".to_owned())),
            (good.replace("sha256:", "md5:"), Some("line 1: `hash` is `sha256:` and 64 hexadecimal digits".to_owned())),
        ] {
            let problem = Tokens::parse(text.as_bytes()).err().map(|error| error.to_string());
            assert_eq!(problem, expected, "{text}");
        }
        assert!(Tokens::parse(with("\"expires\": \"2026-01-31\"").as_bytes()).is_err());
        assert!(Tokens::parse(with("\"expires\": \"2026-01-31T00:00:00Z\"").as_bytes()).is_ok());
        assert!(Tokens::parse(b"\xff").is_err() && Tokens::parse(&vec![b'\n'; MAX_FILE + 1]).is_err());
    }

    #[test]
    fn a_token_ends_with_its_time() {
        let now: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        let at = |text: &str| TokenEntry { expires: Some(text.parse().unwrap()), ..entry("a", "weir_a") };
        assert!(!entry("a", "weir_a").is_expired(now));
        assert!(!at("2026-01-31T00:00:01Z").is_expired(now));
        assert!(at("2026-01-31T00:00:00Z").is_expired(now));
    }
}

//! Verified tokens as they are declared.

use std::{path::PathBuf, time::Duration};

use crate::types::Name;

/// Whose tokens are trusted, and by which keys.
#[derive(Debug, Clone, PartialEq)]
pub struct JwtProvider {
    /// The `iss` of its tokens; `None` is any.
    pub issuer: Option<String>,
    /// The `aud` of tokens for us; empty takes only tokens without one.
    pub audience: Vec<String>,
    /// Where its keys are.
    pub keys: KeyFile,
    /// Algorithms, as the file writes them; empty is all that the keys have.
    pub algorithms: Vec<String>,
    /// Where a token is, the first that is there; never empty.
    pub token: Vec<TokenSource>,
    /// How wrong clocks may be. Default 60s.
    pub leeway: Duration,
}

/// A file of keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyFile {
    /// Public keys in PEM.
    Pem(PathBuf),
    /// A JSON Web Key Set.
    Jwks(PathBuf),
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In a header.
    Header(String),
    /// In a cookie.
    Cookie(String),
    /// In a query parameter.
    Query(String),
}

/// What a route does with tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteJwt {
    /// Whose.
    pub provider: Name,
    /// Whether requests without a good one get 401. Default true.
    pub required: bool,
    /// Whether the backend gets the header that has it. Default true.
    pub forward: bool,
    /// Headers for the backend, and the claim that each has.
    pub claims: Vec<(String, String)>,
}

// === impl KeyFile ===

impl KeyFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Pem(path) | Self::Jwks(path) => path,
        }
    }
}

//! The admin API: where it is, who may ask, and how they prove who they are.

use std::{net::SocketAddr, path::PathBuf};

use crate::types::Rate;

/// The admin API's own settings. All of them need a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Its address. Default 127.0.0.1:9900.
    pub bind: SocketAddr,
    /// Names that it is asked by, beside those of the loopback and its address; lower case, without a port.
    pub hosts: Vec<String>,
    /// The file of tokens; `None` believes everybody who can connect, which only loopback may.
    pub tokens: Option<PathBuf>,
    /// Whether tokens may be sent in the clear to an address that is not loopback. Default no.
    pub insecure: bool,
    /// Who may read `/metrics` without a token. Default those on this machine.
    pub metrics: OpenMetrics,
    /// How many attempts of one address may fail before the next ones are told to wait. Default 20/m.
    pub max_failures: Rate,
}

/// Who may read `/metrics` without saying who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMetrics {
    /// Those on this machine.
    Local,
    /// Everybody.
    All,
    /// Nobody.
    Nobody,
}

// === impl Admin ===

impl Admin {
    /// Whether somebody can prove to the address who they are.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        self.tokens.is_some()
    }

    /// Whether everybody who can connect may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.authenticates()
    }
}

// === impl OpenMetrics ===

impl OpenMetrics {
    /// The word in the control file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::All => "all",
            Self::Nobody => "nobody",
        }
    }
}

//! Who may ask the admin API for what.
//!
//! - [`token`]: what people and programs have; [`file`]: what is kept of it
//! - [`caller`]: who asks, as a request carries it
//! - [`operation`]: who may make which call, in one table
//! - `denial`: what becomes of those who may not
//!
//! Without a file of tokens everybody who can connect is an administrator, and only loopback may be bound. With one, every
//! call but health needs a token. The file is followed; a bad one changes nothing.

pub mod caller;
mod denial;
pub mod file;
pub mod operation;
pub mod token;

use std::{
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

pub(super) use self::{
    caller::{Caller, Identity, Peer, Proof},
    denial::{Denial, Occasion},
    operation::{Need, Operation},
};
use self::{denial::Denials, file::FileError, token::Tokens};
use super::api::problem::Kind;
use crate::{
    config::model::{Admin, OpenMetrics},
    control::Control,
    http::{HeaderList, RequestView},
    policy::{Limiter, RateKey, RateRule, TooMany},
    telemetry::{DenialReason, prometheus::AdminTokens},
    types::Role,
};

/// Addresses whose failures are remembered at least.
const MAX_PEERS: u32 = 4096;

/// Decides who may ask for what.
pub struct Auth {
    /// The file of tokens; `None` where nobody has to say who they are.
    tokens: Option<TokenSource>,
    pub(super) hosts: Vec<String>,
    metrics: OpenMetrics,
    failures: Limiter,
    denials: Denials,
}

/// A file of tokens and what was read of it.
struct TokenSource {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    tokens: Arc<Tokens>,
    /// Why the file as it is now is not what counts.
    problem: Option<String>,
    /// What an operator should know about it.
    warning: Option<String>,
}

/// Why the admin API cannot know who asks.
#[derive(Debug, thiserror::Error)]
#[error("admin.tokens: {}: {problem}", path.display())]
pub struct AuthError {
    path: PathBuf,
    problem: FileError,
}

// === impl Auth ===

impl Auth {
    /// What the control file says. Reads the file of tokens.
    ///
    /// # Errors
    /// When that cannot be used.
    pub fn new(admin: &Admin) -> Result<Self, AuthError> {
        let failed = |problem| AuthError { path: admin.tokens.clone().unwrap_or_default(), problem };
        let source = |path: &PathBuf| {
            let (tokens, warning) = file::read(path)?;
            let known = Known { tokens: Arc::new(tokens), problem: None, warning };
            Ok(TokenSource { path: path.clone(), known: Mutex::new(known) })
        };
        let failures = RateRule {
            key: RateKey::ClientIp,
            rate: admin.max_failures,
            burst: admin.max_failures.number().min(NonZeroU32::new(100).unwrap_or(NonZeroU32::MIN)),
            max_keys: MAX_PEERS,
        };
        Ok(Self {
            tokens: admin.tokens.as_ref().map(source).transpose().map_err(failed)?,
            hosts: admin.hosts.clone(),
            metrics: admin.metrics,
            failures: Limiter::new(failures),
            denials: Denials::default(),
        })
    }

    /// Whether everybody who can connect may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_none()
    }

    /// The file of tokens.
    #[must_use]
    pub fn tokens_file(&self) -> Option<&Path> {
        self.tokens.as_ref().map(|source| source.path.as_path())
    }

    /// Takes in the file of tokens as it is now; a bad one changes nothing. Says how many tokens there are, if they are others.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn replace_tokens(&self, content: Result<&[u8], String>) -> Result<Option<usize>, String> {
        let Some(source) = &self.tokens else { return Ok(None) };
        let read = content.and_then(|content| {
            let warning = file::check_mode(&source.path).map_err(|error| error.to_string())?;
            Ok((Tokens::parse(content).map_err(|error| error.to_string())?, warning))
        });
        let mut known = source.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.problem = read.as_ref().err().cloned();
        let (tokens, warning) = read?;
        known.warning = warning;
        if tokens == *known.tokens {
            return Ok(None);
        }
        known.tokens = Arc::new(tokens);
        Ok(Some(known.tokens.entries().len()))
    }

    /// What an operator should know about the file of tokens.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Some(source) = &self.tokens else { return Vec::new() };
        let known = source.known.lock().unwrap_or_else(PoisonError::into_inner);
        let problem =
            known.problem.as_ref().map(|text| format!("{text}; the tokens read before stay in force"));
        let warnings = problem.into_iter().chain(known.warning.clone());
        warnings.map(|text| format!("admin.tokens: {}: {text}", source.path.display())).collect()
    }

    /// What metrics say of the file of tokens.
    #[must_use]
    pub fn gauge(&self) -> Option<AdminTokens> {
        let source = self.tokens.as_ref()?;
        let known = source.known.lock().unwrap_or_else(PoisonError::into_inner);
        Some(AdminTokens { tokens: known.tokens.entries().len(), good: known.problem.is_none() })
    }

    /// Writes refused calls to the audit for as long as it is polled.
    pub async fn record_denials(&self, control: Control) {
        self.denials.record(&control).await;
    }

    /// Takes a refusal, to be written to the audit.
    pub(super) fn note_denial(&self, occasion: Occasion, request_id: &str) {
        self.denials.note(occasion, request_id);
    }

    /// Who asks, if they may do `operation`; `None` where nobody has to say.
    pub(super) fn admit(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Option<Identity>, Denial> {
        let role = match operation.need {
            // A bad token is no reason to keep health from a probe.
            Need::Open => return Ok(self.identify(headers, now).ok()),
            Need::Metrics if self.opens_metrics(peer) => return Ok(None),
            Need::Metrics => Role::Viewer,
            Need::Role(role) => role,
        };
        let identity = self.identify(headers, now).map_err(|denial| self.count(denial, peer))?;
        if identity.role < role {
            let (name, has, needs) = (&identity.name, identity.role.as_str(), role.as_str());
            let refused = Kind::Forbidden
                .because(format!("`{name}` has the role {has}, and this takes {needs}"))
                .hint("ask an administrator for it, or for a token with that role");
            return Err(Denial::new(DenialReason::Role, refused).of(name));
        }
        Ok(Some(identity))
    }

    fn opens_metrics(&self, peer: &Peer) -> bool {
        match self.metrics {
            OpenMetrics::Local => peer.is_local(),
            OpenMetrics::All => true,
            OpenMetrics::Nobody => false,
        }
    }

    /// Who sends these fields.
    fn identify(&self, headers: &HeaderMap, now: Timestamp) -> Result<Identity, Denial> {
        let Some(source) = &self.tokens else { return Ok(Identity::anybody()) };
        let Some(token) = bearer(headers)? else {
            let refused = Kind::Unauthorized
                .because("the admin API wants to know who asks")
                .hint("send `Authorization: Bearer TOKEN`; the command line takes it from --token-file or WEIR_TOKEN");
            return Err(Denial::new(DenialReason::NoToken, refused));
        };
        let tokens = {
            let known = source.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&known.tokens)
        };
        let Some(entry) = tokens.find(token) else {
            let refused = Kind::Unauthorized
                .because("there is no such token")
                .hint("it may have been revoked, or be another Weir's; `weir token create` makes one");
            return Err(Denial::new(DenialReason::WrongToken, refused));
        };
        if entry.is_expired(now) {
            let end = entry.expires.unwrap_or(now);
            let refused = Kind::Unauthorized
                .because(format!("the token `{}` has ended, on {end}", entry.name))
                .hint("`weir token create` makes another one");
            return Err(Denial::new(DenialReason::Expired, refused).of(entry.name.as_str()));
        }
        Ok(Identity {
            name: entry.name.to_string(),
            role: entry.role,
            routes: entry.routes.as_deref().map(Arc::from),
            proof: Proof::Token,
        })
    }

    /// Counts a failed attempt; after too many of one address, it is told to wait.
    fn count(&self, denial: Denial, peer: &Peer) -> Denial {
        let nothing = HeaderList::default();
        let view = RequestView {
            method: "",
            host: "",
            path: b"/",
            query: None,
            headers: nothing.view(),
            client_ip: peer.address.to_canonical(),
            peer_ip: peer.address,
            secure: false,
            listener_region: None,
        };
        match self.failures.admit(&view) {
            Ok(()) => denial,
            Err(too_many) => {
                let waits = Denial::too_often(TooMany::seconds(too_many));
                match denial.actor {
                    Some(actor) => waits.of(actor),
                    None => waits,
                }
            }
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("tokens", &self.tokens_file()).finish_non_exhaustive()
    }
}

/// The token of `Authorization: Bearer`; another scheme or two fields are an attempt that fails.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let wrong = || {
        let refused = Kind::Unauthorized
            .because("`Authorization` is not one bearer token")
            .hint("send one field: `Authorization: Bearer TOKEN`");
        Denial::new(DenialReason::WrongToken, refused)
    };
    let (scheme, token) = field.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    if fields.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong());
    }
    Ok(Some(token.trim()))
}

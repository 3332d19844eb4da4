//! Who may ask the admin API for what.
//!
//! - [`token`]: what people and programs have; `file`: what is kept of it
//! - [`caller`]: who asks, as a request carries it
//! - [`operation`]: who may make which call, in one table
//! - `session`: what browsers have instead of a token
//! - `denial`: what becomes of those who may not
//!
//! Without tokens and client certificates everybody who can connect to the address is an administrator, and only loopback may be
//! bound. With either, every call but health needs one. Over the unix socket, the system says who connects. The file of tokens is
//! followed; a bad one changes nothing.

pub mod caller;
mod denial;
pub mod file;
mod lasting;
pub mod operation;
mod session;
pub mod token;

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use tokio::sync::watch;

pub(super) use self::{
    caller::{Caller, Identity, Peer, Proof},
    denial::{Denial, Occasion},
    lasting::Lasting,
    operation::{Need, Operation},
};
use self::{
    denial::Denials,
    file::FileError,
    session::Sessions,
    token::{TokenEntry, TokenHash, Tokens},
};
use super::api::problem::Kind;
use crate::{
    config::model::{Admin, AdminClient, CertificateName, OpenMetrics},
    control::Control,
    http::{HeaderList, RequestView},
    net::tls::Holder,
    policy::{Limiter, RateKey, RateRule, TooMany},
    telemetry::{DenialReason, prometheus::AdminTokens},
    types::{Name, Role},
};

/// Addresses whose failures are remembered at least.
const MAX_PEERS: u32 = 4096;

/// Decides who may ask for what.
pub struct Auth {
    tokens: Option<TokenSource>,
    /// Who may do what by a certificate.
    clients: Vec<AdminClient>,
    /// Whether everybody who can connect to the address may do everything.
    open: bool,
    /// What users may do over the unix socket.
    uids: BTreeMap<u32, Role>,
    sessions: Sessions,
    /// Told when somebody may have become unknown.
    changed: watch::Sender<()>,
    /// Why the files of TLS as they are now are not what counts.
    tls_problem: Mutex<Option<String>>,
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
        let own = rustix::process::geteuid().as_raw();
        let uids = admin.socket.iter().flat_map(|socket| socket.uids.clone());
        let clients = admin.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        Ok(Self {
            tokens: admin.tokens.as_ref().map(source).transpose().map_err(failed)?,
            clients: clients.map(|clients| clients.roles.clone()).unwrap_or_default(),
            open: admin.is_open(),
            uids: [(0, Role::Admin), (own, Role::Admin)].into_iter().chain(uids).collect(),
            sessions: Sessions::default(),
            changed: watch::Sender::new(()),
            tls_problem: Mutex::default(),
            hosts: admin.names(),
            metrics: admin.metrics,
            failures: Limiter::new(failures),
            denials: Denials::default(),
        })
    }

    /// Whether everybody who can connect to the address may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
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
        let count = tokens.entries().len();
        known.tokens = Arc::new(tokens);
        drop(known);
        self.changed.send_replace(());
        Ok(Some(count))
    }

    /// Notes whether the files of TLS are good.
    pub fn note_tls(&self, problem: Option<String>) {
        *self.tls_problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// What an operator should know about the files of tokens and TLS.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let tls = self.tls_problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tls = tls.map(|text| format!("admin.tls: {text}; what was read before stays in force"));
        self.token_warnings().into_iter().chain(tls).collect()
    }

    fn token_warnings(&self) -> Vec<String> {
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

    /// Hands those to the audit that wait; whether there were any. For the end.
    pub async fn record_last_denials(&self, control: &Control) -> bool {
        self.denials.record_waiting(control).await
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
            Need::Open => return Ok(self.identify(headers, peer, now).ok()),
            Need::Metrics if self.opens_metrics(peer) => return Ok(None),
            Need::Metrics => Role::Viewer,
            Need::Role(role) => role,
        };
        let identity = self.identify(headers, peer, now).map_err(|denial| self.count(denial, peer))?;
        if identity.role < role {
            let (name, has, needs) = (&identity.name, identity.role.as_str(), role.as_str());
            let refused = Kind::Forbidden
                .because(format!("`{name}` has the role {has}, and this takes {needs}"))
                .hint("ask an administrator for it, or for a token with that role");
            return Err(Denial::new(DenialReason::Role, refused).of(name));
        }
        Ok(Some(identity))
    }

    /// Whether who sends these fields may still do `operation`.
    fn allows(&self, operation: Operation, headers: &HeaderMap, peer: &Peer, now: Timestamp) -> bool {
        match operation.need {
            Need::Role(role) => self.identify(headers, peer, now).is_ok_and(|who| who.role >= role),
            Need::Open | Need::Metrics => true,
        }
    }

    /// Tells when somebody may have become unknown.
    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn opens_metrics(&self, peer: &Peer) -> bool {
        match self.metrics {
            OpenMetrics::Local => peer.is_local(),
            OpenMetrics::All => true,
            OpenMetrics::Nobody => false,
        }
    }

    /// Who sends these fields over this connection. What a request itself says comes before what its connection says.
    fn identify(&self, headers: &HeaderMap, peer: &Peer, now: Timestamp) -> Result<Identity, Denial> {
        if self.open && peer.uid.is_none() {
            return Ok(Identity::anybody());
        }
        if let Some(token) = bearer(headers)? {
            let tokens = self.tokens().unwrap_or_default();
            return known(tokens.find(token), now, Proof::Token);
        }
        if let Some(token) = session::cookie(headers).and_then(|cookie| self.sessions.token_of(cookie)) {
            let tokens = self.tokens().unwrap_or_default();
            return known(tokens.find_hash(token), now, Proof::Session);
        }
        let connected = match (&peer.holder, peer.uid) {
            (Some(holder), _) => self.of_certificate(holder),
            (None, Some(uid)) => self.uids.get(&uid).map(|role| Identity {
                name: format!("uid:{uid}"),
                role: *role,
                routes: None,
                proof: Proof::User,
            }),
            (None, None) => None,
        };
        connected.ok_or_else(|| stranger(peer))
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        let source = self.tokens.as_ref()?;
        let known = source.known.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&known.tokens))
    }

    fn of_certificate(&self, holder: &Holder) -> Option<Identity> {
        let fits = |client: &&AdminClient| match &client.says {
            CertificateName::CommonName(name) => holder.common_name.as_ref() == Some(name),
            CertificateName::Dns(name) => holder.dns.contains(name),
            CertificateName::Uri(uri) => holder.uris.contains(uri),
        };
        let client = self.clients.iter().find(fits)?;
        let routes: Option<Arc<[Name]>> = (!client.routes.is_empty()).then(|| Arc::from(&*client.routes));
        let name = client.says.parts().1.to_owned();
        Some(Identity { name, role: client.role, routes, proof: Proof::Certificate })
    }

    /// Begins a session for whoever has `token`: who that is, and the cookie.
    pub(super) fn log_in(
        &self,
        token: &str,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<(Identity, Option<HeaderValue>), Denial> {
        let tokens = self.tokens().unwrap_or_default();
        let identity = known(tokens.find(token), now, Proof::Session);
        let identity = identity.map_err(|denial| self.count(denial, peer))?;
        let secret = self.sessions.begin(TokenHash::of(token));
        Ok((identity, secret.and_then(|secret| session::set_cookie(Some(&secret), peer.secure))))
    }

    /// Ends the session of these fields, and has the browser forget it.
    pub(super) fn log_out(&self, headers: &HeaderMap, peer: &Peer) -> Option<HeaderValue> {
        if let Some(cookie) = session::cookie(headers) {
            self.sessions.end(cookie);
            self.changed.send_replace(());
        }
        session::set_cookie(None, peer.secure)
    }

    /// Counts a failed attempt; after too many of one address, it is told to wait.
    pub(super) fn count(&self, denial: Denial, peer: &Peer) -> Denial {
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

/// Whose token it is, if it counts.
fn known(entry: Option<&TokenEntry>, now: Timestamp, proof: Proof) -> Result<Identity, Denial> {
    let Some(entry) = entry else {
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
    let routes = entry.routes.as_deref().map(Arc::from);
    Ok(Identity { name: entry.name.to_string(), role: entry.role, routes, proof })
}

/// The refusal of somebody who has proved nothing.
fn stranger(peer: &Peer) -> Denial {
    let refused = match peer.uid {
        Some(uid) => Kind::Unauthorized
            .because(format!("the user {uid} has no role here"))
            .hint(format!("give it one by `admin.socket.uids: {{ {uid}: viewer }}`, or send a token")),
        None if peer.holder.is_some() => Kind::Unauthorized
            .because("no role is for the names in this certificate")
            .hint("give one of them a role in `admin.tls.clients.roles`, or send a token"),
        None => Kind::Unauthorized.because("the admin API wants to know who asks").hint(
            "send `Authorization: Bearer TOKEN`; the command line takes it from --token-file or WEIR_TOKEN",
        ),
    };
    Denial::new(DenialReason::NoToken, refused)
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

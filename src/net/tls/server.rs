//! A listener's side: which certificate a client gets, which versions and protocols there are, who must show a certificate.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use rustls::{
    ServerConfig, SignatureScheme,
    server::{
        ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
    },
    sign::CertifiedKey,
};

use super::{Authorities, Certificate, MinVersion, TlsError, provider};

/// What a listener answers handshakes with.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// For `tokio_rustls`.
    pub config: Arc<ServerConfig>,
    /// Whether clients are asked for a certificate.
    pub asks_clients: bool,
    /// For a whole handshake; zero is for ever.
    pub handshake_timeout: Duration,
}

/// What session tickets are encrypted with (RFC 8446, section 4.6.1). It rotates its keys by itself, and outlives reloads, so
/// that a new certificate costs nobody a full handshake.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

/// What a [`ServerTls`] is made of.
#[derive(Debug)]
pub struct ServerParts<'a> {
    /// The certificates; clients that name none of their names get the first.
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// Protocols by ALPN, the best first (RFC 7301).
    pub alpn: Vec<&'static [u8]>,
    /// Who checks the clients, and whether each must show a certificate.
    pub client_auth: Option<ClientAuth<'a>>,
    /// For a whole handshake; zero is for ever.
    pub handshake_timeout: Duration,
}

/// How clients are checked.
#[derive(Debug, Clone, Copy)]
pub struct ClientAuth<'a> {
    /// Who vouches for clients.
    pub authorities: &'a Authorities,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// Finds a client's certificate by the name that it asks for. There may be several for one name, with keys of different
/// kinds: the first that the client can check is taken.
#[derive(Debug, Default)]
pub(super) struct Choice {
    exact: HashMap<String, Keys>,
    /// By what follows the `*`, from the dot on.
    wildcard: HashMap<String, Keys>,
    /// Those of the first certificate's names, it first.
    default: Keys,
}

type Keys = Vec<Arc<CertifiedKey>>;

// === impl Tickets ===

impl Tickets {
    /// New keys.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self, TlsError> {
        Ok(Self(rustls::crypto::aws_lc_rs::Ticketer::new()?))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tickets")
    }
}

// === impl ServerTls ===

impl ServerTls {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn new(parts: ServerParts<'_>, tickets: &Tickets) -> Result<Self, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(parts.min_version.versions())?;
        let builder = match parts.client_auth {
            None => builder.with_no_client_auth(),
            Some(auth) => {
                let roots = Arc::clone(&auth.authorities.roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if auth.required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(TlsError::ClientVerifier)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Choice::new(&parts.certificates)));
        config.alpn_protocols = parts.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.ticketer = Arc::clone(&tickets.0);
        // Tickets are all that resumption needs; a store in memory would be a lock that all workers take.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // One ticket is what a client uses; rustls would send two.
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            asks_clients: parts.client_auth.is_some(),
            handshake_timeout: parts.handshake_timeout,
        })
    }
}

// === impl Choice ===

impl Choice {
    pub(super) fn new(certificates: &[Certificate]) -> Self {
        let mut choice = Self::default();
        for Certificate { key, names, .. } in certificates {
            for name in names {
                let keys = match name.strip_prefix('*') {
                    Some(rest) => choice.wildcard.entry(rest.to_owned()).or_default(),
                    None => choice.exact.entry(name.clone()).or_default(),
                };
                keys.push(Arc::clone(key));
            }
        }
        if let Some((first, others)) = certificates.split_first() {
            let twins = others.iter().filter(|other| !first.names.is_empty() && other.names == first.names);
            choice.default = [first].into_iter().chain(twins).map(|twin| Arc::clone(&twin.key)).collect();
        }
        choice
    }

    /// Exact names first, then wildcards, which stand for one label (RFC 6125, section 6.4.3), then the first of all.
    pub(super) fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = name.map(str::to_ascii_lowercase).and_then(|name| {
            let rest = name.find('.').map(|dot| &name[dot..]);
            self.exact.get(&name).or_else(|| self.wildcard.get(rest?))
        });
        let keys = named.unwrap_or(&self.default);
        let usable = keys.iter().find(|key| key.key.choose_scheme(schemes).is_some());
        usable.or(keys.first()).cloned()
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

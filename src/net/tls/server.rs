//! A listener's side: which certificate a client gets, which versions and protocols there are, who must show a certificate.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    server::{ClientHello, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::{
    Certificate, MinVersion, TlsError,
    certificate::{Pem, certificates},
    provider,
};

/// What a listener answers handshakes with.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// For `tokio_rustls`.
    pub config: Arc<ServerConfig>,
    /// Whether clients are asked for a certificate.
    pub asks_clients: bool,
    /// For a whole handshake; zero is for ever.
    pub handshake_timeout: Duration,
    /// The certificates' first names and when each ends, since 1970.
    pub expiries: Vec<(String, Duration)>,
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
    /// Certificates of the authorities that vouch for clients, PEM.
    pub authorities: Pem<'a>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// Finds a client's certificate by the name that it asks for.
#[derive(Debug)]
struct Choice {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the `*`, from the dot on.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

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
                let roots = authorities(auth.authorities)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                let verifier = if auth.required { verifier } else { verifier.allow_unauthenticated() };
                let file = auth.authorities.0.to_owned();
                let verifier = verifier.build().map_err(|error| TlsError::ClientVerifier(file, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let expiries = parts
            .certificates
            .iter()
            .map(|certificate| {
                (certificate.names.first().cloned().unwrap_or_default(), certificate.not_after)
            })
            .collect();
        let mut config = builder.with_cert_resolver(Arc::new(Choice::new(parts.certificates)));
        config.alpn_protocols = parts.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.ticketer = Arc::clone(&tickets.0);
        // One ticket is what a client uses; rustls would send two.
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            asks_clients: parts.client_auth.is_some(),
            handshake_timeout: parts.handshake_timeout,
            expiries,
        })
    }
}

/// The authorities of a PEM file.
pub(super) fn authorities((file, pem): Pem<'_>) -> Result<RootCertStore, TlsError> {
    let found = certificates(pem).filter(|found| !found.is_empty());
    let mut roots = RootCertStore::empty();
    for certificate in found.ok_or_else(|| TlsError::NoAuthority(file.to_owned()))? {
        roots.add(certificate).map_err(|error| TlsError::Authority(file.to_owned(), error))?;
    }
    Ok(roots)
}

// === impl Choice ===

impl Choice {
    fn new(certificates: Vec<Certificate>) -> Self {
        let mut choice = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: None };
        for Certificate { key, names, .. } in certificates {
            choice.default.get_or_insert_with(|| Arc::clone(&key));
            for name in names {
                // The first of two certificates for one name wins, as in the file's order.
                match name.strip_prefix('*') {
                    Some(rest) => choice.wildcard.entry(rest.to_owned()).or_insert_with(|| Arc::clone(&key)),
                    None => choice.exact.entry(name).or_insert_with(|| Arc::clone(&key)),
                };
            }
        }
        choice
    }

    /// Exact names first, then wildcards, which stand for one label (RFC 6125, section 6.4.3), then the first of all.
    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.map(str::to_ascii_lowercase).and_then(|name| {
            let rest = name.find('.').map(|dot| &name[dot..]);
            self.exact.get(&name).or_else(|| self.wildcard.get(rest?)).cloned()
        });
        named.or_else(|| self.default.clone())
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

/// How a listener with these certificates chooses; for tests.
#[cfg(test)]
pub(super) fn choice_of(
    certificates: Vec<Certificate>,
) -> impl Fn(Option<&str>) -> Option<Arc<CertifiedKey>> {
    let choice = Choice::new(certificates);
    move |name| choice.find(name)
}

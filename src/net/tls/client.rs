//! A backend's side: whom Weir believes to be the endpoint, and what it shows of itself.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{Authorities, Certificate, MinVersion, TlsError, certificate::check_time, provider};
use crate::types::Address;

/// What endpoints of a backend are spoken to with.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// For `tokio_rustls`.
    pub config: Arc<ClientConfig>,
    /// The same, offering HTTP/1.1 alone.
    http11: Arc<ClientConfig>,
    /// The name that their certificates must have; `None` is the endpoint's address.
    pub server_name: Option<ServerName<'static>>,
    /// Whether certificates are checked.
    pub verifies: bool,
}

/// What a [`ClientTls`] is made of.
#[derive(Debug)]
pub struct ClientParts<'a> {
    /// Who vouches for endpoints; `None` believes whom the system does.
    pub authorities: Option<&'a Authorities>,
    /// The name that certificates must have, and that is asked for.
    pub server_name: Option<&'a str>,
    /// Whether certificates are checked at all.
    pub verify: bool,
    /// What Weir shows when it is asked.
    pub certificate: Option<Certificate>,
    /// Protocols by ALPN, the best first.
    pub alpn: Vec<&'static [u8]>,
}

/// Believes what an authority vouches for, and a certificate that is itself among those that were given: a self-signed one, which
/// most tools mark as an authority, is refused as a host's by the rules of the web (RFC 5280, section 4.2.1.9), though the operator
/// has named it. Its name and its time are checked all the same.
#[derive(Debug)]
struct Named {
    verifier: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

/// Believes everybody: what `verify: false` asks for. Signatures are checked all the same, since they cost nothing to check.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

// === impl ClientTls ===

/// Two are the same when they were made together.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl ClientTls {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the authorities or the name cannot be used.
    pub fn new(parts: ClientParts<'_>) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(MinVersion::Tls12.versions())?;
        let builder = if parts.verify {
            let (roots, pinned) = match parts.authorities {
                Some(named) => (Arc::clone(&named.roots), named.certificates.clone()),
                None => (Arc::new(system_authorities()), Vec::new()),
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(TlsError::SystemAuthorities)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Named { verifier, pinned }))
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        };
        let mut config = match parts.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder
                .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate.key))),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http11 = Arc::new(config.clone());
        config.alpn_protocols = parts.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let server_name = parts.server_name.map(|name| {
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
        });
        let (config, verifies) = (Arc::new(config), parts.verify);
        Ok(Self { config, http11, server_name: server_name.transpose()?, verifies })
    }

    /// For connections that are to speak HTTP/1.1, whatever else the endpoint speaks.
    #[must_use]
    pub fn for_http11(&self) -> Self {
        Self { config: Arc::clone(&self.http11), ..self.clone() }
    }

    /// The name that the certificate of an endpoint must have: the configured one, else the name that led to it, else its IP address. A unix socket without a
    /// name has none; where nothing is verified it needs none, and `localhost` is asked for.
    #[must_use]
    pub fn name_of(&self, address: &Address, host: Option<&str>) -> Option<ServerName<'static>> {
        if let Some(configured) = &self.server_name {
            return Some(configured.clone());
        }
        if let Some(host) = host {
            return ServerName::try_from(host.trim_end_matches('.').to_owned()).ok();
        }
        match address {
            Address::Tcp(address) => Some(ServerName::from(address.ip())),
            Address::Unix(_) if self.verifies => None,
            Address::Unix(_) => ServerName::try_from("localhost").ok(),
        }
    }
}

/// The authorities that the system believes. One that cannot be read is left out, as everywhere.
fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    roots
}

// === impl Named ===

impl Named {
    /// What is wrong with a certificate that the operator gave: its name or its time. `None` when it is not one of those.
    fn check_pinned(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Result<(), rustls::Error>> {
        let known = self.pinned.iter().any(|pinned| pinned.as_ref() == certificate.as_ref());
        known.then(|| {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            Ok(check_time(certificate, now)?)
        })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.or_else(|error| {
            let pinned = self.check_pinned(end_entity, server_name, now);
            pinned.unwrap_or(Err(error)).map(|()| ServerCertVerified::assertion())
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

// === impl Anybody ===

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

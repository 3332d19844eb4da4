//! TLS (rustls on aws-lc-rs): what a listener answers handshakes with, and what a backend's endpoints are spoken to with.
//!
//! Everything here is made from bytes that were read already; who reads files, and reads them again when they change, is the
//! composition root.

mod certificate;
mod client;
mod server;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use certificate::{Authorities, Certificate, CertificateError, Holder, Identity, Pem};
pub use client::{ClientParts, ClientTls};
pub use server::{ClientAuth, ServerParts, ServerTls, Tickets};

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246) and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446) alone.
    Tls13,
}

/// Why a side of TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No certificate in a file of authorities.
    #[error("{0} holds no certificate")]
    NoAuthority(String),
    /// An authority that cannot be one.
    #[error("a certificate of {0} cannot be an authority")]
    Authority(String, #[source] rustls::Error),
    /// The system believes nobody.
    #[error("the system has no certificates of authorities: name some in `ca_file`")]
    SystemAuthorities(#[source] rustls::server::VerifierBuilderError),
    /// What checks the clients' certificates.
    #[error("clients cannot be checked")]
    ClientVerifier(#[source] rustls::server::VerifierBuilderError),
    /// A name that no certificate can have.
    #[error("`{0}` is no name that a certificate can have")]
    ServerName(String),
    /// Anything else that rustls refuses.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

// === impl MinVersion ===

impl MinVersion {
    fn versions(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        static BOTH: [&rustls::SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::Tls12 => &BOTH,
            Self::Tls13 => &BOTH[..1],
        }
    }
}

/// The cryptography: named here, so that no feature of some crate decides it.
fn provider() -> Arc<CryptoProvider> {
    use std::sync::OnceLock;
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

#[cfg(test)]
mod tests;

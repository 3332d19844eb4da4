//! TLS as it is declared: files and choices, nothing that was read.

use std::{path::PathBuf, time::Duration};

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// What it shows; at least one, the first is the default.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that it speaks. Default 1.2.
    pub min_version: TlsVersion,
    /// How clients are checked; `None` asks them for nothing.
    pub client_auth: Option<ClientAuth>,
    /// For a whole handshake; zero means no limit. Default 5s.
    pub handshake_timeout: Duration,
}

/// A certificate chain and its private key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the host's own certificate first.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

/// How clients are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// Whether a client without a certificate is refused. Default true (`mode: required`).
    pub required: bool,
    /// Certificates of the authorities that vouch for clients, PEM.
    pub ca_file: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// TLS to the endpoints of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTls {
    /// Certificates of the authorities that vouch for endpoints, PEM; `None` is those of the system.
    pub ca_file: Option<PathBuf>,
    /// The name that certificates must have; `None` is the endpoint's address.
    pub server_name: Option<String>,
    /// Whether certificates are checked. Default true.
    pub verify: bool,
    /// What Weir shows when it is asked.
    pub certificate: Option<CertificateFiles>,
}

// === impl ListenerTls ===

impl ListenerTls {
    /// Every file that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificates.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
        pairs.chain(self.client_auth.as_ref().map(|auth| &auth.ca_file))
    }
}

// === impl BackendTls ===

impl BackendTls {
    /// Every file that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificate.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
        pairs.chain(&self.ca_file)
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    /// The word in the control file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

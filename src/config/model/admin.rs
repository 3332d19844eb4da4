//! The admin API: where it is, who may ask, and how they prove who they are.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use super::{CertificateFiles, TlsVersion};
use crate::types::{Name, Rate, Role};

/// The admin API's own settings. All of them need a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Its address. Default 127.0.0.1:9900.
    pub bind: SocketAddr,
    /// Names that it is asked by, beside those of the loopback and its address; lower case, without a port.
    pub hosts: Vec<String>,
    /// The address by which people reach it, in messages, without a slash at its end; `None` puts no links into them.
    pub public_url: Option<String>,
    /// The file of tokens; `None` believes everybody who can connect, which only loopback may.
    pub tokens: Option<PathBuf>,
    /// A unix socket beside the address.
    pub socket: Option<AdminSocket>,
    /// TLS at the address; `None` is in the clear.
    pub tls: Option<AdminTls>,
    /// Whether tokens may be sent in the clear to an address that is not loopback. Default no.
    pub insecure: bool,
    /// Who may read `/metrics` without a token. Default those on this machine.
    pub metrics: OpenMetrics,
    /// How many attempts of one address may fail before the next ones are told to wait. Default 20/m.
    pub max_failures: Rate,
    /// Whether a change has to say by `If-Match` which revision its sender has seen. Default no.
    pub require_if_match: bool,
}

/// A unix socket of the admin API. Who connects is known by the user that the process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSocket {
    /// Where it is.
    pub path: PathBuf,
    /// The permissions of its file; `None` is 0660.
    pub mode: Option<u32>,
    /// What users may do, by their number. Root and the user that Weir runs as are admins unless it says otherwise.
    pub uids: BTreeMap<u32, Role>,
}

/// TLS of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// What it shows.
    pub certificate: CertificateFiles,
    /// The oldest version that it speaks. Default 1.2.
    pub min_version: TlsVersion,
    /// Whom it knows by a certificate; `None` asks for none.
    pub clients: Option<AdminClients>,
}

/// Who may do what by a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminClients {
    /// Certificates of the authorities that vouch for clients, PEM.
    pub ca_file: PathBuf,
    /// Each holder and its role, the first that fits; at least one.
    pub roles: Vec<AdminClient>,
}

/// The holder of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminClient {
    /// What the certificate must say.
    pub says: CertificateName,
    /// What its holder may do.
    pub role: Role,
    /// The routes that they may change; empty is all.
    pub routes: Vec<Name>,
}

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// The common name of its subject.
    CommonName(String),
    /// A DNS name among the alternative names of its subject.
    Dns(String),
    /// A URI among them.
    Uri(String),
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
        self.tokens.is_some() || self.tls.as_ref().is_some_and(|tls| tls.clients.is_some())
    }

    /// The names that it is asked by: those that were given, and that of its public address.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let public = self.public_url.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
        let public = public.and_then(|url| Some(url.host()?.to_ascii_lowercase()));
        self.hosts.iter().cloned().chain(public).collect()
    }

    /// Whether everybody who can connect may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.authenticates()
    }
}

// === impl CertificateName ===

impl CertificateName {
    /// The key in the control file, and the name.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::CommonName(name) => ("common_name", name),
            Self::Dns(name) => ("dns", name),
            Self::Uri(uri) => ("uri", uri),
        }
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

//! A certificate chain with its key, what it is for, and how long it lasts.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use super::{TlsError, provider};

/// A certificate chain and its private key.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names it is for, in lower case; a wildcard begins with `*.`.
    pub names: Vec<String>,
    /// When it begins to count, since 1970.
    pub not_before: Duration,
    /// When it ends, since 1970.
    pub not_after: Duration,
}

/// Certificates of authorities: whoever they vouch for is believed.
#[derive(Debug, Clone)]
pub struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates themselves.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Who a certificate says its holder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// For the header that tells it to backends, in the form that Envoy gave X-Forwarded-Client-Cert: `Hash=…;Subject="…";URI=…;DNS=…`.
    pub header: String,
}

/// The names that a certificate gives its holder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// The DNS names among the alternative names of its subject, in lower case.
    pub dns: Vec<String>,
    /// The URIs among them.
    pub uris: Vec<String>,
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain's file is no PEM.
    #[error("{0} holds no certificate that can be read")]
    NoCertificate(String),
    /// The key's file is no PEM with a key.
    #[error("{0} holds no private key that can be read")]
    NoKey(String),
    /// A kind of key that is not known.
    #[error("the private key in {file} cannot be used")]
    Key {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// They are of different pairs.
    #[error("the private key in {key} is not that of the certificate in {certificate}")]
    Mismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// The certificate itself makes no sense.
    #[error("the certificate in {0} cannot be read")]
    Malformed(String),
}

/// A named file's bytes.
pub type Pem<'a> = (&'a str, &'a [u8]);

// === impl Certificate ===

impl Certificate {
    /// Reads a chain, the host's own certificate first, and its key, both PEM. The names are those of the files, for messages.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn from_pem(chain: Pem<'_>, key: Pem<'_>) -> Result<Self, CertificateError> {
        let (chain_file, key_file) = (chain.0, key.0);
        let certificates = certificates(chain.1).filter(|chain| !chain.is_empty());
        let certificates =
            certificates.ok_or_else(|| CertificateError::NoCertificate(chain_file.to_owned()))?;
        let private =
            PrivateKeyDer::from_pem_slice(key.1).map_err(|_| CertificateError::NoKey(key_file.to_owned()))?;
        let signer = provider()
            .key_provider
            .load_private_key(private)
            .map_err(|source| CertificateError::Key { file: key_file.to_owned(), source })?;
        let malformed = || CertificateError::Malformed(chain_file.to_owned());
        let (names, (not_before, not_after)) = {
            let (_, parsed) = X509Certificate::from_der(&certificates[0]).map_err(|_| malformed())?;
            (dns_names(&parsed), validity(&parsed))
        };
        let key = CertifiedKey::new(certificates, signer);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(CertificateError::Mismatch {
                    certificate: chain_file.to_owned(),
                    key: key_file.to_owned(),
                });
            }
        }
        Ok(Self { key: Arc::new(key), names, not_before, not_after })
    }
}

// === impl Authorities ===

impl Authorities {
    /// Reads them from PEM. The name is the file's, for messages.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be an authority.
    pub fn from_pem((file, pem): Pem<'_>) -> Result<Self, TlsError> {
        let found = certificates(pem).filter(|found| !found.is_empty());
        let certificates = found.ok_or_else(|| TlsError::NoAuthority(file.to_owned()))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| TlsError::Authority(file.to_owned(), error))?;
        }
        Ok(Self { roots: Arc::new(roots), certificates })
    }
}

// === impl Identity ===

impl Identity {
    /// Who the holder of this certificate is; `None` when it cannot be read.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let mut header = String::from("Hash=");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        for byte in digest.as_ref() {
            let _ = write!(header, "{byte:02x}");
        }
        let _ = write!(header, ";Subject=\"{}\"", quoted(&parsed.subject().to_string()));
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                let _ = match name {
                    GeneralName::URI(uri) => write!(header, ";URI={}", encoded(uri)),
                    GeneralName::DNSName(name) => write!(header, ";DNS={}", encoded(name)),
                    _ => Ok(()),
                };
            }
        }
        Some(Self { header })
    }
}

// === impl Holder ===

impl Holder {
    /// Whom this certificate names; nobody when it cannot be read.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Self::default() };
        let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let names = parsed.subject_alternative_name().ok().flatten();
        let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        Self { common_name: common_name.map(str::to_owned), dns: dns_names(&parsed), uris: uris.collect() }
    }
}

/// All certificates of a PEM file; `None` when one of them cannot be read.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// Checks that `now` lies between the certificate's beginning and end.
pub(super) fn check_time(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), rustls::CertificateError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| rustls::CertificateError::BadEncoding)?;
    let (not_before, not_after) = validity(&parsed);
    match now.as_secs() {
        now if now < not_before.as_secs() => Err(rustls::CertificateError::NotValidYet),
        now if now > not_after.as_secs() => Err(rustls::CertificateError::Expired),
        _ => Ok(()),
    }
}

/// From when to when it counts, since 1970.
fn validity(certificate: &X509Certificate<'_>) -> (Duration, Duration) {
    let since_1970 = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let validity = certificate.validity();
    (since_1970(validity.not_before.timestamp()), since_1970(validity.not_after.timestamp()))
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    names.collect()
}

/// What may stand in a quoted string of a header field: no quote, no backslash without one before it, visible ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
    }
    out
}

/// What stands unquoted: everything that could end it is percent-encoded.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b';' | b',' | b'"' | b'=' | b'%') => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

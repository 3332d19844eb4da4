//! Certificates, keys and authorities: read from their files, and read again when those change.
//!
//! A change of the control file that names a bad certificate is refused, as any bad change is. A file that turns bad later is
//! reported, and what was read of it before stays, while all other files have their say: one bad certificate of many must not
//! keep the others from being renewed. The two files of a pair rarely change in the same moment: they are always read together,
//! and a pair that does not match is looked at once more before anybody is told.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::{
        Config,
        model::{BackendProtocol, BackendTls, CertificateFiles, ListenerProtocol, ListenerTls, TlsVersion},
    },
    control::{audit::rfc3339, command::Digest},
    net::tls::{
        self, Authorities, Certificate, ClientParts, ClientTls, MinVersion, ServerParts, ServerTls, Tickets,
    },
    types::{Name, cause::chain},
};

/// From how long before its end on a certificate is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Everything of TLS that a state uses.
#[derive(Debug, Default, Clone)]
pub(super) struct Material {
    listeners: BTreeMap<Name, (ListenerBasis, Arc<ServerTls>)>,
    backends: BTreeMap<Name, (BackendBasis, Arc<ClientTls>)>,
    files: Files,
    tickets: BTreeMap<(Name, TicketScope), Tickets>,
    /// What was wrong when the files were last read.
    problems: Problems,
    /// How often files were read again.
    generation: u64,
}

/// What goes wrong, for people.
pub(super) type Problems = Vec<String>;

/// What a listener's TLS is made from: when that is the same, so is the TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ListenerBasis {
    declared: ListenerTls,
    protocols: Vec<ListenerProtocol>,
    contents: Vec<Digest>,
}

/// What a backend's TLS is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BackendBasis {
    declared: BackendTls,
    protocol: BackendProtocol,
    contents: Vec<Digest>,
}

/// Who may use a session ticket. It stands for what was checked of the client when it was given, and whoever shows it is not
/// checked again. So it is good only where the same is asked: whether a certificate is required, and the authorities' content.
type TicketScope = Option<(bool, Digest)>;

/// What was read, by where it was read from.
#[derive(Debug, Default, Clone)]
struct Files {
    pairs: BTreeMap<CertificateFiles, Known<Certificate>>,
    authorities: BTreeMap<PathBuf, Known<Authorities>>,
}

/// What was read, and the digests of the files then.
#[derive(Debug, Clone)]
struct Known<T> {
    digests: Vec<Digest>,
    value: T,
}

/// Reads files, each once, beside what is known of them.
struct Loader<'b> {
    before: &'b Files,
    /// Whether what is known is read again, and stands in for what is bad now.
    again: bool,
    now: Files,
    problems: Problems,
}

// === impl Material ===

impl Material {
    /// What `config` needs: what is known already of files that it names, and the rest read now.
    ///
    /// # Errors
    /// Everything that cannot be read or used.
    pub(super) fn for_config(&self, config: &Config) -> Result<Self, Problems> {
        let mut made = self.build(config, false);
        let problems = std::mem::take(&mut made.problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        made.generation = self.generation;
        if !self.problems.is_empty() {
            // What was bad may be so still, or not be named any more.
            made.problems = made.read_again(config).problems;
        }
        Ok(made)
    }

    /// Reads everything again; what cannot be used now stays as it was.
    pub(super) fn read_again(&self, config: &Config) -> Self {
        Self { generation: self.generation + 1, ..self.build(config, true) }
    }

    /// Whether files were read again since this was made.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.generation < other.generation
    }

    /// What was wrong when the files were last read.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Every file that was read, and its content then.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, Digest> {
        let pairs = self.files.pairs.iter().flat_map(|(files, known)| {
            [files.cert_file.clone(), files.key_file.clone()].into_iter().zip(known.digests.clone())
        });
        let authorities = self.files.authorities.iter();
        pairs
            .chain(
                authorities.flat_map(|(file, known)| [file.clone()].into_iter().zip(known.digests.clone())),
            )
            .collect()
    }

    /// When each certificate ends, since 1970, by its file.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&Path, Duration)> {
        self.files.pairs.iter().map(|(files, known)| (files.cert_file.as_path(), known.value.not_after))
    }

    /// Certificates that do not count at `now`, or not for much longer.
    pub(super) fn warnings(&self, now: Duration) -> Vec<String> {
        let all = self.files.pairs.iter();
        all.filter_map(|(files, known)| {
            let Certificate { not_before, not_after, .. } = &known.value;
            let told = if now > *not_after {
                format!("ended at {}", rfc3339(*not_after))
            } else if now < *not_before {
                format!("begins at {}", rfc3339(*not_before))
            } else if now + ENDS_SOON > *not_after {
                format!("ends at {}", rfc3339(*not_after))
            } else {
                return None;
            };
            Some(format!("the certificate in {} {told}", files.cert_file.display()))
        })
        .collect()
    }

    /// Of one listener.
    pub(super) fn of_listener(&self, name: &Name) -> Option<Arc<ServerTls>> {
        self.listeners.get(name).map(|(_, tls)| Arc::clone(tls))
    }

    /// For the snapshot.
    pub(super) fn of_listeners(&self) -> BTreeMap<Name, Arc<ServerTls>> {
        self.listeners.iter().map(|(name, (_, tls))| (name.clone(), Arc::clone(tls))).collect()
    }

    /// For the snapshot.
    pub(super) fn of_backends(&self) -> BTreeMap<Name, Arc<ClientTls>> {
        self.backends.iter().map(|(name, (_, tls))| (name.clone(), Arc::clone(tls))).collect()
    }

    fn build(&self, config: &Config, again: bool) -> Self {
        let mut loader =
            Loader { before: &self.files, again, now: Files::default(), problems: Problems::new() };
        let mut new = Self::default();
        for listener in &config.listeners {
            let Some(declared) = &listener.tls else { continue };
            loader.about(&format!("tls of listener `{}`", listener.name), |loader| {
                self.listener(&listener.name, (declared, &listener.protocols), loader, &mut new)
            });
        }
        for (name, backend) in &config.backends {
            let Some(declared) = &backend.tls else { continue };
            loader.about(&format!("tls of backend `{name}`"), |loader| {
                self.backend(name, (declared, backend.protocol), loader, &mut new)
            });
        }
        Self { files: loader.now, problems: loader.problems, ..new }
    }

    fn listener(
        &self,
        name: &Name,
        (declared, protocols): (&ListenerTls, &[ListenerProtocol]),
        loader: &mut Loader<'_>,
        new: &mut Self,
    ) -> Result<(), String> {
        // All are read before the first problem ends it, so that everything is told at once.
        let pairs: Vec<_> = declared.certificates.iter().map(|files| loader.pair(files)).collect();
        let auth = declared.client_auth.as_ref();
        let authorities =
            auth.map(|auth| loader.authorities(&auth.ca_file).map(|known| (auth.required, known)));
        let pairs: Vec<Known<Certificate>> = pairs.into_iter().collect::<Result<_, _>>()?;
        let authorities = authorities.transpose()?;
        let read = authorities.iter().flat_map(|(_, known)| &known.digests);
        let basis = ListenerBasis {
            declared: declared.clone(),
            protocols: protocols.to_vec(),
            contents: pairs.iter().flat_map(|known| &known.digests).chain(read).cloned().collect(),
        };
        let checked = authorities.as_ref().map(|(required, known)| (*required, known.digests[0].clone()));
        let scope = (name.clone(), checked);
        let tickets = match self.tickets.get(&scope) {
            Some(tickets) => tickets.clone(),
            None => Tickets::new().map_err(|error| chain(&error))?,
        };
        let tls = match self.listeners.get(name) {
            Some((known, tls)) if *known == basis => Arc::clone(tls),
            _ => {
                let parts = ServerParts {
                    certificates: pairs.into_iter().map(|known| known.value).collect(),
                    min_version: match declared.min_version {
                        TlsVersion::Tls12 => MinVersion::Tls12,
                        TlsVersion::Tls13 => MinVersion::Tls13,
                    },
                    alpn: protocols.iter().filter_map(alpn_of).collect(),
                    client_auth: authorities.as_ref().map(|(required, known)| tls::ClientAuth {
                        authorities: &known.value,
                        required: *required,
                    }),
                    handshake_timeout: declared.handshake_timeout,
                };
                Arc::new(ServerTls::new(parts, &tickets).map_err(|error| chain(&error))?)
            }
        };
        new.listeners.insert(name.clone(), (basis, tls));
        new.tickets.insert(scope, tickets);
        Ok(())
    }

    fn backend(
        &self,
        name: &Name,
        (declared, protocol): (&BackendTls, BackendProtocol),
        loader: &mut Loader<'_>,
        new: &mut Self,
    ) -> Result<(), String> {
        let authorities = declared.ca_file.as_ref().map(|file| loader.authorities(file)).transpose();
        let certificate = declared.certificate.as_ref().map(|files| loader.pair(files)).transpose();
        let (authorities, certificate) = (authorities?, certificate?);
        let read = [
            authorities.as_ref().map(|known| &known.digests),
            certificate.as_ref().map(|known| &known.digests),
        ];
        let basis = BackendBasis {
            declared: declared.clone(),
            protocol,
            contents: read.into_iter().flatten().flatten().cloned().collect(),
        };
        let tls = match self.backends.get(name) {
            Some((known, tls)) if *known == basis => Arc::clone(tls),
            _ => {
                let parts = ClientParts {
                    authorities: authorities.as_ref().map(|known| &known.value),
                    server_name: declared.server_name.as_deref(),
                    verify: declared.verify,
                    certificate: certificate.map(|known| known.value),
                    alpn: match protocol {
                        BackendProtocol::Http11 | BackendProtocol::H2c => vec![b"http/1.1"],
                        BackendProtocol::H2 => vec![b"h2"],
                        BackendProtocol::Auto => vec![b"h2", b"http/1.1"],
                    },
                };
                Arc::new(ClientTls::new(parts).map_err(|error| chain(&error))?)
            }
        };
        new.backends.insert(name.clone(), (basis, tls));
        Ok(())
    }
}

// === impl Loader ===

impl Loader<'_> {
    /// Does a part, and notes what it says is wrong.
    fn about(&mut self, what: &str, part: impl FnOnce(&mut Self) -> Result<(), String>) {
        let before = self.problems.len();
        let failed = part(self).err();
        for problem in self.problems.iter_mut().skip(before) {
            *problem = format!("{what}: {problem}");
        }
        self.problems.extend(failed.map(|problem| format!("{what}: {problem}")));
    }

    fn pair(&mut self, files: &CertificateFiles) -> Result<Known<Certificate>, String> {
        if let Some(known) = self.now.pairs.get(files) {
            return Ok(known.clone());
        }
        let known = self.before.pairs.get(files);
        let found = self.known_or(known, || {
            let (chain_file, chain_pem) = read(&files.cert_file)?;
            let (key_file, key_pem) = read(&files.key_file)?;
            let digests = vec![Digest::of(&chain_pem), Digest::of(&key_pem)];
            let value = || Certificate::from_pem((&chain_file, &chain_pem), (&key_file, &key_pem));
            of_content(known, digests, || value().map_err(|error| chain(&error)))
        })?;
        self.now.pairs.insert(files.clone(), found.clone());
        Ok(found)
    }

    fn authorities(&mut self, file: &Path) -> Result<Known<Authorities>, String> {
        if let Some(known) = self.now.authorities.get(file) {
            return Ok(known.clone());
        }
        let known = self.before.authorities.get(file);
        let found = self.known_or(known, || {
            let (name, pem) = read(file)?;
            let value = || Authorities::from_pem((&name, &pem)).map_err(|error| chain(&error));
            of_content(known, vec![Digest::of(&pem)], value)
        })?;
        self.now.authorities.insert(file.to_owned(), found.clone());
        Ok(found)
    }

    /// What is known where that is enough, else what is read now; what is known again where that is bad.
    fn known_or<T: Clone>(
        &mut self,
        known: Option<&Known<T>>,
        read: impl FnOnce() -> Result<Known<T>, String>,
    ) -> Result<Known<T>, String> {
        match (known, self.again) {
            (Some(known), false) => Ok(known.clone()),
            (Some(known), true) => Ok(read().unwrap_or_else(|problem| {
                self.problems.push(problem);
                known.clone()
            })),
            (None, _) => read(),
        }
    }
}

/// What was made of this content before, or what is made of it now.
fn of_content<T: Clone>(
    known: Option<&Known<T>>,
    digests: Vec<Digest>,
    make: impl FnOnce() -> Result<T, String>,
) -> Result<Known<T>, String> {
    match known {
        Some(known) if known.digests == digests => Ok(known.clone()),
        _ => Ok(Known { value: make()?, digests }),
    }
}

/// A file's name for messages, and its content.
fn read(file: &Path) -> Result<(String, Vec<u8>), String> {
    let name = file.display().to_string();
    let content = fs::read(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok((name, content))
}

fn alpn_of(protocol: &ListenerProtocol) -> Option<&'static [u8]> {
    match protocol {
        ListenerProtocol::H2 => Some(b"h2"),
        ListenerProtocol::Http11 => Some(b"http/1.1"),
        ListenerProtocol::H2c => None,
    }
}

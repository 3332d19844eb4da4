//! Certificates, keys and authorities: read from their files, and read again when those change.
//!
//! A change of the control file that names a bad certificate is refused, as any bad change is. A file that turns bad later is
//! reported, and what was read before stays. The two files of a pair rarely change in the same moment: a pair that does not match
//! is looked at once more before anybody is told.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{
        Config,
        model::{
            BackendProtocol, BackendTls, CertificateFiles, ClientAuth, ListenerProtocol, ListenerTls,
            TlsVersion,
        },
    },
    control::command::Digest,
    net::tls::{
        self, Certificate, ClientParts, ClientTls, MinVersion, ServerParts, ServerTls, Tickets, TlsError,
    },
    types::{Name, cause::chain},
};

/// What a listener's TLS depends on.
type ListenerSpec = (ListenerTls, Vec<ListenerProtocol>);
/// What a backend's TLS depends on.
type BackendSpec = (BackendTls, BackendProtocol);

/// Everything of TLS that a state uses.
#[derive(Debug, Default, Clone)]
pub(super) struct Material {
    listeners: BTreeMap<Name, (ListenerSpec, Arc<ServerTls>)>,
    backends: BTreeMap<Name, (BackendSpec, Arc<ClientTls>)>,
    /// Every file that was read, and its content then.
    pub(super) files: BTreeMap<PathBuf, Digest>,
    /// What session tickets are encrypted with. Listeners that check clients have their own: a ticket stands for what was
    /// checked when it was given, and must be good for nothing else.
    tickets: BTreeMap<(Name, Option<PathBuf>), Tickets>,
}

/// What goes wrong, for the log.
pub(super) type Problems = Vec<String>;

// === impl Material ===

impl Material {
    /// What `config` needs: what is there already, where its declaration is the same, and the rest read now.
    ///
    /// # Errors
    /// Everything that cannot be read or used.
    pub(super) fn for_config(&self, config: &Config) -> Result<Self, Problems> {
        let (material, problems) = self.build(config, true);
        if problems.is_empty() { Ok(material) } else { Err(problems) }
    }

    /// Reads everything again; what cannot be used now stays as it was.
    pub(super) fn read_again(&self, config: &Config) -> (Self, Problems) {
        self.build(config, false)
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

    fn build(&self, config: &Config, reuse: bool) -> (Self, Problems) {
        let mut new = Self::default();
        let mut problems = Problems::new();
        for listener in &config.listeners {
            let Some(declared) = &listener.tls else { continue };
            let (name, spec) = (&listener.name, (declared.clone(), listener.protocols.clone()));
            let known = self.listeners.get(name).filter(|(known, _)| *known == spec);
            let owner = (name.clone(), declared.client_auth.as_ref().map(|auth| auth.ca_file.clone()));
            let tickets = match self.tickets.get(&owner) {
                Some(tickets) => Ok(tickets.clone()),
                None => Tickets::new(),
            };
            let made = match known {
                Some((_, tls)) if reuse => Ok(Arc::clone(tls)),
                _ => tickets
                    .as_ref()
                    .map_err(|error| chain(error))
                    .and_then(|tickets| new.listener(&spec, tickets)),
            };
            new.keep_files(self, declared.files());
            match (made, known) {
                (Ok(tls), _) => {
                    new.listeners.insert(name.clone(), (spec, tls));
                }
                (Err(problem), known) => {
                    problems.push(format!("tls of listener `{name}`: {problem}"));
                    new.listeners.extend(known.map(|known| (name.clone(), known.clone())));
                }
            }
            new.tickets.extend(tickets.ok().map(|tickets| (owner, tickets)));
        }
        for (name, backend) in &config.backends {
            let Some(declared) = &backend.tls else { continue };
            let spec = (declared.clone(), backend.protocol);
            let known = self.backends.get(name).filter(|(known, _)| *known == spec);
            let made = match known {
                Some((_, tls)) if reuse => Ok(Arc::clone(tls)),
                _ => new.backend(&spec),
            };
            new.keep_files(self, declared.files());
            match (made, known) {
                (Ok(tls), _) => {
                    new.backends.insert(name.clone(), (spec, tls));
                }
                (Err(problem), known) => {
                    problems.push(format!("tls of backend `{name}`: {problem}"));
                    new.backends.extend(known.map(|known| (name.clone(), known.clone())));
                }
            }
        }
        (new, problems)
    }

    /// Files that were not read now have the content that they had.
    fn keep_files<'f>(&mut self, before: &Self, files: impl Iterator<Item = &'f PathBuf>) {
        for file in files {
            if let Some(digest) = before.files.get(file) {
                self.files.entry(file.clone()).or_insert_with(|| digest.clone());
            }
        }
    }

    fn listener(
        &mut self,
        (declared, protocols): &ListenerSpec,
        tickets: &Tickets,
    ) -> Result<Arc<ServerTls>, String> {
        let certificates =
            declared.certificates.iter().map(|files| self.certificate(files)).collect::<Result<_, _>>()?;
        let authorities =
            declared.client_auth.as_ref().map(|auth| Ok::<_, String>((auth, self.read(&auth.ca_file)?)));
        let authorities = authorities.transpose()?;
        let client_auth = authorities.as_ref().map(|(auth, (name, pem)): &(&ClientAuth, _)| {
            tls::ClientAuth { authorities: (name, pem), required: auth.required }
        });
        let parts = ServerParts {
            certificates,
            min_version: match declared.min_version {
                TlsVersion::Tls12 => MinVersion::Tls12,
                TlsVersion::Tls13 => MinVersion::Tls13,
            },
            alpn: protocols.iter().filter_map(alpn_of).collect(),
            client_auth,
            handshake_timeout: declared.handshake_timeout,
        };
        ServerTls::new(parts, tickets).map(Arc::new).map_err(told)
    }

    fn backend(&mut self, (declared, protocol): &BackendSpec) -> Result<Arc<ClientTls>, String> {
        let authorities = declared.ca_file.as_ref().map(|file| self.read(file)).transpose()?;
        let certificate = declared.certificate.as_ref().map(|files| self.certificate(files)).transpose()?;
        let parts = ClientParts {
            authorities: authorities.as_ref().map(|(name, pem)| (name.as_str(), pem.as_slice())),
            server_name: declared.server_name.as_deref(),
            verify: declared.verify,
            certificate,
            alpn: match protocol {
                BackendProtocol::Http11 | BackendProtocol::H2c => vec![b"http/1.1"],
                BackendProtocol::H2 => vec![b"h2"],
                BackendProtocol::Auto => vec![b"h2", b"http/1.1"],
            },
        };
        ClientTls::new(parts).map(Arc::new).map_err(told)
    }

    fn certificate(&mut self, files: &CertificateFiles) -> Result<Certificate, String> {
        let (chain_file, chain_pem) = self.read(&files.cert_file)?;
        let (key_file, key_pem) = self.read(&files.key_file)?;
        Certificate::from_pem((&chain_file, &chain_pem), (&key_file, &key_pem))
            .map_err(|error| told(TlsError::from(error)))
    }

    /// A file's name for messages, and its content, whose digest is remembered.
    fn read(&mut self, file: &Path) -> Result<(String, Vec<u8>), String> {
        let name = file.display().to_string();
        let content = fs::read(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
        self.files.insert(file.to_owned(), Digest::of(&content));
        Ok((name, content))
    }
}

fn alpn_of(protocol: &ListenerProtocol) -> Option<&'static [u8]> {
    match protocol {
        ListenerProtocol::H2 => Some(b"h2"),
        ListenerProtocol::Http11 => Some(b"http/1.1"),
        ListenerProtocol::H2c => None,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: TlsError) -> String {
    chain(&error)
}

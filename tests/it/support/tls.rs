//! TLS for clients and origins: authorities and certificates made on the spot, and rustls over the blocking sockets.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// What a certificate says beside its names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Says<'a> {
    /// Its common name.
    pub(crate) common_name: &'a str,
    /// URIs that it is for.
    pub(crate) uris: &'a [&'a str],
    /// Whether it has ended.
    pub(crate) expired: bool,
}

/// Either end of a TLS connection.
pub(crate) enum Session {
    Client(Box<ClientConnection>),
    Server(Box<ServerConnection>),
}

/// What a client wants of a handshake.
#[derive(Debug, Clone)]
pub(crate) struct Wants {
    config: ClientConfig,
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_that(names, Says::default())
    }

    pub(crate) fn issue_that(&self, names: &[&str], says: Says<'_>) -> Issued {
        let mut params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        for uri in says.uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, says.common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if says.expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap().pem();
        Issued { chain, key: key.serialize_pem() }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// What a client wants that believes this authority.
    pub(crate) fn client(&self) -> Wants {
        Wants::of(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions())
            .believing(self.roots())
    }

    /// What an origin answers with, which asks clients for a certificate of this authority.
    pub(crate) fn server_that_asks(&self, shown: &Issued) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider()).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_client_cert_verifier(verifier);
        Arc::new(builder.with_single_cert(shown.certificates(), shown.private_key()).unwrap())
    }
}

// === impl Issued ===

impl Issued {
    /// Writes both to files in `folder`: `name.crt` and `name.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.crt")), &self.chain).unwrap();
        fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>().unwrap()
    }

    /// The certificate, DER.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificates().remove(0)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// What an origin answers with.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server_with(rustls::ALL_VERSIONS)
    }

    pub(crate) fn server_with(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let builder = builder.unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(self.certificates(), self.private_key()).unwrap())
    }
}

// === impl Wants ===

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

/// A client's wants that does not say whom it believes yet.
pub(crate) struct Unsure(Builder);

impl Wants {
    fn of(builder: Result<Builder, rustls::Error>) -> Unsure {
        Unsure(builder.unwrap())
    }

    /// A client that believes anybody, and speaks only these versions.
    pub(crate) fn versions(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
        Self { config: builder.with_no_client_auth() }
    }

    /// A client that believes anybody.
    pub(crate) fn anything() -> Self {
        Self::versions(rustls::ALL_VERSIONS)
    }

    pub(crate) fn alpn(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// A client that shows this when it is asked. It begins without sessions to resume.
    pub(crate) fn showing(mut self, issued: &Issued) -> Self {
        let signer = provider().key_provider.load_private_key(issued.private_key()).unwrap();
        let key = rustls::sign::CertifiedKey::new(issued.certificates(), signer);
        self.config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
        self.config.resumption = rustls::client::Resumption::in_memory_sessions(16);
        self
    }

    /// For clients that bring a connection of their own.
    pub(crate) fn config(self) -> ClientConfig {
        self.config
    }

    pub(crate) fn session(&self, name: &str) -> Session {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Session::Client(Box::new(ClientConnection::new(Arc::new(self.config.clone()), name).unwrap()))
    }
}

impl Unsure {
    fn believing(self, roots: Arc<RootCertStore>) -> Wants {
        Wants { config: self.0.with_root_certificates(roots).with_no_client_auth() }
    }
}

// === impl Session ===

impl Session {
    pub(crate) fn server(config: &Arc<ServerConfig>) -> Self {
        Self::Server(Box::new(ServerConnection::new(Arc::clone(config)).unwrap()))
    }

    /// Shakes hands now, instead of with the first bytes.
    pub(crate) fn shake(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.is_handshaking() {
            match self {
                Self::Client(session) => session.complete_io(&mut socket)?,
                Self::Server(session) => session.complete_io(&mut socket)?,
            };
        }
        Ok(())
    }

    fn is_handshaking(&self) -> bool {
        match self {
            Self::Client(session) => session.is_handshaking(),
            Self::Server(session) => session.is_handshaking(),
        }
    }

    pub(crate) fn read(&mut self, mut socket: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Client(session) => rustls::Stream::new(&mut **session, &mut socket).read(bytes),
            Self::Server(session) => rustls::Stream::new(&mut **session, &mut socket).read(bytes),
        }
    }

    pub(crate) fn write(&mut self, mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Client(session) => rustls::Stream::new(&mut **session, &mut socket).write(bytes),
            Self::Server(session) => rustls::Stream::new(&mut **session, &mut socket).write(bytes),
        }
    }

    /// Says that no more will be sent.
    pub(crate) fn goodbye(&mut self, mut socket: &TcpStream) {
        match self {
            Self::Client(session) => {
                session.send_close_notify();
                while session.wants_write() && session.write_tls(&mut socket).is_ok_and(|sent| sent > 0) {}
            }
            Self::Server(session) => {
                session.send_close_notify();
                while session.wants_write() && session.write_tls(&mut socket).is_ok_and(|sent| sent > 0) {}
            }
        }
    }

    /// The certificate of the other end.
    pub(crate) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        let chain = match self {
            Self::Client(session) => session.peer_certificates(),
            Self::Server(session) => session.peer_certificates(),
        };
        chain?.first()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        let kind = match self {
            Self::Client(session) => session.handshake_kind(),
            Self::Server(session) => session.handshake_kind(),
        };
        kind == Some(rustls::HandshakeKind::Resumed)
    }

    pub(crate) fn alpn(&self) -> Option<String> {
        let protocol = match self {
            Self::Client(session) => session.alpn_protocol(),
            Self::Server(session) => session.alpn_protocol(),
        };
        protocol.map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// The name that the client asked for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match self {
            Self::Client(_) => None,
            Self::Server(session) => session.server_name(),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct Anybody;

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
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

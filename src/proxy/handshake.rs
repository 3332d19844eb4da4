//! The TLS handshake of a connection that was accepted, and what it tells of the client.

use std::{io, rc::Rc, sync::Arc};

use tokio::io::AsyncWriteExt as _;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{listener::Inlet, respond::Local, timer::Timer, worker::Worker};
use crate::{
    http::Target,
    net::{
        Plain, Stream,
        tls::{Identity, ServerTls},
    },
    telemetry::Handshake,
    types::clock,
};

/// The content type that every TLS connection begins with (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What a client said of itself in its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    /// The name that it asked for, in lower case.
    pub(super) server_name: Option<String>,
    /// Whether it was asked for a certificate.
    pub(super) asked: bool,
    /// Who it is, if it showed one.
    pub(super) identity: Option<Identity>,
    /// The version of TLS.
    pub(super) version: &'static str,
}

/// A connection whose handshake is done.
pub(super) struct Shaken {
    pub(super) stream: Stream,
    pub(super) secured: Rc<Secured>,
    /// Whether HTTP/2 was agreed on.
    pub(super) h2: bool,
}

/// Shakes hands; `None` when nothing came of it, which is counted.
pub(super) async fn shake(
    worker: &Worker,
    inlet: &Inlet,
    socket: Plain,
    tls: &Arc<ServerTls>,
) -> Option<Shaken> {
    let mut timer = Timer::default();
    timer.set(clock::now(), tls.handshake_timeout);
    let attempt = attempt(worker, socket, tls);
    let result = tokio::select! {
        biased;
        result = attempt => result,
        () = timer.expired() => Err(Handshake::Timeout),
    };
    let shard = inlet.shard(worker);
    match result {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            shard.handshake(if resumed { Handshake::Resumed } else { Handshake::Full });
            Some(Shaken::new(stream, tls))
        }
        Err(reason) => {
            shard.handshake(reason);
            None
        }
    }
}

async fn attempt(
    worker: &Worker,
    mut socket: Plain,
    tls: &Arc<ServerTls>,
) -> Result<TlsStream<Plain>, Handshake> {
    match first_byte(&socket).await {
        Ok(Some(HANDSHAKE_RECORD)) | Err(_) => {}
        Ok(Some(first)) => {
            if first.is_ascii_alphabetic() {
                explain(worker, &mut socket).await;
            }
            return Err(Handshake::Plaintext);
        }
        Ok(None) => return Err(Handshake::Gone),
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
    acceptor.accept(socket).await.map_err(|error| reason(&error))
}

/// The first byte that the client sends, which stays to be read; `None` at the connection's end.
async fn first_byte(socket: &Plain) -> io::Result<Option<u8>> {
    let mut byte = [0];
    match socket {
        Plain::Tcp(stream) => Ok((stream.peek(&mut byte).await? > 0).then_some(byte[0])),
        Plain::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Tells a client in the clear that it must not be.
async fn explain(worker: &Worker, socket: &mut Plain) {
    let mut out = Vec::new();
    let local = Local::refusing(400, "this port speaks TLS: use https", false);
    worker.with_date(|date| local.write(date, &mut out));
    // What it has sent is read first: closing on it would reset the answer away.
    let mut seen = [0; 4096];
    if let Plain::Tcp(stream) = &*socket {
        let _ = stream.try_read(&mut seen);
    }
    let _ = socket.write_all(&out).await;
    let _ = socket.shutdown().await;
}

/// What kind of failure it was.
fn reason(error: &io::Error) -> Handshake {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Handshake::Gone;
    };
    match error {
        rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_) => {
            Handshake::ClientCertificate
        }
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Handshake::Incompatible,
        rustls::Error::AlertReceived(_) => Handshake::Alert,
        _ => Handshake::Malformed,
    }
}

// === impl Secured ===

impl Secured {
    /// Whether a request is for another host than the handshake was. Where clients are asked for certificates, what was checked
    /// for one host must not open another (RFC 9110, section 15.5.20).
    pub(super) fn is_misdirected(&self, target: &Target, bytes: &[u8]) -> bool {
        if !self.asked {
            return false;
        }
        let Some(name) = &self.server_name else { return false };
        let mut host = String::new();
        target.host_into(bytes, &mut host);
        host != *name
    }
}

// === impl Shaken ===

impl Shaken {
    fn new(stream: TlsStream<Plain>, tls: &ServerTls) -> Self {
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let secured = Secured {
            server_name: session.server_name().map(str::to_ascii_lowercase),
            asked: tls.asks_clients,
            identity: certificate.and_then(Identity::of),
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            },
        };
        let h2 = session.alpn_protocol() == Some(b"h2".as_slice());
        Self { stream: Stream::Tls(Box::new(stream.into())), secured: Rc::new(secured), h2 }
    }
}

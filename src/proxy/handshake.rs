//! The TLS handshake of a connection that was accepted, and what it tells of the client.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
/// How long a client in the clear may take to see why nobody talks to it, and how much more it may say.
const EXPLAINING: Duration = Duration::from_secs(1);
const EXPLAINING_BYTES: usize = 256 * 1024;

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
    mut socket: Plain,
    tls: &Arc<ServerTls>,
) -> Option<Shaken> {
    let mut timer = Timer::default();
    timer.set(clock::now(), tls.handshake_timeout);
    let begun = tokio::select! {
        biased;
        begun = first_byte(&socket) => begun,
        () = timer.expired() => Err(Handshake::Timeout),
    };
    let shaken = match begun {
        Ok(HANDSHAKE_RECORD) => {
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
            tokio::select! {
                biased;
                shaken = acceptor.accept(socket) => shaken.map_err(|error| reason(&error)),
                () = timer.expired() => Err(Handshake::Timeout),
            }
        }
        Ok(letter) if letter.is_ascii_alphabetic() => {
            timer.set(clock::now(), EXPLAINING);
            tokio::select! {
                biased;
                () = explain(worker, &mut socket) => {}
                () = timer.expired() => {}
            }
            Err(Handshake::Plaintext)
        }
        Ok(_) => Err(Handshake::Malformed),
        Err(reason) => Err(reason),
    };
    let shard = inlet.shard(worker);
    match shaken {
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

/// The first byte that the client sends, which stays to be read.
async fn first_byte(socket: &Plain) -> Result<u8, Handshake> {
    let mut byte = [0];
    match socket.peek(&mut byte).await {
        Ok(1..) => Ok(byte[0]),
        Ok(0) | Err(_) => Err(Handshake::Gone),
    }
}

/// Tells a client in the clear that it must not be, and reads on for a while: closing on unread bytes would reset the answer
/// away.
async fn explain(worker: &Worker, socket: &mut Plain) {
    let mut out = Vec::new();
    let local = Local::refusing(400, "this port speaks TLS: use https", false);
    worker.with_date(|date| local.write(date, &mut out));
    if socket.write_all(&out).await.is_err() || socket.shutdown().await.is_err() {
        return;
    }
    let mut unread = EXPLAINING_BYTES;
    let mut scratch = vec![0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut scratch).await {
        unread = unread.saturating_sub(count);
        if unread == 0 {
            return;
        }
    }
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

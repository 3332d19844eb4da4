//! Around the admin API: its sockets and certificates, the tokens that it takes, and what is written down of whom it refuses.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener as StdListener},
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use axum::Router;
use tokio::{net::TcpListener, sync::watch};

use super::{StartError, handover::Taken, inherited::Inherited, note, publisher::follow};
use crate::{
    admin::{self, Auth, Door},
    config::model::{self, AdminSocket, AdminTls, TlsVersion},
    control::{Control, watch::FileEvent},
    net::{
        self, Bound, Listener,
        tls::{Authorities, Certificate, ClientAuth, MinVersion, ServerParts, ServerTls, Tickets},
    },
    types::{Address, cause::chain},
};

/// For a whole handshake.
const HANDSHAKE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// What the admin API is served with.
pub(super) struct Front {
    pub(super) auth: Arc<Auth>,
    tls: Option<(AdminTls, Arc<ArcSwap<ServerTls>>)>,
    socket: Option<AdminSocket>,
    /// The unix socket, unless another process still has one there.
    bound: Option<Bound>,
}

// === impl Front ===

impl Front {
    /// What the control file says. Where another process is taken over from, the unix socket is bound when that has let go.
    ///
    /// # Errors
    /// When a file or the socket cannot be used.
    pub(super) fn new(config: &model::Admin, takes_over: bool) -> Result<Self, StartError> {
        admin::check_bind(config.bind, config)?;
        let auth = Arc::new(Auth::new(config)?);
        let tls = config.tls.as_ref().map(|declared| {
            let made = read_tls(declared).map_err(StartError::AdminTls)?;
            Ok::<_, StartError>((declared.clone(), Arc::new(ArcSwap::from_pointee(made))))
        });
        let socket = config.socket.clone();
        let bound = socket.as_ref().filter(|_| !takes_over).map(|socket| {
            bind(socket, true).map_err(|error| StartError::AdminSocket(socket.path.clone(), error))
        });
        Ok(Self { auth, tls: tls.transpose()?, bound: bound.transpose()?, socket })
    }

    /// How the admin API is called, by clients on this machine.
    pub(super) fn urls(&self, address: SocketAddr) -> Vec<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let socket = self.socket.iter().map(|socket| format!("unix:{}", socket.path.display()));
        socket.chain([format!("{scheme}://{address}")]).collect()
    }

    /// Follows the files, and writes refused calls to the audit; for as long as it is polled.
    pub(super) fn attend(&self, control: Control) -> impl Future<Output = ()> + 'static {
        let (auth, tls) = (Arc::clone(&self.auth), self.tls.clone());
        async move {
            tokio::join!(follow_tokens(&auth), follow_tls(&auth, tls), auth.record_denials(control));
        }
    }

    /// Serves until `shutdown` is done.
    pub(super) async fn serve(self, socket: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
        let Self { tls, socket: wanted, bound, .. } = self;
        let door = Door::new(Listener::Tcp(socket)).with_tls(tls.map(|(_, tls)| tls));
        let unix = match (bound, wanted) {
            (None, Some(wanted)) => match bind(&wanted, false) {
                Ok(bound) => Some(bound),
                Err(error) => {
                    note(&format!(
                        "warning: the admin API has no socket at {}: {error}",
                        wanted.path.display()
                    ));
                    None
                }
            },
            (bound, _) => bound,
        };
        // The file goes when nobody listens any more, unless it is another process's by then.
        let (sockets, _file) = unix.map(|bound| (bound.sockets, bound.file)).unwrap_or_default();
        let mut doors = vec![door];
        doors.extend(sockets.into_iter().filter_map(|socket| Listener::new(socket).ok()).map(Door::new));
        let (stop, _) = watch::channel(false);
        let mut serving = tokio::task::JoinSet::new();
        for door in doors {
            let mut stopped = stop.subscribe();
            serving.spawn(admin::serve(door, router.clone(), async move {
                // It is never sent: its end is what is waited for.
                let _ = stopped.changed().await;
            }));
        }
        shutdown.await;
        drop(stop);
        while serving.join_next().await.is_some() {}
    }
}

fn bind(socket: &AdminSocket, exclusive: bool) -> io::Result<Bound> {
    net::bind(&Address::Unix(socket.path.clone()), 1, socket.mode, exclusive)
}

fn read_tls(declared: &AdminTls) -> Result<ServerTls, String> {
    let read = |file: &Path| {
        let content =
            fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        Ok::<_, String>((file.display().to_string(), content))
    };
    let (chain_file, chain_pem) = read(&declared.certificate.cert_file)?;
    let (key_file, key_pem) = read(&declared.certificate.key_file)?;
    let certificate = Certificate::from_pem((&chain_file, &chain_pem), (&key_file, &key_pem));
    let certificate = certificate.map_err(|error| chain(&error))?;
    let authorities = declared.clients.as_ref().map(|clients| {
        let (file, pem) = read(&clients.ca_file)?;
        Authorities::from_pem((&file, &pem)).map_err(|error| chain(&error))
    });
    let authorities = authorities.transpose()?;
    let parts = ServerParts {
        certificates: vec![certificate],
        min_version: match declared.min_version {
            TlsVersion::Tls12 => MinVersion::Tls12,
            TlsVersion::Tls13 => MinVersion::Tls13,
        },
        alpn: vec![b"http/1.1"],
        // Whoever shows none may have a token.
        client_auth: authorities.as_ref().map(|authorities| ClientAuth { authorities, required: false }),
        handshake_timeout: HANDSHAKE_TIMEOUT,
    };
    // New tickets each time: an old one would stand for a certificate that an authority of then has vouched for.
    let tickets = Tickets::new().map_err(|error| chain(&error))?;
    ServerTls::new(parts, &tickets).map_err(|error| chain(&error))
}

async fn follow_tls(auth: &Auth, tls: Option<(AdminTls, Arc<ArcSwap<ServerTls>>)>) {
    let Some((declared, tls)) = tls else { return };
    let authorities = declared.clients.as_ref().map(|clients| clients.ca_file.clone());
    let files = [declared.certificate.cert_file.clone(), declared.certificate.key_file.clone()];
    let paths = files.into_iter().chain(authorities).collect();
    let take = |_: &FileEvent| {
        let made = read_tls(&declared);
        auth.note_tls(made.as_ref().err().cloned());
        tls.store(Arc::new(made?));
        Ok(())
    };
    follow(paths, take).await;
}

/// The admin API's socket: handed over, a service manager's, or bound.
pub(super) async fn socket(
    config: &model::Admin,
    inherited: &Inherited,
    taken: Option<&mut Taken>,
) -> Result<TcpListener, StartError> {
    let bind = config.bind;
    let failed = |error| StartError::Admin(bind, error);
    // A port that was chosen stays the same where the file leaves it open.
    let is_it = |address: &str| {
        let address = address.parse::<SocketAddr>().ok();
        address.is_some_and(|address| address == bind || (bind.port() == 0 && address.ip() == bind.ip()))
    };
    let handed = taken.and_then(|taken| taken.admin.take()).filter(|(_, address)| is_it(address));
    let passed = inherited.of_admin(&bind.to_string()).map_err(failed)?;
    let socket = handed.map(|(descriptor, _)| descriptor).or_else(|| passed.map(|socket| socket.descriptor));
    let Some(socket) = socket else { return TcpListener::bind(bind).await.map_err(failed) };
    let socket = StdListener::from(socket);
    admin::check_bind(socket.local_addr().map_err(failed)?, config)?;
    socket.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(socket).map_err(failed)
}

/// Puts the tokens of the admin API in force that are in its file now.
async fn follow_tokens(auth: &Auth) {
    let paths = auth.tokens_file().map(Path::to_owned).into_iter().collect();
    let take = |event: &FileEvent| {
        let content = event.content.as_ref().map(|content| &content[..]).map_err(Clone::clone);
        if let Some(count) = auth.replace_tokens(content)? {
            let tokens = if count == 1 { "1 token" } else { &format!("{count} tokens") };
            note(&format!("{}: {tokens} of the admin API in force", event.path.display()));
        }
        Ok(())
    };
    follow(paths, take).await;
}

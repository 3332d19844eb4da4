//! Around the admin API: its socket, the tokens that it takes, and what is written down of whom it refuses.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    path::Path,
    sync::Arc,
};

use tokio::net::TcpListener;

use super::{StartError, handover::Taken, inherited::Inherited, note, publisher::follow};
use crate::{
    admin::{self, Auth},
    config::model,
    control::{Control, watch::FileEvent},
};

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

/// Puts the tokens of the admin API in force that are in its file now, and writes refused calls to the audit; for as long as it is
/// polled.
pub(super) async fn attend(auth: Arc<Auth>, control: Control) {
    tokio::join!(follow_tokens(&auth), auth.record_denials(control));
}

async fn follow_tokens(auth: &Auth) {
    let paths = auth.tokens_file().map(Path::to_owned).into_iter().collect();
    let take = |event: &FileEvent| {
        let content = event.content.as_ref().map(|content| &content[..]).map_err(Clone::clone);
        if let Some(count) = auth.replace_tokens(content)? {
            note(&format!("{}: {count} tokens of the admin API are in force", event.path.display()));
        }
        Ok(())
    };
    follow(paths, take).await;
}

//! Who asks: the connection, what it proves, and who that is.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use crate::{
    net::tls::Holder,
    types::{Name, Role, address::UNIX_PEER},
};

tokio::task_local! {
    /// Of the request that this task handles. Handlers of every module make an origin of it; passing it through each of them
    /// would be one more thing that a new one could forget.
    static CALLER: Caller;
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address; `0.0.0.0` of a unix socket.
    pub address: IpAddr,
    /// The user that it runs as, where it comes over a unix socket.
    pub uid: Option<u32>,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Whom its certificate names, if it showed one that an authority vouches for.
    pub holder: Option<Arc<Holder>>,
}

/// Who somebody is, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The actor of what they do.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The routes that they may change; `None` is all.
    pub routes: Option<Arc<[Name]>>,
    /// How they have proved it.
    pub proof: Proof,
}

/// How somebody has proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: the admin API is open to whoever can connect.
    None,
    /// A token.
    Token,
    /// A session that a token has begun.
    Session,
    /// A certificate.
    Certificate,
    /// The user that the process runs as, which the system tells of the other end of a unix socket.
    User,
}

/// A request, as far as it is about who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who asks; `None` where nobody has to say.
    pub identity: Option<Identity>,
    /// What the request is called in answers and audits.
    pub request_id: String,
}

// === impl Peer ===

impl Peer {
    /// Somebody at an address, in the clear.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self { address, uid: None, secure: false, holder: None }
    }

    /// A process of this user, over a unix socket.
    #[must_use]
    pub fn of_user(uid: u32) -> Self {
        Self { uid: Some(uid), ..Self::at(UNIX_PEER) }
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.uid.is_some() || self.address.to_canonical().is_loopback()
    }
}

/// A peer that nothing is known of.
impl Default for Peer {
    fn default() -> Self {
        Self::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

// === impl Identity ===

impl Identity {
    /// Whoever can connect, where the admin API is open.
    #[must_use]
    pub fn anybody() -> Self {
        Self { name: "anonymous".to_owned(), role: Role::Admin, routes: None, proof: Proof::None }
    }

    /// Whether the route is one that they may change.
    #[must_use]
    pub fn reaches(&self, route: &str) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.iter().any(|known| known.as_str() == route))
    }
}

// === impl Proof ===

impl Proof {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Session => "session",
            Self::Certificate => "certificate",
            Self::User => "user",
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Handles a request of this caller.
    pub(crate) async fn during<F: Future>(self, handling: F) -> F::Output {
        CALLER.scope(self, handling).await
    }

    /// The caller of the request that this task handles.
    pub(crate) fn current() -> Option<Self> {
        CALLER.try_with(Self::clone).ok()
    }
}

//! Sockets: streams of bytes, whatever carries them.
//!
//! Everything above reads and writes a [`Stream`] and does not care whether it is TCP, a unix socket or TLS over either.

mod bind;
mod listener;
mod passed;
pub mod proxy_protocol;
mod stream;
pub mod tls;

pub use bind::{Bound, ListeningSocket, SocketFile, bind};
pub use listener::{Leftover, Listener};
pub use stream::{Plain, Stream};

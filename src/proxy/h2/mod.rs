//! HTTP/2 from clients (RFC 9113): connections that carry many requests at once.
//!
//! The crate `h2` has the frames, the header compression, the flow control and the limits that keep hostile clients cheap. One
//! task drives a connection, one task each serves a stream and then waits for another; all of them on the worker that accepted the
//! connection.

mod lanes;
mod limits;
mod rewound;
mod server;
mod stream;

pub(super) use lanes::Lanes;
pub(super) use rewound::Rewound;
pub(super) use server::serve;
pub(super) use stream::StreamClient;

/// How the preface begins that a client sends which knows the server to speak HTTP/2 (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2";

//! What the cases are written with: a Weir in this process, origins that follow a script, clients that send raw bytes.
//!
//! Everything is blocking and on threads of its own, so that a case reads from top to bottom. Nothing sleeps: a case waits
//! for an event, and [`PATIENCE`] is only how long it waits before it fails.

#![allow(dead_code, reason = "a vocabulary; not every word is used by every theme")]

pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod gate;
pub(crate) mod h2;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod setup;
pub(crate) mod streams;
pub(crate) mod tls;
pub(crate) mod weir;
pub(crate) mod wire;
pub(crate) mod ws;

use std::time::Duration;

pub(crate) use client::Client;
pub(crate) use gate::Gate;
pub(crate) use origin::{Origin, Peer, Request};
pub(crate) use setup::Setup;
pub(crate) use weir::Weir;
pub(crate) use wire::{Broken, End};

/// How long anything may take before a case fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A GET that any origin understands.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A response with this body and its length.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// `len` bytes that differ from place to place, so that a lost or repeated piece is seen.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(17) ^ (at >> 16)).to_le_bytes()[0])
        .collect()
}

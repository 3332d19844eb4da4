//! Whose connection it is, where a load balancer in front says so (PROXY protocol).

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;

use super::{listener::Inlet, timer::Timer, worker::Worker};
use crate::{
    net::{
        Plain,
        proxy_protocol::{self, Parsed, Source},
    },
    snapshot::ProxyProtocol,
    telemetry::Refusal,
    types::clock,
};

/// What was read before the header is known to be long: any header of version 1, and version 2 without much more than addresses.
const USUAL: usize = 256;

/// The peer that the connection is to count as; `None` when the connection is to end, which is counted.
///
/// Peers that must say whose connection it is say so before anything else. All others are not asked, and what they might say
/// is no header but a malformed request.
pub(super) async fn source(
    worker: &Worker,
    inlet: &Inlet,
    socket: &mut Plain,
    peer: SocketAddr,
) -> Option<SocketAddr> {
    let Some(protocol) = inlet.current(worker, |listener| listener.proxy_protocol.clone()) else {
        return Some(peer);
    };
    if !protocol.from.contains(peer.ip().to_canonical()) {
        return Some(peer);
    }
    match read(&protocol, socket).await {
        Ok(Source::Client(client)) => Some(client),
        Ok(Source::Sender) => Some(peer),
        Err(refusal) => {
            if let Some(refusal) = refusal {
                inlet.shard(worker).refused(refusal);
            }
            None
        }
    }
}

/// Reads the header and not a byte more. The error is what to count; nothing where nothing was said.
async fn read(protocol: &ProxyProtocol, socket: &mut Plain) -> Result<Source, Option<Refusal>> {
    let mut timer = Timer::default();
    timer.set(clock::now(), protocol.timeout);
    let mut header = Vec::with_capacity(USUAL);
    loop {
        let least = match proxy_protocol::parse(&header) {
            Ok(Parsed::Complete(source, _)) => return Ok(source),
            Ok(Parsed::Partial(least)) => least,
            Err(_) => return Err(Some(Refusal::ProxyProtocol)),
        };
        let missing = least - header.len();
        let mut rest = (&mut *socket).take(missing as u64);
        let read = tokio::select! {
            biased;
            read = rest.read_buf(&mut header) => read,
            () = timer.expired() => return Err(Some(Refusal::Timeout)),
        };
        match read {
            Ok(count) if count > 0 => {}
            // A probe that only connects.
            _ if header.is_empty() => return Err(None),
            _ => return Err(Some(Refusal::ProxyProtocol)),
        }
    }
}

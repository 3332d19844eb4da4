//! Integration: a whole Weir in this process, real sockets, clients and origins that count every byte.
//!
//! One file per theme; [`support`] has the vocabulary.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test says what it means by failing"
)]

mod aborts;
mod admin_auth;
mod admin_doors;
mod balancing;
mod bodies;
mod breaker;
mod cli;
mod cors;
mod drain;
mod ejection;
mod events;
mod expect;
mod failures;
mod fault;
mod framing;
mod grpc;
mod guide;
mod handover;
mod headers;
mod health;
mod hosts;
mod http2;
mod http2_limits;
mod http2_streams;
mod jwt;
mod keep_alive;
mod limits;
mod links;
mod log;
mod mirror;
mod names;
mod overload;
mod policy;
mod proxy_protocol;
mod region;
mod reload;
mod responses;
mod retries;
mod retry_policy;
mod rollouts;
mod shield;
mod split;
mod streaming;
mod support;
mod timeouts;
mod tls;
mod trial;
mod unix;
mod upstream_tls;
mod websocket;
mod websocket_h2;
mod websocket_life;

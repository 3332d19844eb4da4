//! What a health check asks an endpoint.

/// One question to an endpoint, and the answer that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET, and a status.
    Http {
        /// The path, with its query if it has one.
        path: String,
        /// The Host; `None` is the endpoint's address.
        host: Option<String>,
        /// Statuses that pass, inclusive ranges.
        expected_status: Vec<(u16, u16)>,
    },
    /// `grpc.health.v1.Health/Check`, answered by SERVING (gRPC Health Checking Protocol).
    Grpc {
        /// The service that is asked for; empty is the server as a whole.
        service: String,
        /// The `:authority`; `None` is the endpoint's address.
        host: Option<String>,
    },
    /// A connection, and the TLS handshake where the backend has TLS.
    Tcp,
}

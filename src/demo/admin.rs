//! The demo's use of the admin API: over HTTP, as any other client.

use std::{net::SocketAddr, time::Duration};

use http_body_util::Full;
use hyper::{Method, Request, StatusCode, body::Bytes, header};
use serde_json::{Value, json};

use super::{
    client::{Answer, Client, ClientError},
    place::ROUTE,
    version::Version,
};
use crate::{
    admin::api::{problem::Problem, types::Weights},
    types::{Name, clock},
};

/// How long Weir may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// Between two questions whether it is ready.
const READY_PAUSE: Duration = Duration::from_millis(20);

/// A client of the admin API.
pub(super) struct Admin {
    address: SocketAddr,
    client: Client,
}

/// Why the admin API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It did not answer.
    #[error("the admin API did not answer")]
    Client(#[from] ClientError),
    /// It refused.
    #[error("the admin API answered {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// What it answered is not what it promises.
    #[error("the admin API answered something else than weights")]
    Unreadable(#[from] serde_json::Error),
    /// Weir is not ready in time.
    #[error("weir is not ready after {} s: {last}", READY_LIMIT.as_secs())]
    NotReady {
        /// What it said last.
        last: String,
    },
}

// === impl Admin ===

impl Admin {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::new(address) }
    }

    /// Waits until Weir is ready.
    pub(super) async fn ready(&mut self) -> Result<(), AdminError> {
        let end = clock::now() + READY_LIMIT;
        loop {
            let last = match self.call(Method::GET, "/readyz", None).await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            if clock::now() >= end {
                return Err(AdminError::NotReady { last });
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }

    /// Gives v2 the weight `v2`, 0 to 100, and v1 the rest.
    pub(super) async fn set_weight(&mut self, v2: u32) -> Result<(), AdminError> {
        let weights = json!({ Version::V1.as_str(): 100 - v2, Version::V2.as_str(): v2 });
        let body = json!({ "weights": weights, "reason": "demo" });
        self.call(Method::PATCH, &weights_path(), Some(&body)).await.map(drop)
    }

    /// The share of users that v2 gets at present, 0 to 1.
    pub(super) async fn share(&mut self) -> Result<f64, AdminError> {
        let answer = self.call(Method::GET, &weights_path(), None).await?;
        let weights: Weights = serde_json::from_slice(&answer.body)?;
        if let Some(only) = &weights.kill_switch {
            return Ok(if is_v2(only) { 1.0 } else { 0.0 });
        }
        Ok(weights.shares.iter().filter(|(name, _)| is_v2(name)).map(|(_, share)| share).sum())
    }

    async fn call(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, AdminError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header("x-weir-actor", "demo");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/merge-patch+json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(Full::from(body)).expect("paths are constants");
        let answer = self.client.send(request).await?;
        match answer.head.status {
            StatusCode::OK => Ok(answer),
            status => {
                let problem = serde_json::from_slice::<Problem>(&answer.body);
                let text = |_| String::from_utf8_lossy(&answer.body).into_owned();
                Err(AdminError::Refused {
                    status,
                    detail: problem.map(|problem| problem.detail).unwrap_or_else(text),
                })
            }
        }
    }
}

fn weights_path() -> String {
    format!("/v1/routes/{ROUTE}/weights")
}

fn is_v2(name: &Name) -> bool {
    name.as_str() == Version::V2.as_str()
}

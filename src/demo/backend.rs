//! A version of the demo's service: answers with its name after a few milliseconds.

use std::{convert::Infallible, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response, body::Bytes, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::net::{TcpListener, TcpStream};

use super::Version;

/// The shortest answer; like a service that reads something from a cache.
const FLOOR: Duration = Duration::from_millis(2);
/// The mean of what is added to it, exponentially distributed as waiting times are.
const MEAN: Duration = Duration::from_micros(1500);
/// The longest answer.
const CEILING: Duration = Duration::from_millis(25);

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, version: Version, seed: u64) {
    let mut connections = tokio::task::JoinSet::new();
    for number in 0_u64.. {
        let stream = loop {
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => break stream,
                    // No file descriptor is left; one may be soon.
                    Err(_) => tokio::time::sleep(FLOOR).await,
                },
            }
        };
        let seed = seed.rotate_left(17) ^ number.wrapping_mul(2) ^ u64::from(version == Version::V2);
        connections.spawn(connection(stream, version, seed));
    }
}

async fn connection(stream: TcpStream, version: Version, seed: u64) {
    let random = std::sync::Mutex::new(StdRng::seed_from_u64(seed));
    let service = service_fn(|request: Request<Incoming>| {
        let wait = {
            let mut random = random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            latency(random.random())
        };
        answer(request, version, wait)
    });
    // The other end is the proxy; what it does with its connections is its own business.
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    version: Version,
    wait: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if path != "/healthz" {
        tokio::time::sleep(wait).await;
    }
    let body = serde_json::json!({"version": version.as_str(), "path": path}).to_string();
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-backend", version.as_str())
        .body(Full::new(Bytes::from(body)));
    Ok(response.expect("the header values are valid"))
}

/// The time an answer takes; `uniform` is 0 to 1.
fn latency(uniform: f64) -> Duration {
    let tail = MEAN.mul_f64(-(1.0 - uniform).max(f64::MIN_POSITIVE).ln());
    (FLOOR + tail).min(CEILING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_a_few_milliseconds() {
        for (uniform, expected) in [(0.0, 2.0), (0.5, 3.04), (0.99, 8.91), (0.999_999_999_999, 25.0)] {
            let millis = latency(uniform).as_secs_f64() * 1e3;
            assert!((millis - expected).abs() < 0.01, "{uniform}: {millis}");
        }
        assert_eq!(latency(1.0), CEILING);
    }
}

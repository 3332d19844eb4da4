//! Gates that ask others: a query of a Prometheus server, or a web service.
//!
//! Whoever cannot be asked has said nothing: that is no failure of the canary, and no pass either.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Call, CallError, Client, Reply, Url};
use crate::{
    config::model::rollout::{Check, PrometheusQuery, WebhookCheck},
    rollout::judge::Answer,
    types::cause::chain,
};

/// Asks what a gate asks; `server` is the plan's Prometheus server.
pub(super) async fn ask(client: &Client, check: &Check, server: Option<&str>) -> Answer {
    let answer = match check {
        Check::Prometheus(query) => query_prometheus(client, query, server).await,
        Check::Webhook(check) => ask_webhook(client, check).await,
        Check::Threshold(_) | Check::ConsecutiveFailures(_) | Check::Regression(_) => Ok(Answer::Nothing),
    };
    answer.unwrap_or_else(|error| Answer::Unreachable(chain(&error)))
}

/// An instant query (<https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>).
async fn query_prometheus(
    client: &Client,
    query: &PrometheusQuery,
    server: Option<&str>,
) -> Result<Answer, CallError> {
    let Some(server) = query.server.as_deref().or(server) else {
        return Ok(Answer::Unreachable(
            "neither the gate nor the analysis names a Prometheus server".to_owned(),
        ));
    };
    let limit = prometheus_time(query.timeout);
    let url = Url::parse(server)?.below("/api/v1/query", &[("query", &query.query), ("timeout", &limit)]);
    let call = Call::get(url).field("accept", "application/json")?;
    Ok(read_prometheus(&client.send(call, query.timeout).await?))
}

/// A duration as Prometheus writes it.
fn prometheus_time(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// What the query API answers.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum PrometheusAnswer {
    Success {
        data: PrometheusData,
    },
    Error {
        #[serde(rename = "errorType", default)]
        kind: String,
        #[serde(default)]
        error: String,
    },
}

#[derive(Debug, Deserialize)]
struct PrometheusData {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

fn read_prometheus(reply: &Reply) -> Answer {
    if !reply.is_whole {
        return Answer::Unreachable("the answer is too large: aggregate the query to one number".to_owned());
    }
    match serde_json::from_slice(&reply.body) {
        Ok(PrometheusAnswer::Error { kind, error }) => Answer::Unreachable(format!("{kind}: {error}")),
        Ok(PrometheusAnswer::Success { data }) => number_of(&data),
        Err(_) if reply.status.is_success() => {
            Answer::Unreachable("the answer is not one of Prometheus".to_owned())
        }
        Err(_) => Answer::Unreachable(reply.said()),
    }
}

/// The number in the result of a query.
fn number_of(data: &PrometheusData) -> Answer {
    let sample = match (data.kind.as_str(), &data.result) {
        ("scalar", sample) => Some(sample),
        ("vector", Value::Array(series)) => match series.as_slice() {
            [] => return Answer::Nothing,
            [one] => one.get("value"),
            more => {
                let text =
                    format!("the query gives {} series, where one is needed: aggregate them", more.len());
                return Answer::Unreachable(text);
            }
        },
        (kind, _) => {
            return Answer::Unreachable(format!("the query gives a {kind}, where a number is needed"));
        }
    };
    // A pair of the time and the number, which is a text because JSON has no infinities.
    let number = sample.and_then(|sample| sample.get(1)).and_then(Value::as_str);
    match number.map(str::parse::<f64>) {
        Some(Ok(number)) if number.is_nan() => Answer::Nothing,
        Some(Ok(number)) => Answer::Value(number),
        _ => Answer::Unreachable("the query gives no number".to_owned()),
    }
}

async fn ask_webhook(client: &Client, check: &WebhookCheck) -> Result<Answer, CallError> {
    let call = Call::get(Url::parse(&check.url)?).field("accept", "application/json, */*;q=0.5")?;
    Ok(read_webhook(&client.send(call, check.timeout).await?, check.pointer.as_deref()))
}

fn read_webhook(reply: &Reply, pointer: Option<&str>) -> Answer {
    let nobody = [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let status = reply.status;
    if status.is_redirection() || nobody.contains(&status) {
        // Not the service itself has spoken.
        return Answer::Unreachable(reply.said());
    }
    let Some(pointer) = pointer else {
        return Answer::Said { good: status.is_success(), text: reply.said() };
    };
    match status {
        _ if !status.is_success() => Answer::Unreachable(reply.said()),
        StatusCode::NO_CONTENT => Answer::Nothing,
        _ if !reply.is_whole => Answer::Unreachable("the answer is too large".to_owned()),
        _ => at_pointer(&reply.body, pointer),
    }
}

/// What a JSON document has at `pointer` (RFC 6901).
fn at_pointer(body: &[u8], pointer: &str) -> Answer {
    let Ok(document) = serde_json::from_slice::<Value>(body) else {
        return Answer::Unreachable("the answer is not JSON".to_owned());
    };
    let shown = if pointer.is_empty() { "its root" } else { pointer };
    match document.pointer(pointer) {
        Some(Value::Number(number)) => number
            .as_f64()
            .map_or_else(|| Answer::Unreachable(format!("{number} is too large")), Answer::Value),
        Some(Value::Bool(good)) => Answer::Said { good: *good, text: format!("{good} at {shown}") },
        Some(Value::Null) => Answer::Nothing,
        Some(_) => Answer::Unreachable(format!("the answer has no number at {shown}")),
        None => Answer::Unreachable(format!("the answer has nothing at {shown}")),
    }
}

#[cfg(test)]
mod tests;

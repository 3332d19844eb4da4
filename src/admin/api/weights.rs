//! `/v1/routes/{route}/weights`.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Answer,
    change::{self, Asked, Sent},
    json,
    openapi::{
        Changes, Conditional, OfRoute, OutsideRollouts, PatchWeightsBody, PausesRollout, PutWeightsBody,
        RoutePath, Writes,
    },
    problem::{Kind, Refused, pointer},
    routes,
    types::Weights,
};
use crate::{
    admin::AppState,
    config::model,
    control::{self, Change, WeightChange},
    types::Weight,
};

/// What a change of weights takes beside what all changes take.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pausing {
    pause_rollout: Option<String>,
}

/// The weights in force.
#[utoipa::path(
    get,
    path = "/v1/routes/{route}/weights",
    operation_id = "get_weights",
    tag = "traffic",
    params(RoutePath),
    responses(
        (
            status = 200, description = "The weights", body = Weights,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
    )
)]
pub(super) async fn read(State(app): State<AppState>, Path(route): Path<String>) -> Answer {
    let state = app.control.state();
    let weights = describe(&state, state.route(&route)?);
    Ok(json(state.revision, &weights))
}

/// Changes the weights that are named (RFC 7396).
#[utoipa::path(
    patch,
    path = "/v1/routes/{route}/weights",
    operation_id = "patch_weights",
    tag = "traffic",
    params(RoutePath, Writes, PausesRollout, Conditional),
    request_body(content(
        (PatchWeightsBody = "application/json"),
        (PatchWeightsBody = "application/merge-patch+json"),
    )),
    responses(
        (
            status = 200, description = "The weights since; for a dry run, as they would be", body = Weights,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        OutsideRollouts,
        Changes,
        Conditional,
    )
)]
pub(super) async fn patch(
    State(app): State<AppState>,
    Path(route): Path<String>,
    Query(pausing): Query<Pausing>,
    sent: Sent,
) -> Answer {
    let asked = with_weights(sent)?;
    let weights = WeightChange::Patch(parse(&asked.body)?);
    write(&app, route, (weights, pausing.pause_rollout()?), asked).await
}

/// Replaces all weights of the split.
#[utoipa::path(
    put,
    path = "/v1/routes/{route}/weights",
    operation_id = "put_weights",
    tag = "traffic",
    params(RoutePath, Writes, PausesRollout, Conditional),
    request_body(content = PutWeightsBody),
    responses(
        (
            status = 200, description = "The weights since; for a dry run, as they would be", body = Weights,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        OutsideRollouts,
        Changes,
        Conditional,
    )
)]
pub(super) async fn replace(
    State(app): State<AppState>,
    Path(route): Path<String>,
    Query(pausing): Query<Pausing>,
    sent: Sent,
) -> Answer {
    let asked = with_weights(sent)?;
    let no_null = |(name, weight): (String, Option<Weight>)| match weight {
        Some(weight) => Ok((name, weight)),
        None => Err(Kind::InvalidBody
            .because(format!("`{name}` has no weight"))
            .at(pointer(&["weights", &name]), "null")
            .hint("null gives the control file its say again, with PATCH only")),
    };
    let weights = parse(&asked.body)?.into_iter().map(no_null).collect::<Result<_, _>>()?;
    let weights = WeightChange::Replace(weights);
    write(&app, route, (weights, pausing.pause_rollout()?), asked).await
}

async fn write(
    app: &AppState,
    name: String,
    (weights, pause_rollout): (WeightChange, bool),
    asked: Asked,
) -> Answer {
    let change = Change::SetWeights { route: name.clone(), weights, pause_rollout };
    let (accepted, outcome) = change::carry_out(app, change, asked).await?;
    let route = accepted.state.route(&name)?;
    let answer = Weights {
        revision: outcome.revision,
        changed: Some(outcome.changed),
        dry_run: outcome.dry_run,
        moved_ratio: Some(outcome.moved_on(&route.name)),
        warnings: outcome.warnings,
        ..describe(&accepted.state, route)
    };
    Ok(json(answer.revision, &answer))
}

/// The weights in force of `route`, and the file's.
pub(in crate::admin) fn describe(state: &control::State, route: &model::Route) -> Weights {
    let weights = state.weights(route);
    let shares = routes::shares(state, route, &weights);
    Weights {
        route: route.name.clone(),
        revision: state.revision,
        shares: weights.iter().map(|(name, _)| name.clone()).zip(shares).collect(),
        weights: weights.into_iter().collect(),
        file: route.split.backends.iter().map(|b| (b.name.clone(), b.weight)).collect(),
        kill_switch: state.kill_switch(&route.name).cloned(),
        changed: None,
        dry_run: false,
        moved_ratio: None,
        warnings: Vec::new(),
    }
}

/// A body that is right, for those who sent another one.
const EXAMPLE: &str = r#"send for example {"weights": {"stable": 80, "canary": 20}}"#;

fn with_weights(sent: Sent) -> Result<Asked, Refused> {
    sent.with(&["weights"]).map_err(|refused| refused.hint(EXAMPLE))
}

/// The `weights` of a body.
fn parse(body: &serde_json::Map<String, Value>) -> Result<BTreeMap<String, Option<Weight>>, Refused> {
    let Some(Value::Object(weights)) = body.get("weights") else {
        let refused =
            Kind::InvalidBody.because("`weights` has to be an object of backends and their weights");
        return Err(refused.at("/weights", "not an object").hint(EXAMPLE));
    };
    let mut parsed = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in weights {
        let weight = match value {
            Value::Null => Ok(None),
            Value::Number(number) => number
                .as_f64()
                .ok_or_else(|| "a weight is a number such as 5 or 0.5".to_owned())
                .and_then(weight)
                .map(Some),
            _ => Err("a weight is a number such as 5 or 0.5".to_owned()),
        };
        match weight {
            Ok(weight) => drop(parsed.insert(name.clone(), weight)),
            Err(error) => faults.push((pointer(&["weights", name]), error)),
        }
    }
    match faults.first() {
        None => Ok(parsed),
        Some((_, first)) => {
            let refused = Kind::InvalidBody.because(first.clone());
            Err(faults.iter().fold(refused, |refused, (pointer, error)| refused.at(pointer, error)))
        }
    }
}

/// A weight as a control file takes it: more than six decimals are refused (E0047), not rounded. What programs make of sums
/// (0.1 + 0.2 = 0.30000000000000004) is no more decimals: below a million, such noise is smaller than a thousandth of the
/// last decimal.
fn weight(number: f64) -> Result<Weight, String> {
    let weight = Weight::from_f64(number).map_err(|error| error.to_string())?;
    let micros = number * 1e6;
    if (micros - micros.round()).abs() > 1e-3 {
        return Err("a weight has at most six decimals".to_owned());
    }
    Ok(weight)
}

// === impl Pausing ===

impl Pausing {
    /// Whether a rollout may have the route, and pauses: `?pause_rollout=true`, or `?pause_rollout` alone.
    fn pause_rollout(&self) -> Result<bool, Refused> {
        match self.pause_rollout.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => {
                let detail = format!("`pause_rollout` is true or false, not `{other}`");
                Err(Kind::InvalidParameter.because(detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_of_sums_is_no_decimal() {
        for (number, expected) in [
            (0.1 + 0.2, Some(300_000)),
            (333_333.333_333, Some(333_333_333_333)),
            (0.000_001, Some(1)),
            (1_000_000.0, Some(1_000_000_000_000)),
            (1.000_000_1, None),
            (0.123_456_7, None),
            (999_999.999_999_9, None),
            (-0.1, None),
        ] {
            assert_eq!(weight(number).ok().map(Weight::micros), expected, "{number}");
        }
    }
}

//! `POST /v1/rollouts`, and once more: `POST /v1/rollouts/{rollout}/retry`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{
    Answer, describe, find, json as answer,
    steer::{Steering, failed_start},
};
use crate::{
    admin::{
        AppState,
        api::{
            change::{Asked, Sent},
            config,
            openapi::{
                Changes, Conditional, InPhase, OfRollout, Once, ReasonBody, RolloutPath, StartBody, Writes,
            },
            problem::{Kind, Refused},
            request,
            types::rollout::{PlannedRollout, SteeredRollout},
        },
        auth::{Caller, Operation},
        guard,
    },
    config::{Diagnostics, model, model::rollout::RolloutPlan, parse_plan, plan_to_json},
    control,
    rollout::{
        driver::{StartError, StartRequest},
        machine::{By, Command, OnceKey, Rollout},
    },
    types::Name,
};

/// Routes of one rollout.
const MAX_ROUTES: usize = 100;

/// What a body asks for.
struct Wanted {
    routes: Vec<Name>,
    plan: RolloutPlan,
    warnings: Vec<String>,
    supersede: bool,
}

/// Starts a rollout: of a plan in the body, or of the one that the route has in the control file. `dry_run` gives the plan with every
/// default and what is odd about it.
#[utoipa::path(
    post,
    path = "/v1/rollouts",
    operation_id = "start_rollout",
    tag = "rollouts",
    params(Writes, Conditional, Once),
    request_body(content = StartBody),
    responses(
        (status = 200, description = "A dry run: the plan", body = PlannedRollout),
        (
            status = 201, description = "It has begun", body = SteeredRollout,
            headers(
                ("ETag" = String, description = "The revision in force, such as `\"r42\"`"),
                ("Location" = String, description = "Where it is")
            )
        ),
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn start(State(app): State<AppState>, sent: Sent) -> Answer {
    let asked = sent.with(&["route", "routes", "plan", "version", "supersede"])?;
    let state = app.control.state();
    let wanted = Wanted::read(&asked.body, &state)?;
    if let Some(who) = Caller::current().and_then(|caller| caller.identity)
        && !guard::reaches_all(&who, &wanted.routes)
    {
        let operation = Operation::of(&Method::POST, Some("/v1/rollouts"));
        let denial = guard::out_of_scope(&who);
        return Ok(guard::refuse(&app, denial, (operation, &asked.peer), &wanted.routes[0]));
    }
    let body = Value::Object(asked.body.clone());
    let asked = asked.once(&format!("start {body}"))?;
    let once = key(&asked);
    if let Some(known) = once.as_ref().filter(|_| !asked.dry_run).and_then(|once| known(&app, once)) {
        let rollout = known?;
        return begun(&app, &rollout, Vec::new()).await;
    }
    let steering = Steering::new(&app, &asked, false)?;
    if !wanted.supersede
        && let Some(error) = under_way(&app, &wanted.routes)
    {
        return Err(failed_start(&app, error));
    }
    if asked.dry_run {
        let Wanted { routes, plan, warnings, .. } = wanted;
        let mut plan = plan_to_json(&plan);
        config::withhold([&mut plan, &mut Value::Null]);
        return Ok(answer(state.revision, &PlannedRollout { dry_run: true, routes, plan, warnings }));
    }
    let Wanted { routes, plan, warnings, supersede } = wanted;
    let by = steering.by();
    let request = StartRequest { routes, plan, by, supersede };
    let started = app.rollouts.start_once(request, once).await;
    let rollout = started.map_err(|error| failed_start(&app, error))?;
    keep_or_end(&app, &steering, "rollout_start", &rollout).await?;
    begun(&app, &rollout, warnings).await
}

/// Starts a rollout that is over once more, with a clean state and an id of its own.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/retry",
    operation_id = "retry_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes, Conditional, Once),
    request_body(content = Option<ReasonBody>),
    responses(
        (status = 200, description = "A dry run: the one that would be repeated", body = SteeredRollout),
        (
            status = 201, description = "It has begun", body = SteeredRollout,
            headers(
                ("ETag" = String, description = "The revision in force, such as `\"r42\"`"),
                ("Location" = String, description = "Where it is")
            )
        ),
        OfRollout,
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn retry(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    let asked = sent.with_reason_only()?.once(&format!("retry {rollout}"))?;
    let board = app.rollouts.board();
    let before = Arc::clone(&find(&board, &rollout)?.rollout);
    let once = key(&asked);
    if let Some(known) = once.as_ref().filter(|_| !asked.dry_run).and_then(|once| known(&app, once)) {
        let rollout = known?;
        return begun(&app, &rollout, Vec::new()).await;
    }
    let steering = Steering::new(&app, &asked, false)?;
    if !before.phase.is_over() {
        return Err(failed_start(&app, StartError::NotOver(before.id.clone())));
    }
    if let Some(error) = under_way(&app, &before.routes) {
        return Err(failed_start(&app, error));
    }
    if asked.dry_run {
        return Ok(steering.unchanged(&before.id));
    }
    let started = app.rollouts.retry_once(&before.id, steering.by(), once).await;
    let again = started.map_err(|error| failed_start(&app, error))?;
    keep_or_end(&app, &steering, "rollout_retry", &again).await?;
    begun(&app, &again, Vec::new()).await
}

/// Has the audit know of a rollout that was started. One that is in no audit ends before it has moved anything.
async fn keep_or_end(
    app: &AppState,
    steering: &Steering<'_>,
    action: &'static str,
    rollout: &Rollout,
) -> Result<(), Refused> {
    let Err(refusal) = steering.note(action, rollout).await else { return Ok(()) };
    let by = By { actor: "weir".to_owned(), reason: Some("its start could not be written down".to_owned()) };
    // Where it is over by now, there is nothing to end.
    let _ = app.rollouts.command(&rollout.id, Command::Abort, by).await;
    Err(refusal.into())
}

/// The answer about a rollout that was started.
async fn begun(app: &AppState, rollout: &Rollout, warnings: Vec<String>) -> Answer {
    let shown = super::steer::shown(app, rollout).await;
    let body = SteeredRollout { rollout: describe::whole(&shown), dry_run: false, warnings };
    let mut response: Response = answer(app.control.state().revision, &body);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(place) = HeaderValue::try_from(format!("/v1/rollouts/{}", rollout.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The idempotency key of a request.
fn key(asked: &Asked) -> Option<OnceKey> {
    let once = asked.once.as_ref()?;
    Some(OnceKey { key: once.key.clone(), fingerprint: once.fingerprint.clone() })
}

/// The rollout that a request with this key has started before.
fn known(app: &AppState, once: &OnceKey) -> Option<Result<Arc<Rollout>, Refused>> {
    let board = app.rollouts.board();
    let mut all = board.rollouts.iter().map(|shown| &shown.rollout);
    let same = all.find(|rollout| rollout.once.as_ref().is_some_and(|known| known.key == once.key))?;
    let is_same = same.once.as_ref() == Some(once);
    let reused = || failed_start(app, StartError::KeyReused(same.id.clone()));
    Some(if is_same { Ok(Arc::clone(same)) } else { Err(reused()) })
}

/// The rollout that is under way on one of these routes.
fn under_way(app: &AppState, routes: &[Name]) -> Option<StartError> {
    let board = app.rollouts.board();
    let mut active = board.rollouts.iter().filter(|shown| !shown.rollout.phase.is_over());
    active.find_map(|shown| {
        let route = shown.rollout.routes.iter().find(|route| routes.contains(route))?;
        Some(StartError::UnderWay { route: route.clone(), rollout: shown.rollout.id.clone() })
    })
}

// === impl Wanted ===

impl Wanted {
    fn read(body: &Map<String, Value>, state: &control::State) -> Result<Self, Refused> {
        let supersede = match body.get("supersede") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(supersede)) => *supersede,
            Some(_) => return Err(fault("supersede", "is true or false")),
        };
        let version = request::text(body, "version")?;
        let named = names(body)?;
        let alone = body.contains_key("route");
        let route = |place: usize, name: &str| {
            let pointer = if alone { "/route".to_owned() } else { format!("/routes/{place}") };
            let missing = |refusal| Refused::from(refusal).as_impossible().at(pointer, "no such route");
            state.route(name).map_err(missing)
        };
        let routes: Vec<&model::Route> =
            named.iter().enumerate().map(|(place, name)| route(place, name)).collect::<Result<_, _>>()?;
        let (mut plan, mut warnings) = plan(body, routes[0], state)?;
        if version.is_some() {
            plan.version = version;
        }
        let mut moving: Vec<Name> = routes.iter().map(|route| route.name.clone()).collect();
        if alone && let Some(group) = &plan.group {
            let same = |other: &&model::Route| {
                other.rollout.as_ref().is_some_and(|plan| plan.group.as_ref() == Some(group))
            };
            moving.extend(state.file.config.routes.iter().filter(same).map(|other| other.name.clone()));
        }
        moving.sort();
        moving.dedup();
        for name in moving.iter().filter(|name| **name != routes[0].name) {
            // The plan has to fit each of its routes.
            let route = state.route(name.as_str())?;
            let text = plan_to_json(&plan).to_string();
            let (_, found) =
                parse_plan(&text, route, &state.file.config).map_err(|errors| unfit(&errors, Some(name)))?;
            warnings.extend(lines(&found));
        }
        warnings.dedup();
        Ok(Self { routes: moving, plan, warnings, supersede })
    }
}

/// The names of routes in a body.
fn names(body: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let one = request::text(body, "route")?;
    let several = match body.get("routes") {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => {
            let texts: Option<Vec<String>> =
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            Some(texts.ok_or_else(|| fault("routes", "is a list of names"))?)
        }
        Some(_) => return Err(fault("routes", "is a list of names")),
    };
    match (one, several) {
        (Some(one), None) => Ok(vec![one]),
        (None, Some(several)) if (1..=MAX_ROUTES).contains(&several.len()) => Ok(several),
        (None, Some(_)) => Err(fault("routes", &format!("has 1 to {MAX_ROUTES} names"))),
        (Some(_), Some(_)) => Err(unclear("/routes", "`routes` cannot stand beside `route`")),
        (None, None) => {
            Err(unclear("/route", "the body names no route").hint(r#"send for example {"route": "shop"}"#))
        }
    }
}

/// The body has what it may have, and not what it takes.
fn unclear(pointer: &str, detail: &str) -> Refused {
    Kind::InvalidChange.because(detail).at(pointer, detail)
}

/// The plan in a body, as an object or as text, or that of the route in the control file; and what is odd about it.
fn plan(
    body: &Map<String, Value>,
    route: &model::Route,
    state: &control::State,
) -> Result<(RolloutPlan, Vec<String>), Refused> {
    let text = match body.get("plan") {
        Some(plan @ Value::Object(_)) => plan.to_string(),
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => {
            let Some(plan) = &route.rollout else {
                let detail = format!(
                    "route `{}` has no `rollout` in the control file, and the body has no `plan`",
                    route.name
                );
                return Err(Kind::InvalidPlan.because(detail).at("/plan", "is missing").hint(
                    "send `plan` with the keys of `rollout` in the control file; {\"plan\": {\"preset\": \"standard\", …}} does for a start",
                ));
            };
            return Ok(((**plan).clone(), Vec::new()));
        }
        Some(_) => return Err(fault("plan", "is an object, or the same as YAML in a text")),
    };
    let parsed = parse_plan(&text, route, &state.file.config);
    parsed.map(|(plan, found)| (plan, lines(&found))).map_err(|errors| unfit(&errors, None))
}

/// A plan that has errors, each with its place.
fn unfit(errors: &Diagnostics, route: Option<&Name>) -> Refused {
    let of = route.map(|route| format!("for route `{route}`: ")).unwrap_or_default();
    let refused = Kind::InvalidPlan.because(format!("{of}{}", errors.summary()));
    let refused = errors
        .iter()
        .fold(refused, |refused, item| refused.at(format!("/plan{}", item.pointer), item.message.clone()));
    refused.diagnostics(config::items(errors))
}

fn lines(found: &Diagnostics) -> Vec<String> {
    found.iter().map(|item| item.message.clone()).collect()
}

fn fault(member: &str, detail: &str) -> Refused {
    Kind::InvalidBody.because(format!("`{member}` {detail}")).at(format!("/{member}"), detail)
}

/// What the audit has of a rollout.
pub(super) fn told(rollout: &Rollout) -> Value {
    json!({
        "rollout": rollout.id,
        "phase": rollout.phase.as_str(),
        "step": rollout.step + 1,
        "canary": rollout.plan.canary,
        "version": rollout.plan.version,
    })
}

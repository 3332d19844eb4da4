//! From changes to events: what control tells is published at once; what only looking tells, once a second.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};

use super::{
    Kind, Scope,
    payload::{
        AuditEvent, BackendStats, ConfigEvent, ConfigResult, RouteStats, StatsEvent, StoreEvent, StoreResult,
        WeightsEvent,
    },
    rollouts,
};
use crate::{
    admin::{
        AppState,
        api::{
            backends, routes,
            types::{Backend, Route, Weights},
            weights,
        },
    },
    control::{Event, State, audit::rfc3339},
    types::{Name, Revision, clock},
};

/// Between two looks at traffic and health.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What clients know already.
struct Told {
    weights: BTreeMap<Name, Weights>,
    health: BTreeMap<Name, Health>,
    digest: crate::control::command::Digest,
    /// Why the store fails, where it does.
    store: Option<String>,
}

/// What of a backend makes an event when it changes.
#[derive(Debug, PartialEq, Eq)]
struct Health {
    version_suspect: bool,
    panic: bool,
    /// Limits that are reached.
    open: Vec<String>,
    /// Address, verdict, whether it takes requests, why it is ejected.
    endpoints: Vec<(String, String, bool, Option<String>)>,
}

/// Publishes events as long as there is a control plane.
pub async fn follow(app: AppState) {
    let mut changes = app.control.events();
    let mut rollouts = app.rollouts.told();
    let mut told = Told::now(&app);
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            change = changes.recv() => match change {
                Ok(Event::Applied { state, route, from, to }) => {
                    publish_change(&app, &mut told, &state, (route, from, to));
                }
                Ok(Event::ReloadRefused(failure)) => {
                    publish_file(&app, ConfigResult::Refused, Some(failure.text));
                }
                Ok(Event::ReloadUnchanged { recovered: true }) => {
                    publish_file(&app, ConfigResult::Recovered, None);
                }
                Ok(Event::ReloadUnchanged { recovered: false }) => {}
                Ok(Event::StoreFailed(error)) => publish_store(&app, &mut told, Some(error.to_string())),
                Ok(Event::StoreRecovered) => publish_store(&app, &mut told, None),
                Err(RecvError::Lagged(_)) => {
                    told = Told::now(&app);
                    app.events.interrupt();
                }
                Err(RecvError::Closed) => return,
            },
            happened = rollouts.recv() => match happened {
                Ok(happened) => rollouts::publish(&app, &happened),
                Err(RecvError::Lagged(_)) => app.events.interrupt(),
                Err(RecvError::Closed) => return,
            },
            _ = looks.tick() => look(&app, &mut told),
        }
    }
}

fn publish_change(
    app: &AppState,
    told: &mut Told,
    state: &State,
    (route, from, to): (Option<Name>, Value, Value),
) {
    let now = clock::now();
    let at = rfc3339(state.at);
    let scope = route.clone().map_or(Scope::All, |route| Scope::Routes(vec![route]));
    let audit = AuditEvent {
        at: at.clone(),
        revision: state.revision,
        origin: state.origin.clone(),
        action: state.action.to_owned(),
        route,
        from,
        to,
    };
    app.events.publish(Kind::Audit, scope, &audit, now);
    let weights = all_weights(state);
    for (name, weights) in &weights {
        if told.weights.get(name) == Some(weights) {
            continue;
        }
        let event = WeightsEvent {
            at: at.clone(),
            action: state.action.to_owned(),
            origin: state.origin.clone(),
            weights: Weights { revision: state.revision, ..weights.clone() },
        };
        app.events.publish(Kind::Weights, Scope::Routes(vec![name.clone()]), &event, now);
    }
    told.weights = weights;
    if told.digest != state.file.digest {
        told.digest = state.file.digest.clone();
        publish_file(app, ConfigResult::Applied, None);
    }
}

fn publish_file(app: &AppState, result: ConfigResult, error: Option<String>) {
    let state = app.control.state();
    let event = ConfigEvent {
        at: rfc3339(clock::unix_now()),
        result,
        revision: state.revision,
        digest: state.file.digest.clone(),
        error,
        warnings: state.file.warnings.to_string().lines().map(str::to_owned).collect(),
    };
    app.events.publish(Kind::Config, Scope::All, &event, clock::now());
}

/// Tells that the store fails, or works again. Control says so for each change that is refused; for the same reason it is no news.
fn publish_store(app: &AppState, told: &mut Told, error: Option<String>) {
    if told.store == error {
        return;
    }
    told.store.clone_from(&error);
    let state = app.control.state();
    let event = StoreEvent {
        at: rfc3339(clock::unix_now()),
        result: if error.is_some() { StoreResult::Failed } else { StoreResult::Recovered },
        revision: state.revision,
        persisted: state.store.persisted,
        error,
    };
    app.events.publish(Kind::Store, Scope::All, &event, clock::now());
}

/// The look once a second: who does not keep up, what is in another condition, and the traffic.
fn look(app: &AppState, told: &mut Told) {
    let now = clock::now();
    app.events.review(now);
    let state = app.control.state();
    let mut health = BTreeMap::new();
    for backend in backends::all(app, &state) {
        let seen = Health::of(&backend);
        if told.health.get(&backend.name).is_none_or(|before| *before != seen) {
            app.events.publish(Kind::Health, Scope::Routes(backend.routes.clone()), &backend, now);
        }
        health.insert(backend.name, seen);
    }
    told.health = health;
    if app.events.wanted(Kind::Stats) {
        let at = rfc3339(clock::unix_now());
        let all = routes::all(app, &state);
        app.events.publish_stats(|route| stats(&at, &all, route), now);
    }
    rollouts::analyse(app);
}

fn stats(at: &str, all: &[Route], only: Option<&Name>) -> StatsEvent {
    let wanted = all.iter().filter(|route| only.is_none_or(|only| route.name == *only));
    let routes = wanted.map(|route| RouteStats {
        route: route.name.clone(),
        backends: route
            .backends
            .iter()
            .map(|backend| BackendStats {
                backend: backend.name.clone(),
                target_ratio: backend.target_ratio,
                traffic: backend.traffic.clone(),
            })
            .collect(),
    });
    StatsEvent { at: at.to_owned(), routes: routes.collect() }
}

/// The weights of every route, without the revision: a revision alone is no change of weights.
fn all_weights(state: &State) -> BTreeMap<Name, Weights> {
    let describe = |route| Weights { revision: Revision::default(), ..weights::describe(state, route) };
    state.file.config.routes.iter().map(|route| (route.name.clone(), describe(route))).collect()
}

// === impl Told ===

impl Told {
    fn now(app: &AppState) -> Self {
        let state = app.control.state();
        let backends = backends::all(app, &state).into_iter();
        Self {
            weights: all_weights(&state),
            health: backends.map(|backend| (backend.name.clone(), Health::of(&backend))).collect(),
            digest: state.file.digest.clone(),
            store: state.store.error.clone(),
        }
    }
}

// === impl Health ===

impl Health {
    fn of(backend: &Backend) -> Self {
        let condition = &backend.condition;
        let open = condition.circuit_breaker.iter().filter(|limit| limit.open);
        let endpoints = backend.endpoints.iter().map(|endpoint| {
            let cause = endpoint.ejection.as_ref().map(|ejection| ejection.cause.clone());
            (endpoint.address.clone(), endpoint.health.clone(), endpoint.available, cause)
        });
        Self {
            version_suspect: condition.version_suspect,
            panic: condition.panic,
            open: open.map(|limit| limit.limit.clone()).collect(),
            endpoints: endpoints.collect(),
        }
    }
}

//! The state as everybody else sees it: the control file, the overlay on top, and what of it is in force.
//!
//! The overlay is kept as it was accepted, even when the file no longer has the route or backend that it is about: a file
//! that is edited in steps, or rolled back, must not lose weights. What does not fit the file at the moment is *dangling*:
//! not in force, shown in `status`, and back in force when the file has the name again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, model},
    control::{
        command::{ControlFile, Origin},
        refusal::{Refusal, nearest},
    },
    types::{BackendState, Name, Overlay, Revision, RouteOverlay, Stage, Weight},
};

/// What runs, at one revision. Shared, and replaced as a whole.
#[derive(Debug, Clone)]
pub struct State {
    /// The number of the last accepted change.
    pub revision: Revision,
    /// When it was accepted, since the Unix epoch.
    pub at: Duration,
    /// Who made it.
    pub origin: Origin,
    /// What it was: `start`, or the word of a [`Change`](super::Change).
    pub action: &'static str,
    /// The base.
    pub file: Arc<ControlFile>,
    /// The revision at which `file` was taken.
    pub file_revision: Revision,
    /// Every override as it was accepted.
    pub overlay: Arc<Overlay>,
    /// The overrides in force: `overlay` without what is dangling.
    pub effective: Arc<Overlay>,
    /// Overrides that fit nothing in the file.
    pub dangling: Vec<Dangling>,
    /// How the last reload went.
    pub last_reload: LastReload,
    /// How the store is.
    pub store: StoreState,
}

/// An override that fits nothing in the control file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dangling {
    /// The route it is about; `None` for a drain, which is about all.
    pub route: Option<Name>,
    /// The backend it is about; `None` when the route itself is gone.
    pub backend: Option<Name>,
    /// What it would override: `weight`, `kill_switch`, `override`, `drain`, `stage` or `mirror`.
    pub what: String,
    /// What holds meanwhile.
    pub effect: String,
}

/// How the last reload of the control file went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReload {
    /// Whether the file was taken.
    pub ok: bool,
    /// Why not, a line for each reason.
    pub error: Option<String>,
    /// When, since the Unix epoch.
    pub at: Duration,
}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreState {
    /// The data directory; `None` keeps everything in memory.
    pub directory: Option<PathBuf>,
    /// Why the last write failed, when it did.
    pub error: Option<String>,
    /// Whether what is in force is also on disk.
    pub persisted: bool,
}

/// A weight that differs between the file and what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The route.
    pub route: Name,
    /// The backend; `None` for the kill switch.
    pub backend: Option<Name>,
    /// What the file says.
    pub file: String,
    /// What runs.
    pub running: String,
}

// === impl State ===

impl State {
    /// The route of this name.
    ///
    /// # Errors
    /// [`Refusal::UnknownRoute`], with the nearest name.
    pub fn route(&self, name: &str) -> Result<&model::Route, Refusal> {
        let routes = &self.file.config.routes;
        routes.iter().find(|route| route.name.as_str() == name).ok_or_else(|| Refusal::UnknownRoute {
            route: name.to_owned(),
            suggestion: nearest(name, routes.iter().map(|route| &route.name)),
            known: routes.iter().map(|route| route.name.clone()).collect(),
        })
    }

    /// The weights in force of `route`, in the order of the file.
    #[must_use]
    pub fn weights(&self, route: &model::Route) -> Vec<(Name, Weight)> {
        weights(route, self.effective.routes.get(&route.name))
    }

    /// Whether each backend of `route` takes users, in the order of the file.
    #[must_use]
    pub fn standings(&self, route: &model::Route) -> Vec<BackendState> {
        route.split.backends.iter().map(|backend| standing(backend, &self.effective.drains)).collect()
    }

    /// The stage of the rollout that has `route`.
    #[must_use]
    pub fn stage(&self, route: &Name) -> Option<&Stage> {
        self.effective.routes.get(route)?.stage.as_ref()
    }

    /// The backend that takes everything on `route`, while its kill switch is on.
    #[must_use]
    pub fn kill_switch(&self, route: &Name) -> Option<&Name> {
        self.effective.routes.get(route)?.kill_switch.as_ref()
    }

    /// Where what runs differs from the control file.
    #[must_use]
    pub fn drift(&self) -> Vec<Drift> {
        let mut drift = Vec::new();
        for route in &self.file.config.routes {
            let file = route.split.backends.iter().map(|backend| backend.weight);
            for ((name, running), file) in self.weights(route).into_iter().zip(file) {
                if running != file {
                    drift.push(Drift {
                        route: route.name.clone(),
                        backend: Some(name),
                        file: file.to_string(),
                        running: running.to_string(),
                    });
                }
            }
            if let Some(backend) = self.kill_switch(&route.name) {
                drift.push(Drift {
                    route: route.name.clone(),
                    backend: None,
                    file: "kill switch off".to_owned(),
                    running: format!("kill switch to {backend}"),
                });
            }
            let overrides = self.effective.routes.get(&route.name).map_or(0, |o| o.overrides.len());
            if overrides > 0 {
                drift.push(Drift {
                    route: route.name.clone(),
                    backend: None,
                    file: "no users with an override".to_owned(),
                    running: format!("users with an override: {overrides}"),
                });
            }
            let standings = self.standings(route).into_iter().zip(&route.split.backends);
            drift.extend(standings.filter(|(running, file)| *running != file.state).map(
                |(running, file)| Drift {
                    route: route.name.clone(),
                    backend: Some(file.name.clone()),
                    file: file.state.as_str().to_owned(),
                    running: running.as_str().to_owned(),
                },
            ));
        }
        drift
    }
}

/// The weights of `route` with `overlay` on top, in the order of the file.
pub(super) fn weights(route: &model::Route, overlay: Option<&RouteOverlay>) -> Vec<(Name, Weight)> {
    let overridden = |name: &Name| overlay.and_then(|overlay| overlay.weights.get(name)).copied();
    let backends = route.split.backends.iter();
    backends.map(|b| (b.name.clone(), overridden(&b.name).unwrap_or(b.weight))).collect()
}

// === impl Dangling ===

impl fmt::Display for Dangling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}", self.what.replace('_', " "))?;
        if let Some(backend) = &self.backend {
            write!(f, " of `{backend}`")?;
        }
        if let Some(route) = &self.route {
            write!(f, " on route `{route}`")?;
        }
        write!(f, " fits nothing: {}", self.effect)
    }
}

/// Whether `weights` leave no backend that takes new users.
pub(super) fn takes_nobody(
    route: &model::Route,
    weights: &[(Name, Weight)],
    drains: &BTreeSet<Name>,
) -> bool {
    let mut backends = route.split.backends.iter().zip(weights);
    backends
        .all(|(backend, (_, weight))| standing(backend, drains) != BackendState::Active || weight.is_zero())
}

/// Whether a backend of a split takes users: what the file says, or a drain of the overlay.
fn standing(backend: &model::SplitBackend, drains: &BTreeSet<Name>) -> BackendState {
    match backend.state {
        BackendState::Active if drains.contains(&backend.name) => BackendState::Drain,
        state => state,
    }
}

/// A route that would have nobody who takes new users once `backend` is drained by `overlay`.
pub(super) fn stopped_by<'c>(config: &'c Config, overlay: &Overlay, backend: &Name) -> Option<&'c Name> {
    let stopped = |route: &&model::Route| {
        let overrides = overlay.routes.get(&route.name);
        route.split.backends.iter().any(|known| known.name == *backend)
            && takes_nobody(route, &weights(route, overrides), &overlay.drains)
    };
    config.routes.iter().find(stopped).map(|route| &route.name)
}

/// Parts `overlay` into what fits `config` and what does not.
///
/// Weights that would leave a split with nothing but zeros are left out as a whole, and a kill switch whose backend left
/// the split goes to the baseline: a reload must neither stop a route nor silently let traffic back to a killed backend.
#[must_use]
pub fn resolve(config: &Config, overlay: &Overlay) -> (Overlay, Vec<Dangling>) {
    let mut effective = Overlay::default();
    let mut dangling = Vec::new();
    for (name, wanted) in &overlay.routes {
        let mut report = |backend: Option<&Name>, what: &str, effect: &str| {
            let (route, backend) = (Some(name.clone()), backend.cloned());
            dangling.push(Dangling { route, backend, what: what.to_owned(), effect: effect.to_owned() });
        };
        let Some(route) = config.routes.iter().find(|route| route.name == *name) else {
            for (what, is_there) in [
                ("weight", !wanted.weights.is_empty()),
                ("kill_switch", wanted.kill_switch.is_some()),
                ("override", !wanted.overrides.is_empty()),
                ("stage", wanted.stage.is_some()),
            ] {
                if is_there {
                    report(None, what, "kept until the file has the route again");
                }
            }
            continue;
        };
        let mut kept = resolve_route(route, wanted, &mut report);
        kept.stage = resolve_stage(config, route, wanted, &mut report);
        if !kept.is_empty() {
            effective.routes.insert(name.clone(), kept);
        }
    }
    dangling
        .extend(overlay.drains.iter().filter_map(|backend| resolve_drain(config, &mut effective, backend)));
    (effective, dangling)
}

/// Takes a backend, what of it does not fit, and what holds meanwhile.
type Report<'r> = dyn FnMut(Option<&Name>, &str, &str) + 'r;

/// What of a route's overlay fits its split, but for the stage.
fn resolve_route(route: &model::Route, wanted: &RouteOverlay, report: &mut Report<'_>) -> RouteOverlay {
    let mut kept = RouteOverlay { epoch: wanted.epoch, ..RouteOverlay::default() };
    for (backend, weight) in &wanted.weights {
        if in_split(route, backend) {
            kept.weights.insert(backend.clone(), *weight);
        } else {
            report(Some(backend), "weight", "kept until the split has the backend again");
        }
    }
    if takes_nobody(route, &weights(route, Some(&kept)), &BTreeSet::new()) && !kept.weights.is_empty() {
        kept.weights = BTreeMap::new();
        report(None, "weight", "the file's weights hold, because all others would be zero");
    }
    for (key, backend) in &wanted.overrides {
        if in_split(route, backend) {
            kept.overrides.insert(key.clone(), backend.clone());
        } else {
            report(Some(backend), "override", "kept until the split has the backend again");
        }
    }
    kept.kill_switch = match &wanted.kill_switch {
        Some(backend) if !in_split(route, backend) => {
            report(Some(backend), "kill_switch", "everything goes to the baseline instead");
            route.split.backends.first().map(|baseline| baseline.name.clone())
        }
        other => other.clone(),
    };
    kept
}

/// The stage of a route, if both versions and every segment of it are there. Without it nobody is an audience, and weights alone decide.
fn resolve_stage(
    config: &Config,
    route: &model::Route,
    wanted: &RouteOverlay,
    report: &mut Report<'_>,
) -> Option<Stage> {
    let mut stage = wanted.stage.clone()?;
    let gone = [&stage.baseline, &stage.canary].into_iter().find(|version| !in_split(route, version));
    if gone.is_some() {
        report(gone, "stage", "the split does not have the backend; the rollout cannot go on");
        return None;
    }
    if let Some(segment) = stage.segments.iter().find(|segment| !config.segments.contains_key(*segment)) {
        let effect = format!("there is no segment `{segment}` any more; the rollout cannot go on");
        report(None, "stage", &effect);
        return None;
    }
    let other = route.policy.mirror.as_ref().filter(|mirror| mirror.backend != stage.canary);
    if let (Some(other), Some(_)) = (other, stage.mirror) {
        let effect = format!("the file mirrors the route to `{}` already", other.backend);
        report(Some(&stage.canary), "mirror", &effect);
        stage.mirror = None;
    }
    Some(stage)
}

fn in_split(route: &model::Route, backend: &Name) -> bool {
    route.split.backends.iter().any(|known| known.name == *backend)
}

/// Adds a drain to what is in force, if it fits.
fn resolve_drain(config: &Config, effective: &mut Overlay, backend: &Name) -> Option<Dangling> {
    let effect = if config.backends.contains_key(backend) {
        effective.drains.insert(backend.clone());
        let route = stopped_by(config, effective, backend)?;
        effective.drains.remove(backend);
        format!("it is the only one that takes new users on route `{route}`")
    } else {
        "kept until the file has the backend again".to_owned()
    };
    Some(Dangling { route: None, backend: Some(backend.clone()), what: "drain".to_owned(), effect })
}

//! What a command does to the state, as a pure function: decide first, act second.

mod restore;
mod stage;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    config::{Config, model},
    control::{
        command::{Change, ControlFile, WeightChange},
        refusal::{BootChange, Refusal, nearest},
        state::{self, State},
    },
    types::{Name, Overlay, RouteOverlay, Weight},
};

/// Users with an override on a route; beyond that a rule of the control file is the better tool.
const OVERRIDES: usize = 1000;
/// The longest key of an override, in bytes.
pub const OVERRIDE_KEY: usize = 256;

/// What a command would do.
#[derive(Debug)]
pub(super) struct Plan {
    /// The control file afterwards.
    pub(super) file: Arc<ControlFile>,
    /// The overlay afterwards.
    pub(super) overlay: Overlay,
    /// Whether anything would be different.
    pub(super) changed: bool,
    /// The route it is about.
    pub(super) route: Option<Name>,
    /// What it was, for the audit.
    pub(super) from: Value,
    /// What it will be, for the audit.
    pub(super) to: Value,
    /// What the sender should know.
    pub(super) warnings: Vec<String>,
}

/// What `change` would do to `state`.
pub(super) fn plan(state: &State, change: &Change) -> Result<Plan, Refusal> {
    match change {
        Change::Reload(file) => reload(state, file),
        Change::SetWeights { route, weights, pause_rollout } => {
            let route = split_route(state, route)?;
            if !pause_rollout {
                stage::no_rollout_on(state, &route.name)?;
            }
            set_weights(state, route, weights)
        }
        Change::SetStages(routes) => stage::set_stages(state, routes),
        Change::Kill { route, backend } => kill(state, split_route(state, route)?, backend.as_deref()),
        Change::Unkill { route } => Ok(unkill(state, state.route(route)?)),
        Change::SetOverride { route, key, backend } => {
            set_override(state, split_route(state, route)?, (key, Some(backend)))
        }
        Change::RemoveOverride { route, key } => set_override(state, state.route(route)?, (key, None)),
        Change::Drain { backend } => drain(state, backend, true),
        Change::Undrain { backend } => drain(state, backend, false),
        Change::DropOverlay { route } => drop_overlay(state, route),
        Change::Restore(target) => {
            let routes = &state.file.config.routes;
            routes.iter().try_for_each(|route| stage::no_rollout_on(state, &route.name))?;
            Ok(restore::restore(state, target))
        }
    }
}

/// The route and the backend of its split that have these names.
///
/// # Errors
/// When there is none of that name.
pub fn of_split(state: &State, route: &str, backend: &str) -> Result<(Name, Name), Refusal> {
    let route = split_route(state, route)?;
    Ok((route.name.clone(), self::backend(route, backend)?))
}

/// The route of this name, which has a split.
fn split_route<'s>(state: &'s State, name: &str) -> Result<&'s model::Route, Refusal> {
    let route = state.route(name)?;
    if route.split.backends.is_empty() {
        return Err(Refusal::NoSplit { route: route.name.clone() });
    }
    Ok(route)
}

fn reload(state: &State, file: &Arc<ControlFile>) -> Result<Plan, Refusal> {
    let changes = boot_changes(&state.file.config, &file.config);
    if !changes.is_empty() {
        return Err(Refusal::BootSetting(changes));
    }
    Ok(Plan {
        file: Arc::clone(file),
        overlay: Overlay::clone(&state.overlay),
        changed: file.digest != state.file.digest,
        route: None,
        from: json!(state.file.digest),
        to: json!(file.digest),
        warnings: file.warnings.to_string().lines().map(str::to_owned).collect(),
    })
}

/// Settings that are read once at start (standing decision 4).
fn boot_changes(running: &Config, wanted: &Config) -> Vec<BootChange> {
    let settings = boot_settings(running).into_iter().zip(boot_settings(wanted));
    settings
        .filter(|((_, running), (_, wanted))| running != wanted)
        .map(|((setting, running), (_, wanted))| BootChange { setting, running, wanted })
        .collect()
}

/// The admin API's socket and who may do what over it, as one text.
fn socket(admin: &model::Admin) -> String {
    let Some(socket) = &admin.socket else { return "none".to_owned() };
    let mode = socket.mode.map_or_else(String::new, |mode| format!(", mode {mode:04o}"));
    let uids = socket.uids.iter().map(|(uid, role)| format!(", {uid}: {}", role.as_str()));
    format!("{}{mode}{}", socket.path.display(), uids.collect::<String>())
}

/// The admin API's TLS and who may do what by a certificate, as one text.
fn tls(admin: &model::Admin) -> String {
    let Some(tls) = &admin.tls else { return "none".to_owned() };
    let files = &tls.certificate;
    let clients = tls.clients.iter().flat_map(|clients| {
        let each = clients.roles.iter().map(|client| {
            let ((key, name), routes) = (client.says.parts(), client.routes.iter());
            let routes = routes.map(|route| format!(" {route}")).collect::<String>();
            format!(", {key} {name}: {}{routes}", client.role.as_str())
        });
        std::iter::once(format!(", clients of {}", clients.ca_file.display())).chain(each)
    });
    let (cert, key) = (files.cert_file.display(), files.key_file.display());
    format!("{cert}, {key}, {}{}", tls.min_version.as_str(), clients.collect::<String>())
}

/// Each of them, and what it is.
fn boot_settings(config: &Config) -> Vec<(&'static str, String)> {
    let path = |path: &Option<std::path::PathBuf>, none: &str| {
        path.as_ref().map_or_else(|| none.to_owned(), |path| path.display().to_string())
    };
    let admin = &config.admin;
    vec![
        ("admin.bind", admin.bind.to_string()),
        ("admin.hosts", format!("[{}]", admin.hosts.join(", "))),
        ("admin.public_url", admin.public_url.clone().unwrap_or_else(|| "none".to_owned())),
        ("admin.tokens", path(&admin.tokens, "none")),
        ("admin.socket", socket(admin)),
        ("admin.tls", tls(admin)),
        ("admin.insecure", admin.insecure.to_string()),
        ("admin.metrics", admin.metrics.as_str().to_owned()),
        ("admin.max_failures", admin.max_failures.to_string()),
        ("admin.require_if_match", admin.require_if_match.to_string()),
        ("data_dir", path(&config.data_dir, "default")),
        ("store.revisions", config.store.revisions.to_string()),
        ("workers", config.workers.to_string()),
    ]
}

fn set_weights(state: &State, route: &model::Route, change: &WeightChange) -> Result<Plan, Refusal> {
    let before = state.weights(route);
    let mut wanted = state.overlay.routes.get(&route.name).cloned().unwrap_or_default();
    let mut gives_back = false;
    match change {
        WeightChange::Replace(weights) => {
            let named = weights
                .iter()
                .map(|(name, weight)| Ok((backend(route, name)?, *weight)))
                .collect::<Result<BTreeMap<_, _>, Refusal>>()?;
            let missing: Vec<_> = before
                .iter()
                .map(|(name, _)| name)
                .filter(|name| !named.contains_key(*name))
                .cloned()
                .collect();
            if !missing.is_empty() {
                return Err(Refusal::MissingBackends { route: route.name.clone(), missing });
            }
            wanted.weights = named;
        }
        WeightChange::Patch(weights) if weights.is_empty() => {
            return Err(Refusal::NoWeights { route: route.name.clone() });
        }
        WeightChange::Patch(weights) => {
            for (name, weight) in weights {
                let name = backend(route, name)?;
                match weight {
                    Some(weight) => wanted.weights.insert(name, *weight),
                    None => wanted.weights.remove(&name).inspect(|_| gives_back = true),
                };
            }
        }
    }
    let after = state::weights(route, Some(&wanted));
    if state::takes_nobody(route, &after, &state.effective.drains) {
        return Err(Refusal::AllZero { route: route.name.clone() });
    }
    let takes_over = stage::take_over(state, route, (&mut wanted, before != after));
    let killed = state.kill_switch(&route.name);
    let warnings = killed.map(|to| {
        format!("the kill switch of `{}` sends everything to `{to}`; weights hold when it is off", route.name)
    });
    // Weights equal to those in force are no change, even where the file, not the overlay, made them so.
    Ok(Plan {
        changed: gives_back || before != after || takes_over,
        from: json_weights(&before),
        to: json_weights(&after),
        warnings: warnings.into_iter().collect(),
        ..with_route(state, route, wanted)
    })
}

fn kill(state: &State, route: &model::Route, to: Option<&str>) -> Result<Plan, Refusal> {
    let to = match to {
        Some(name) => backend(route, name)?,
        None => baseline(route),
    };
    let before = state.overlay.routes.get(&route.name).cloned().unwrap_or_default();
    let changed = before.kill_switch.as_ref() != Some(&to);
    let mut wanted = before.clone();
    if changed {
        wanted.kill_switch = Some(to.clone());
        // Pinned users must not come back to what was killed when the switch is off again.
        wanted.epoch = wanted.epoch.saturating_add(1);
    }
    Ok(Plan { changed, from: json!(before.kill_switch), to: json!(to), ..with_route(state, route, wanted) })
}

fn unkill(state: &State, route: &model::Route) -> Plan {
    let before = state.overlay.routes.get(&route.name).cloned().unwrap_or_default();
    let changed = before.kill_switch.is_some();
    let from = json!(before.kill_switch);
    let wanted = RouteOverlay { kill_switch: None, ..before };
    Plan { changed, from, to: Value::Null, ..with_route(state, route, wanted) }
}

/// Gives the user of this key a backend, or takes it back.
fn set_override(
    state: &State,
    route: &model::Route,
    (key, wanted): (&str, Option<&str>),
) -> Result<Plan, Refusal> {
    let wanted = wanted.map(|wanted| backend(route, wanted)).transpose()?;
    let mut overlay = state.overlay.routes.get(&route.name).cloned().unwrap_or_default();
    let before = overlay.overrides.get(key).cloned();
    match &wanted {
        Some(_) if key.is_empty() || key.len() > OVERRIDE_KEY => {
            return Err(Refusal::OverrideKey { limit: OVERRIDE_KEY });
        }
        Some(_) if before.is_none() && overlay.overrides.len() == OVERRIDES => {
            return Err(Refusal::TooManyOverrides { route: route.name.clone(), limit: OVERRIDES });
        }
        Some(wanted) => drop(overlay.overrides.insert(key.to_owned(), wanted.clone())),
        None => drop(overlay.overrides.remove(key)),
    }
    Ok(Plan {
        changed: before != wanted,
        from: json!({ key: before }),
        to: json!({ key: wanted }),
        ..with_route(state, route, overlay)
    })
}

/// Lets a backend take new users again, or no more.
fn drain(state: &State, name: &str, on: bool) -> Result<Plan, Refusal> {
    let config = &state.file.config;
    // What left the file can still be forgotten.
    let dangling = state.overlay.drains.iter().find(|drained| drained.as_str() == name && !on);
    let known = || config.backends.keys();
    let name =
        known().find(|known| known.as_str() == name).or(dangling).ok_or_else(|| Refusal::NoSuchBackend {
            backend: name.to_owned(),
            suggestion: nearest(name, known()),
            known: known().cloned().collect(),
        })?;
    let mut overlay = Overlay::clone(&state.overlay);
    let changed = if on { overlay.drains.insert(name.clone()) } else { overlay.drains.remove(name) };
    if on && let Some(route) = state::stopped_by(config, &overlay, name) {
        return Err(Refusal::LastBackend { route: route.clone(), backend: name.clone() });
    }
    let word = |drained: bool| json!({ name.as_str(): if drained { "drain" } else { "active" } });
    Ok(Plan { changed, overlay, from: word(on ^ changed), to: word(on), ..unchanged(state, None) })
}

/// Gives the file its say again about a route: its weights hold and nobody has an override. A kill switch stays on, because nobody lets
/// traffic back to a killed version in passing; it goes only with a route that is not in the file.
fn drop_overlay(state: &State, name: &str) -> Result<Plan, Refusal> {
    let found = state.overlay.routes.iter().find(|(route, _)| route.as_str() == name);
    let in_file = state.route(name);
    let Some((route, before)) = found else {
        let route = &in_file?.name;
        return Ok(unchanged(state, Some(route)));
    };
    stage::no_rollout_on(state, route)?;
    let mut warnings = Vec::new();
    let mut after = RouteOverlay { epoch: before.epoch, ..RouteOverlay::default() };
    if in_file.is_ok() {
        after.kill_switch.clone_from(&before.kill_switch);
        after.left.clone_from(&before.left);
        let killed = after.kill_switch.as_ref();
        warnings.extend(killed.map(|to| {
            format!("the kill switch of `{route}` stays on and sends everything to `{to}`; `weir unkill {route}` ends it")
        }));
    } else {
        after.epoch = 0;
    }
    let told = |overlay: &RouteOverlay| json!({ "weights": overlay.weights, "kill_switch": overlay.kill_switch, "overrides": overlay.overrides });
    let mut overlay = Overlay::clone(&state.overlay);
    let changed = after != *before;
    let (from, to) = (told(before), told(&after));
    put(&mut overlay, route, after);
    Ok(Plan { changed, overlay, from, to, warnings, ..unchanged(state, Some(route)) })
}

/// A plan that changes nothing.
fn unchanged(state: &State, route: Option<&Name>) -> Plan {
    Plan {
        file: Arc::clone(&state.file),
        overlay: Overlay::clone(&state.overlay),
        changed: false,
        route: route.cloned(),
        from: Value::Null,
        to: Value::Null,
        warnings: Vec::new(),
    }
}

/// Gives `route` this overlay.
fn put(overlay: &mut Overlay, route: &Name, wanted: RouteOverlay) {
    if wanted.is_empty() {
        overlay.routes.remove(route);
    } else {
        overlay.routes.insert(route.clone(), wanted);
    }
}

/// A plan that leaves the file alone and gives `route` this overlay.
fn with_route(state: &State, route: &model::Route, wanted: RouteOverlay) -> Plan {
    let mut overlay = Overlay::clone(&state.overlay);
    put(&mut overlay, &route.name, wanted);
    Plan { overlay, ..unchanged(state, Some(&route.name)) }
}

/// The backend of the split with this name.
fn backend(route: &model::Route, name: &str) -> Result<Name, Refusal> {
    let backends = || route.split.backends.iter().map(|backend| &backend.name);
    backends().find(|backend| backend.as_str() == name).cloned().ok_or_else(|| Refusal::UnknownBackend {
        route: route.name.clone(),
        backend: name.to_owned(),
        suggestion: nearest(name, backends()),
        known: backends().cloned().collect(),
    })
}

/// The first backend of the split.
fn baseline(route: &model::Route) -> Name {
    route.split.backends.first().expect("a valid split has a backend").name.clone()
}

fn json_weights(weights: &[(Name, Weight)]) -> Value {
    weights
        .iter()
        .map(|(name, weight)| (name.to_string(), json!(weight)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

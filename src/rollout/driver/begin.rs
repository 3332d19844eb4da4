//! How rollouts begin: by command, by a new version in the control file, once more, and after a restart.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Active, Driver, StartError, StartRequest, Told, now_ms, traffic, watch};
use crate::{
    config::model::rollout::{OnNewVersion, StartOn},
    control::{
        State,
        store::{StoreError, rollouts::KeptRollout},
    },
    rollout::machine::{By, Event, OnceKey, Rollout, Start},
    types::Name,
};

/// Rollouts that are over and still shown.
const SHOWN: usize = 500;

// === impl Driver ===

impl Driver {
    /// Takes up what the journal has. One that cannot be read keeps nothing from starting, but then nobody knows what became of
    /// the canaries that have traffic: they are withdrawn.
    pub(super) async fn load(&mut self) {
        let journal = self.context.control.journal().clone();
        let read = async { Ok::<_, StoreError>((journal.rollouts().await?, journal.versions().await?)) };
        match read.await {
            Ok((kept, versions)) => self.take_up(kept, versions),
            Err(error) => {
                self.problem(format!("what is kept of rollouts cannot be read, so none goes on: {error}"));
                self.versions = versions(&self.context.control.state());
                traffic::withdraw_all(&self.context);
            }
        }
    }

    fn take_up(&mut self, kept: Vec<KeptRollout>, versions: BTreeMap<Name, Option<String>>) {
        self.versions = versions;
        if kept.is_empty() && self.versions.is_empty() {
            // A first start rolls nothing out: what the file says now is what runs.
            self.versions = self::versions(&self.context.control.state());
            self.keep_versions();
        }
        for kept in kept {
            let Ok(rollout) = serde_json::from_str::<Rollout>(&kept.state) else {
                self.problem(format!(
                    "rollout {} was written by another version of Weir and is left alone",
                    kept.id
                ));
                continue;
            };
            let down = Duration::from_millis(now_ms().saturating_sub(rollout.at_ms));
            let id = rollout.id.clone();
            let mut active = Active::resumed(rollout, &kept.evidence);
            if active.is_over() {
                self.over.push(Arc::new(active.rollout));
                continue;
            }
            active.step(&Event::Restarted(down), now_ms());
            self.active.insert(id, active);
        }
    }

    /// Starts a rollout. One that takes another's place waits for its end.
    pub(super) fn start(&mut self, request: StartRequest) -> Result<Arc<Rollout>, StartError> {
        self.check(&request)?;
        let others = self.under_way(&request.routes);
        if let Some((route, rollout)) = others.first().cloned()
            && !request.supersede
        {
            return Err(StartError::UnderWay { route, rollout });
        }
        let rollout = self.begin_after(request, others.into_iter().map(|(_, id)| id).collect());
        for other in &rollout.after {
            self.step(other, &Event::Superseded(rollout.id.clone()));
        }
        Ok(rollout)
    }

    /// The same rollout once more.
    pub(super) fn retry(&mut self, id: &str, by: &By) -> Result<Arc<Rollout>, StartError> {
        let Some(before) = self.over.iter().find(|rollout| rollout.id == id).cloned().or_else(|| {
            let active = self.active.get(id)?;
            active.rollout.phase.is_over().then(|| Arc::new(active.rollout.clone()))
        }) else {
            let active = self.active.contains_key(id);
            return Err(if active {
                StartError::NotOver(id.to_owned())
            } else {
                StartError::Unknown(id.to_owned())
            });
        };
        let again = before.again(new_id(), by.actor.clone(), now_ms());
        let request = StartRequest {
            routes: again.routes.clone(),
            plan: again.plan.clone(),
            by: by.clone(),
            supersede: false,
        };
        self.check(&request)?;
        match self.under_way(&request.routes).into_iter().next() {
            Some((route, rollout)) => Err(StartError::UnderWay { route, rollout }),
            None => Ok(self.insert(again)),
        }
    }

    /// Begins what a request asks for, unless a request with its key did so before.
    pub(super) fn once(
        &mut self,
        once: Option<OnceKey>,
        begin: impl FnOnce(&mut Self) -> Result<Arc<Rollout>, StartError>,
    ) -> Result<Arc<Rollout>, StartError> {
        let Some(once) = once else { return begin(self) };
        let under_way = self.active.values().map(|active| Arc::new(active.rollout.clone()));
        let mut known = under_way.chain(self.over.iter().cloned());
        let same = known.find(|rollout| rollout.once.as_ref().is_some_and(|known| known.key == once.key));
        if let Some(rollout) = same {
            let is_same = rollout.once.as_ref() == Some(&once);
            return if is_same { Ok(rollout) } else { Err(StartError::KeyReused(rollout.id.clone())) };
        }
        let begun = begin(self)?;
        if let Some(active) = self.active.get_mut(&begun.id) {
            active.rollout.once = Some(once);
        }
        Ok(begun)
    }

    /// Begins, once `others` are over.
    fn begin_after(&mut self, request: StartRequest, others: Vec<String>) -> Arc<Rollout> {
        self.insert(Rollout::new(Start {
            id: new_id(),
            routes: request.routes,
            plan: request.plan,
            by: request.by.actor,
            why: request.by.reason,
            at_ms: now_ms(),
            after: others,
        }))
    }

    fn insert(&mut self, rollout: Rollout) -> Arc<Rollout> {
        // Whatever of these routes was promoted before can no longer be undone.
        let shares_route = |other: &Rollout| other.routes.iter().any(|route| rollout.routes.contains(route));
        for active in self.active.values_mut() {
            if active.rollout.phase.is_over() && shares_route(&active.rollout) {
                active.rollout.age = active.rollout.plan.keep_baseline;
            }
        }
        let shown = Arc::new(rollout.clone());
        // Without listeners there is nobody to tell.
        let _ = self.told.send(Told { rollout: Arc::clone(&shown), entry: None });
        self.active.insert(rollout.id.clone(), Active::new(rollout));
        shown
    }

    /// The rollout that has to be over before this one begins.
    pub(super) fn behind(&self, id: &str) -> Option<String> {
        let active = self.active.get(id)?;
        let goes_on =
            |other: &&String| self.active.get(*other).is_some_and(|other| !other.rollout.phase.is_over());
        active.rollout.after.iter().find(goes_on).cloned()
    }

    /// Those that are under way on any of these routes, or about to begin there.
    fn under_way(&self, routes: &[Name]) -> Vec<(Name, String)> {
        let all =
            self.active.values().map(|active| &active.rollout).filter(|rollout| !rollout.phase.is_over());
        let on = |rollout: &Rollout| {
            let route = rollout.routes.iter().find(|route| routes.contains(route))?;
            Some((route.clone(), rollout.id.clone()))
        };
        all.filter_map(on).collect()
    }

    /// Whether the routes are what the plan needs.
    fn check(&self, request: &StartRequest) -> Result<(), StartError> {
        let state = self.context.control.state();
        if request.routes.is_empty() {
            return Err(StartError::Unfit("a rollout needs a route".to_owned()));
        }
        for name in &request.routes {
            let unfit = |why: String| Err(StartError::Unfit(why));
            let Ok(route) = state.route(name.as_str()) else {
                return unfit(format!("there is no route `{name}`"));
            };
            for backend in [&request.plan.baseline, &request.plan.canary] {
                if !route.split.backends.iter().any(|known| known.name == *backend) {
                    return unfit(format!("backend `{backend}` is not in the split of route `{name}`"));
                }
            }
            let weights = state.weights(route);
            let has_traffic =
                |backend: &Name| weights.iter().any(|(name, weight)| name == backend && !weight.is_zero());
            if !has_traffic(&request.plan.baseline) {
                let (baseline, canary) = (&request.plan.baseline, &request.plan.canary);
                return unfit(format!(
                    "`{baseline}` has no traffic on route `{name}` that `{canary}` could take over; let the plan's baseline be the backend \
                     that has it, or give the control file its say again with `weir overlay drop {name}`"
                ));
            }
            if let Some(to) = state.kill_switch(name) {
                return unfit(format!("the kill switch of route `{name}` sends everything to `{to}`"));
            }
        }
        Ok(())
    }

    /// Starts what has a new version in the control file.
    pub(super) fn begin_new_versions(&mut self, state: &State) {
        let new = versions(state);
        if new == self.versions {
            return;
        }
        let before = std::mem::replace(&mut self.versions, new);
        self.keep_versions();
        let mut begun: Vec<Name> = Vec::new();
        for route in &state.file.config.routes {
            let Some(plan) = &route.rollout else { continue };
            let is_new = plan.version.is_some() && before.get(&route.name) != Some(&plan.version);
            if !is_new || plan.start != StartOn::Version || begun.contains(&route.name) {
                continue;
            }
            let routes = watch::group(state, route);
            begun.extend(routes.iter().cloned());
            let request = StartRequest {
                routes,
                plan: (**plan).clone(),
                by: By { actor: state.origin.actor.clone(), reason: state.origin.reason.clone() },
                supersede: plan.on_new_version == OnNewVersion::Supersede,
            };
            match self.start(request.clone()) {
                Ok(_) => {}
                Err(StartError::UnderWay { .. }) => {
                    // It begins when those under way have ended by themselves.
                    let others = self.under_way(&request.routes).into_iter().map(|(_, id)| id).collect();
                    self.begin_after(request, others);
                }
                Err(error) => {
                    let version = plan.version.as_deref().unwrap_or_default();
                    self.problem(format!(
                        "version {version} of route `{}` was not rolled out: {error}",
                        route.name
                    ));
                }
            }
        }
    }

    fn keep_versions(&self) {
        let (journal, versions) = (self.context.control.journal().clone(), self.versions.clone());
        // When this is lost, the next start sees the same difference again.
        tokio::spawn(async move { drop(journal.set_versions(versions).await) });
    }

    /// Puts aside those to which nothing can happen any more.
    pub(super) fn retire(&mut self) {
        let done: Vec<String> =
            self.active.iter().filter(|(_, active)| active.is_over()).map(|(id, _)| id.clone()).collect();
        for id in done {
            if let Some(active) = self.active.remove(&id) {
                self.over.insert(0, Arc::new(active.rollout));
            }
        }
        self.over.truncate(SHOWN);
    }
}

/// The version of each route's plan.
fn versions(state: &State) -> BTreeMap<Name, Option<String>> {
    let routes = state.file.config.routes.iter();
    routes.filter_map(|route| Some((route.name.clone(), route.rollout.as_ref()?.version.clone()))).collect()
}

/// An id that nobody has: a random number.
fn new_id() -> String {
    format!("r-{:06x}", rand::random::<u32>() & 0xff_ffff)
}

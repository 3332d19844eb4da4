//! A rollout that is under way, with what it needs while it is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Context, Message, keep::Unwritten};
use crate::{
    config::{self, model::rollout::Check},
    rollout::{
        judge::{Answer, Assessment, Circumstances, Decision, Judge},
        machine::{self, Entry, Event, Phase, Rollout, Target, Tick, Turn},
        observe::Observer,
        outside::Outside,
        reason::{Reason, Verdict},
        sums::Pair,
    },
    telemetry::Trial,
    types::{Fraction, Name, Stage, clock},
};

/// How long a request is waited for before it is compared without its end, on a route that sets no timeout for responses.
const HORIZON: Duration = Duration::from_secs(15);

/// How long the applier is left alone after it refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// A rollout that something can still happen to.
pub(super) struct Active {
    pub(super) rollout: Rollout,
    judges: BTreeMap<Name, Judge>,
    watched: BTreeMap<Name, Watched>,
    /// The stage that the applier was asked for and has not answered for yet.
    pub(super) applying: Option<u32>,
    /// When it refused.
    pub(super) refused: Option<Instant>,
    /// What the journal does not have yet.
    pub(super) unwritten: Unwritten,
    /// Those that ask others what they think of the canary.
    askers: JoinSet<()>,
    /// What was last seen, for people.
    pub(super) assessments: BTreeMap<Name, Assessment>,
    pub(super) checkpoint: Instant,
}

/// The notes of a route.
struct Watched {
    trial: Arc<Trial>,
    observer: Observer,
}

// === impl Active ===

impl Active {
    pub(super) fn new(rollout: Rollout) -> Self {
        let judge = Judge::new(&rollout.plan.analysis);
        let judges = rollout.routes.iter().map(|route| (route.clone(), judge.clone())).collect();
        Self::with(rollout, judges)
    }

    /// One that was kept, with what its gates had gathered.
    pub(super) fn resumed(rollout: Rollout, evidence: &str) -> Self {
        let mut judges: BTreeMap<Name, Judge> = serde_json::from_str(evidence).unwrap_or_default();
        for route in &rollout.routes {
            let judge = judges.entry(route.clone()).or_insert_with(|| Judge::new(&rollout.plan.analysis));
            judge.resume();
        }
        let mut active = Self::with(rollout, judges);
        active.unwritten = Unwritten::read(active.rollout.traffic.stage);
        active
    }

    fn with(rollout: Rollout, judges: BTreeMap<Name, Judge>) -> Self {
        Self {
            rollout,
            judges,
            watched: BTreeMap::new(),
            applying: None,
            refused: None,
            unwritten: Unwritten::default(),
            askers: JoinSet::new(),
            assessments: BTreeMap::new(),
            checkpoint: clock::now(),
        }
    }

    /// What its gates have gathered, for the journal.
    pub(super) fn evidence(&self) -> String {
        serde_json::to_string(&self.judges).unwrap_or_default()
    }

    /// What was seen on a route since its stage began.
    pub(super) fn seen(&self, route: &Name) -> Option<&Pair> {
        self.judges.get(route).map(Judge::stage)
    }

    /// Whether nothing more can happen to it.
    pub(super) fn is_over(&self) -> bool {
        let may_be_undone =
            self.rollout.phase == Phase::Promoted && self.rollout.age < self.rollout.plan.keep_baseline;
        let waits =
            self.rollout.hooks.iter().any(|hook| {
                matches!(hook.status, machine::HookStatus::Due(_) | machine::HookStatus::Running)
            });
        self.rollout.phase.is_over() && !may_be_undone && !waits && self.unwritten.is_empty()
    }

    /// Looks at what came of its requests.
    pub(super) fn look(&mut self, context: &Context, elapsed: Duration, behind: Option<String>) -> Tick {
        let state = context.control.state();
        for route in self.rollout.routes.clone() {
            // What is in force counts, not what is to be: a canary is watched for as long as it has traffic.
            match state.stage(&route).filter(|stage| stage.rollout == self.rollout.id) {
                Some(stage) => self.look_at(context, &route, stage),
                None => drop(self.assessments.remove(&route)),
            }
        }
        let (decision, gates) = self.worst();
        let at = jiff::Timestamp::from_millisecond(i64::try_from(super::now_ms()).unwrap_or(i64::MAX));
        let at = at.unwrap_or(jiff::Timestamp::MAX);
        let frozen = self.rollout.plan.freeze.iter().find(|freeze| config::freeze::is_frozen(freeze, at));
        Tick {
            elapsed,
            decision,
            gates,
            behind,
            unhealthy: context.surroundings.unhealthy(&self.rollout.plan.canary),
            frozen: frozen.map(|freeze| freeze.reason.clone()),
        }
    }

    fn look_at(&mut self, context: &Context, route: &Name, stage: &Stage) {
        let Some(trial) = context.registry.trial_of(route) else { return };
        if trial.rollout != stage.rollout || trial.stage != stage.number {
            return;
        }
        let is_known = self.watched.get(route).is_some_and(|watched| Arc::ptr_eq(&watched.trial, &trial));
        if !is_known {
            let horizon = horizon(context, route);
            self.watched.insert(route.clone(), Watched { trial, observer: Observer::new(horizon) });
        }
        let (Some(watched), Some(judge)) = (self.watched.get_mut(route), self.judges.get_mut(route)) else {
            return;
        };
        judge.enter(stage.number);
        let now = clock::now().saturating_duration_since(watched.trial.began());
        let seen = watched.observer.read(&watched.trial, now);
        let share = stage.share.as_f64();
        let weight = Some(share).filter(|share| *share > 0.0 && *share < 1.0);
        let expects_traffic = share > 0.0 || stage.mirror.is_some_and(|share| share != Fraction::NONE);
        let at = Circumstances { now, weight, expects_traffic };
        let assessment =
            judge.look((&self.rollout.plan.analysis, &self.rollout.plan.blast_radius), &seen, at);
        self.assessments.insert(route.clone(), assessment);
    }

    /// What follows of all routes together: the worst of them.
    fn worst(&self) -> (Decision, Vec<Reason>) {
        let several = self.rollout.routes.len() > 1;
        let mut worst = if self.is_judged() { Decision::Go } else { unjudged() };
        let mut gates = Vec::new();
        for (route, assessment) in &self.assessments {
            let of_route = |reason: &Reason| Reason {
                route: Some(route.clone()),
                words: if several { format!("{route}: {}", reason.words) } else { reason.words.clone() },
                ..reason.clone()
            };
            gates.extend(assessment.gates.iter().map(of_route));
            let decision = match &assessment.decision {
                Decision::Fail(reason) => Decision::Fail(Box::new(of_route(reason))),
                Decision::Hold(reason) => Decision::Hold(Box::new(of_route(reason))),
                Decision::Wait(reason) => Decision::Wait(Box::new(of_route(reason))),
                Decision::Go => Decision::Go,
            };
            if rank(&decision) > rank(&worst) {
                worst = decision;
            }
        }
        (worst, gates)
    }

    /// Whether every route was looked at since its stage began.
    fn is_judged(&self) -> bool {
        let has_gates = !self.rollout.plan.analysis.gates.is_empty();
        let judged = |route: &Name| {
            let number = self.judges.get(route).map(Judge::number);
            self.assessments.contains_key(route) && number == Some(self.rollout.traffic.stage)
        };
        !has_gates || self.rollout.spread().is_none() || self.rollout.routes.iter().all(judged)
    }

    /// Takes an event, and says what is worth telling of it.
    pub(super) fn step(&mut self, event: &Event, now_ms: u64) -> Vec<Entry> {
        let Turn { rollout, effects, entries } = machine::step(&self.rollout, event, now_ms);
        self.rollout = rollout;
        self.unwritten.add(effects, entries.clone());
        entries
    }

    /// Whether the applier is to be asked to change the traffic now.
    pub(super) fn wants_traffic(&self) -> bool {
        let traffic = &self.rollout.traffic;
        // Forward only once the journal has it; back at once.
        let may = traffic.target == Target::Withdrawn || self.unwritten.stage >= traffic.stage;
        let rests = self.refused.is_some_and(|at| clock::now() < at + REFUSED_PAUSE);
        !traffic.in_force && may && !rests && self.applying != Some(traffic.stage)
    }

    /// An answer of somebody who was asked.
    pub(super) fn answered(&mut self, gate: usize, answer: &Answer) {
        for judge in self.judges.values_mut() {
            judge.answer(&self.rollout.plan.analysis, gate, answer);
        }
    }

    /// Has others asked what they think, while the canary has traffic.
    pub(super) fn poll_gates(&mut self, context: &Context, sender: &mpsc::Sender<Message>) {
        let wanted = !self.rollout.phase.is_over() && self.rollout.spread().is_some();
        if !wanted {
            self.askers.abort_all();
            return;
        }
        while self.askers.try_join_next().is_some() {}
        if !self.askers.is_empty() {
            return;
        }
        let analysis = &self.rollout.plan.analysis;
        for (place, gate) in analysis.gates.iter().enumerate() {
            let every = match &gate.check {
                Check::Prometheus(query) => query.every,
                Check::Webhook(check) => check.every,
                _ => continue,
            };
            let asker = Asker {
                outside: Arc::clone(&context.outside),
                sender: sender.clone(),
                id: self.rollout.id.clone(),
                gate: place,
                check: gate.check.clone(),
                server: analysis.prometheus.clone(),
            };
            self.askers.spawn(asker.run(every));
        }
    }
}

/// Asks somebody else what they think, again and again.
struct Asker {
    outside: Arc<dyn Outside>,
    sender: mpsc::Sender<Message>,
    id: String,
    gate: usize,
    check: Check,
    server: Option<String>,
}

// === impl Asker ===

impl Asker {
    async fn run(self, every: Duration) {
        loop {
            let answer = self.outside.ask(&self.check, self.server.as_deref()).await;
            let message = Message::Gate { id: self.id.clone(), gate: self.gate, answer };
            if self.sender.send(message).await.is_err() {
                return;
            }
            sleep(every).await;
        }
    }
}

/// What follows while nothing was seen of a stage yet.
fn unjudged() -> Decision {
    Decision::Wait(Box::new(Reason::plain(
        "gates",
        Verdict::Inconclusive,
        "the gates have not looked at this step yet",
    )))
}

/// How bad a decision is.
fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Go => 0,
        Decision::Wait(_) => 1,
        Decision::Hold(_) => 2,
        Decision::Fail(_) => 3,
    }
}

/// How long requests of a route are waited for: as long as its timeout for a response allows.
fn horizon(context: &Context, route: &Name) -> Duration {
    let state = context.control.state();
    let timeout = state.route(route.as_str()).map_or(Duration::ZERO, |route| route.timeouts.response_headers);
    if timeout.is_zero() { HORIZON } else { timeout.max(Duration::from_secs(1)) }
}

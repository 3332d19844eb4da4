//! A route under one plan, with real observer, judge and machine and made-up requests; the traffic obeys at once.

use std::time::Duration;

use weir::{
    config::model::rollout::RolloutPlan,
    rollout::{
        judge::{Circumstances, Decision, Judge},
        machine::{self, Effect, Event, Phase, Rollout, Start, Tick},
        observe::Observer,
    },
    telemetry::trial::Note,
    types::Fraction,
};

use crate::{
    plans,
    traffic::{TICK, Traffic, Version},
};

/// How long requests are waited for.
const HORIZON: Duration = Duration::from_secs(10);

/// The route.
pub(crate) struct Route {
    pub(crate) rollout: Rollout,
    judge: Judge,
    observer: Observer,
    traffic: Traffic,
    begun: bool,
    /// Since the rollout began.
    pub(crate) now: Duration,
}

// === impl Route ===

impl Route {
    pub(crate) fn new(plan: RolloutPlan, traffic: Traffic) -> Self {
        let judge = Judge::new(&plan.analysis);
        let start = Start {
            id: "r-1".to_owned(),
            routes: vec![plans::name("shop")],
            plan,
            by: "ada".to_owned(),
            why: None,
            at_ms: 0,
            after: Vec::new(),
        };
        let observer = Observer::new(HORIZON);
        Self { rollout: Rollout::new(start), judge, observer, traffic, begun: false, now: Duration::ZERO }
    }

    /// One look of the driver; `also` sees what was noted.
    pub(crate) fn tick(&mut self, versions: [Version; 2], also: impl FnOnce(&[Note])) {
        self.now += TICK;
        let spread = self.rollout.spread();
        let share = spread.as_ref().map_or(Fraction::NONE, |spread| spread.share);
        let notes = self.traffic.tick(share, versions);
        also(&notes);
        let (mut decision, mut gates) = (Decision::Go, Vec::new());
        if let Some(spread) = spread {
            let now = self.traffic.now();
            let seen = self.observer.take(&notes, now);
            let weight = Some(share.as_f64()).filter(|share| *share > 0.0 && *share < 1.0);
            let at = Circumstances { now, weight, expects_traffic: spread.reaches_canary() };
            let plan = &self.rollout.plan;
            let assessment = self.judge.look((&plan.analysis, &plan.blast_radius), &seen, at);
            (decision, gates) = (assessment.decision, assessment.gates);
        }
        let tick = Tick { elapsed: TICK, decision, gates, unhealthy: None, behind: None, frozen: None };
        self.step(&Event::Tick(Box::new(tick)));
    }

    fn step(&mut self, event: &Event) {
        let turn = machine::step(&self.rollout, event, 0);
        let moved = turn.rollout.traffic.stage != self.rollout.traffic.stage;
        self.rollout = turn.rollout;
        if moved {
            if self.begun && self.rollout.spread().is_some() {
                self.judge.stage_change();
            }
            self.begun = true;
            self.observer = Observer::new(HORIZON);
            self.traffic.stage_begins();
        }
        if turn.effects.contains(&Effect::SetTraffic) {
            self.step(&Event::InForce(self.rollout.traffic.stage));
        }
    }

    /// Weir is restarted: what is not in the journal is gone.
    pub(crate) fn restart(&mut self) {
        let (state, evidence) =
            (serde_json::to_string(&self.rollout).unwrap(), serde_json::to_string(&self.judge).unwrap());
        self.rollout = serde_json::from_str(&state).unwrap();
        self.judge = serde_json::from_str(&evidence).unwrap();
        self.judge.resume();
        self.observer = Observer::new(HORIZON);
        self.traffic.stage_begins();
        self.step(&Event::Restarted(Duration::from_secs(1)));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.rollout.phase.is_over()
    }

    pub(crate) fn was_rolled_back(&self) -> bool {
        self.rollout.phase == Phase::RolledBack
    }

    /// Why it ended.
    pub(crate) fn reason(&self) -> String {
        self.rollout
            .ending
            .as_ref()
            .map_or_else(String::new, |ending| format!("{}: {}", ending.reason.gate, ending.reason.words))
    }
}

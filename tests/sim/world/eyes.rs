//! What a rollout sees of its canary: made up, or by the judge from requests.

use std::{collections::BTreeMap, time::Duration};

use weir::{
    rollout::{
        judge::{Assessment, Circumstances, Decision, Judge},
        machine::{Rollout, Target},
        observe::Observer,
        reason::{Reason, Verdict},
    },
    types::Name,
};

use super::{Kind, World};
use crate::dice::Dice;

/// How long requests are waited for.
const HORIZON: Duration = Duration::from_secs(3);

/// What the gates of each route have gathered.
pub(crate) type Evidence = BTreeMap<Name, Judge>;

/// One rollout's eyes.
pub(crate) enum Eyes {
    /// What they say, for so many more ticks.
    Scripted(Decision, u64),
    Judged(Box<Judges>),
}

/// A judge for each route.
pub(crate) struct Judges {
    judges: Evidence,
    watched: BTreeMap<Name, (u32, Observer)>,
    assessments: BTreeMap<Name, Assessment>,
}

// === impl Eyes ===

impl Eyes {
    pub(super) fn new(kind: Kind, rollout: &Rollout) -> Self {
        match kind {
            Kind::Scripted => Self::Scripted(Decision::Go, 0),
            Kind::Judged => {
                let judge = Judge::new(&rollout.plan.analysis);
                Self::judged(rollout.routes.iter().map(|route| (route.clone(), judge.clone())).collect())
            }
        }
    }

    pub(super) fn resumed(rollout: &Rollout, evidence: Option<&Evidence>) -> Self {
        let Some(evidence) = evidence else { return Self::new(Kind::Scripted, rollout) };
        let text = serde_json::to_string(evidence).unwrap();
        let mut judges: Evidence = serde_json::from_str(&text).unwrap();
        judges.values_mut().for_each(Judge::resume);
        Self::judged(judges)
    }

    fn judged(judges: Evidence) -> Self {
        Self::Judged(Box::new(Judges { judges, watched: BTreeMap::new(), assessments: BTreeMap::new() }))
    }

    /// What the journal is given. It is text only once it is read: most of it never is.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        match self {
            Self::Scripted(..) => None,
            Self::Judged(eyes) => Some(eyes.judges.clone()),
        }
    }

    /// The traffic is to be another.
    pub(super) fn moved(&mut self, rollout: &Rollout) {
        let Self::Judged(eyes) = self else { return };
        if matches!(rollout.traffic.target, Target::Step(_)) {
            eyes.judges.values_mut().for_each(Judge::stage_change);
        }
        eyes.assessments.clear();
        eyes.watched.clear();
    }
}

// === impl World ===

impl World {
    /// What a rollout sees now.
    pub(super) fn look(&mut self, id: &str) -> (Decision, Vec<Reason>) {
        let Some(live) = self.active.get_mut(id) else { return (Decision::Go, Vec::new()) };
        let rollout = &live.rollout;
        let spread = rollout.spread().filter(|_| rollout.traffic.in_force && !rollout.phase.is_over());
        let Some(spread) = spread else { return (Decision::Go, Vec::new()) };
        let eyes = match &mut live.eyes {
            Eyes::Scripted(decision, left) => {
                if *left == 0 {
                    (*decision, *left) = script(&mut self.dice);
                }
                *left -= 1;
                return (decision.clone(), Vec::new());
            }
            Eyes::Judged(eyes) => eyes,
        };
        for route in &rollout.routes {
            let Some(road) = self.roads.get_mut(route) else { continue };
            let is_own = road
                .stage
                .as_ref()
                .is_some_and(|stage| stage.rollout == rollout.id && stage.number == rollout.traffic.stage);
            let (Some(traffic), true) = (&road.traffic, is_own) else { continue };
            let stage = rollout.traffic.stage;
            let watched =
                eyes.watched.entry(route.clone()).or_insert_with(|| (stage, Observer::new(HORIZON)));
            let seen = watched.1.take(&std::mem::take(&mut road.notes), traffic.now());
            let share = spread.share.as_f64();
            let weight = Some(share).filter(|share| *share > 0.0 && *share < 1.0);
            let at = Circumstances { now: traffic.now(), weight, expects_traffic: spread.reaches_canary() };
            let judge = eyes.judges.get_mut(route).unwrap();
            let assessment = judge.look((&rollout.plan.analysis, &rollout.plan.blast_radius), &seen, at);
            eyes.assessments.insert(route.clone(), assessment);
        }
        let rank = |decision: &Decision| match decision {
            Decision::Go => 0,
            Decision::Wait(_) => 1,
            Decision::Hold(_) => 2,
            Decision::Fail(_) => 3,
        };
        let worst = eyes.assessments.values().map(|of| &of.decision).max_by_key(|decision| rank(decision));
        let gates = eyes.assessments.values().flat_map(|of| of.gates.clone()).collect();
        (worst.cloned().unwrap_or(Decision::Go), gates)
    }
}

fn script(dice: &mut Dice) -> (Decision, u64) {
    let reason =
        |gate: &str, verdict: Verdict| Box::new(Reason::plain(gate, verdict, format!("{gate} says so")));
    let decision = match dice.between(0, 99) {
        0..=74 => Decision::Go,
        75..=84 => Decision::Wait(reason("error_rate", Verdict::NoData)),
        85..=88 => Decision::Wait(Box::new(Reason {
            test: "e_value".to_owned(),
            ..Reason::plain("regression", Verdict::Inconclusive, "no proof yet")
        })),
        89..=94 => Decision::Hold(reason("sample_ratio", Verdict::Held)),
        95 => Decision::Fail(reason("blast_radius", Verdict::Fail)),
        _ => Decision::Fail(reason("error_rate", Verdict::Fail)),
    };
    (decision, dice.between(1, 20))
}

//! Rollouts: where they are, and what their gates say.

use std::collections::BTreeMap;

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, Gauges, float, of_route};
use crate::types::Name;

/// How it is with rollouts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutGauges {
    /// Every phase that there is.
    pub phases: Vec<&'static str>,
    /// Every verdict that there is.
    pub verdicts: Vec<&'static str>,
    /// The newest rollout of each route.
    pub newest: BTreeMap<Name, NewestRollout>,
    /// How many ended how since Weir started.
    pub outcomes: BTreeMap<(Name, &'static str), u64>,
}

/// The newest rollout of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewestRollout {
    /// Where it is.
    pub phase: &'static str,
    /// The step that it is at, from 1; 0 before the first.
    pub step: usize,
    /// What its gates say, by their names, while the canary has traffic.
    pub gates: BTreeMap<String, &'static str>,
}

pub(super) fn families(gauges: &Gauges) -> [MetricFamily; 4] {
    let RolloutGauges { phases, verdicts, newest, outcomes } = &gauges.rollouts;
    let switch = |on: bool| f64::from(u8::from(on));
    let in_phase = newest.iter().flat_map(|(route, rollout)| {
        phases
            .iter()
            .map(|phase| of_route(route).label("phase", phase).value(switch(*phase == rollout.phase)))
    });
    let steps = newest.iter().map(|(route, rollout)| of_route(route).value(float(rollout.step as u64)));
    let gates = newest.iter().flat_map(|(route, rollout)| {
        rollout.gates.iter().flat_map(move |(gate, said)| {
            let of_gate = of_route(route).label("gate", gate);
            verdicts
                .iter()
                .map(move |verdict| of_gate.clone().label("verdict", verdict).value(switch(verdict == said)))
        })
    });
    let ended = outcomes
        .iter()
        .map(|((route, outcome), count)| of_route(route).label("outcome", outcome).value(float(*count)));
    let gauge = |name, help| Family::new(name, help, MetricType::GAUGE);
    [
        gauge("weir_rollout_phase", "1 for the phase in which the route's newest rollout is.")
            .extend(in_phase)
            .build(),
        gauge("weir_rollout_step", "The step of the route's newest rollout, from 1; 0 before the first.")
            .extend(steps)
            .build(),
        gauge(
            "weir_rollout_gate",
            "1 for what a gate of the route's rollout says, while its canary has traffic.",
        )
        .extend(gates)
        .build(),
        Family::new("weir_rollouts_total", "Rollouts that ended, by how.", MetricType::COUNTER)
            .extend(ended)
            .build(),
    ]
}

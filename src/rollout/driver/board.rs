//! The board: all rollouts as others see them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Active, Driver};
use crate::{
    rollout::{
        judge::Assessment,
        machine::{Entry, Phase, Rollout},
        sums::Pair,
    },
    types::Name,
};

/// All rollouts, replaced as a whole.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// The newest first.
    pub rollouts: Vec<Shown>,
    /// What could not be done.
    pub problems: Vec<String>,
    /// How many rollouts ended how since Weir started, by route.
    pub outcomes: BTreeMap<(Name, &'static str), u64>,
}

/// Something that happened in a rollout.
#[derive(Debug, Clone)]
pub struct Told {
    /// The rollout as it is since.
    pub rollout: Arc<Rollout>,
    /// What the journal gets of it; `None` where it is new.
    pub entry: Option<Entry>,
}

/// A rollout, and what is seen of it while it is under way.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its state.
    pub rollout: Arc<Rollout>,
    /// What the gates of each route say.
    pub assessments: BTreeMap<Name, Assessment>,
    /// What ended on each route since the stage began.
    pub seen: BTreeMap<Name, Pair>,
}

// === impl Board ===

impl Board {
    /// The rollout of this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Shown> {
        self.rollouts.iter().find(|shown| shown.rollout.id == id)
    }

    /// The newest rollout of a route.
    #[must_use]
    pub fn newest_of(&self, route: &str) -> Option<&Shown> {
        self.rollouts.iter().find(|shown| shown.rollout.routes.iter().any(|name| name.as_str() == route))
    }
}

// === impl Driver ===

impl Driver {
    /// Shows what is.
    pub(super) fn show(&self) {
        let mut rollouts: Vec<Shown> = self.active.values().map(shown).collect();
        let over = self.over.iter().map(|rollout| Shown {
            rollout: Arc::clone(rollout),
            assessments: BTreeMap::new(),
            seen: BTreeMap::new(),
        });
        rollouts.extend(over);
        rollouts
            .sort_by(|a, b| (b.rollout.began_ms, &b.rollout.id).cmp(&(a.rollout.began_ms, &a.rollout.id)));
        let (problems, outcomes) = (self.problems.clone(), self.outcomes.clone());
        self.board.send_replace(Arc::new(Board { rollouts, problems, outcomes }));
    }

    /// Tells whoever listens what happened, and counts a rollout that has ended by it.
    pub(super) fn tell(&mut self, id: &str, before: Phase, entries: Vec<Entry>) {
        let Some(active) = self.active.get(id) else { return };
        let phase = active.rollout.phase;
        if phase != before && phase.is_over() {
            for route in &active.rollout.routes {
                *self.outcomes.entry((route.clone(), phase.as_str())).or_default() += 1;
            }
        }
        let rollout = Arc::new(active.rollout.clone());
        for entry in entries {
            // Without listeners there is nobody to tell.
            let _ = self.told.send(Told { rollout: Arc::clone(&rollout), entry: Some(entry) });
        }
    }
}

fn shown(active: &Active) -> Shown {
    let seen = |route: &Name| Some((route.clone(), active.seen(route)?.clone()));
    Shown {
        rollout: Arc::new(active.rollout.clone()),
        assessments: active.assessments.clone(),
        seen: active.rollout.routes.iter().filter_map(seen).collect(),
    }
}

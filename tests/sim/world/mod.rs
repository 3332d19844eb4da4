//! The world around the machine: a driver with a journal and an applier that may be slow, refuse or lose what is under way when the
//! process dies; hooks, operators, health, freeze windows, and time that passes in jumps. All of it by one seed.
//!
//! The world keeps to the rules of the driver: forward only once the journal has it, back at once; hooks are called once the journal has
//! that they are. The applier carries commands out in the order in which they were given. What the journal did not have when the process
//! died did not happen, with one exception: traffic that was moved stays moved.

mod disk;
mod eyes;
mod people;
mod roads;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use weir::{
    config::model::rollout::OnNoData,
    rollout::machine::{self, Effect, Event, HookAnswer, Phase, Rollout, Start, Target, Tick},
    types::Name,
};

use self::{
    disk::Kept,
    eyes::Eyes,
    roads::{Fault, Road},
};
use crate::{
    checks::{self, Checked, ensure},
    dice::Dice,
    plans,
};

/// Lines of history that a failure shows.
const HISTORY: usize = 60;

/// What kind of world it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the gates say is made up; hours pass in large steps.
    Scripted,
    /// Requests are made up; the judge sees each of them, four times a second.
    Judged,
}

/// Everything.
pub(crate) struct World {
    pub(super) kind: Kind,
    pub(super) dice: Dice,
    /// How long a step takes at most.
    pub(super) scale: Duration,
    pub(super) now: Duration,
    pub(super) wall_ms: u64,
    pub(super) roads: BTreeMap<Name, Road>,
    pub(super) active: BTreeMap<String, Live>,
    pub(super) over: Vec<Rollout>,
    pub(super) disk: BTreeMap<String, Kept>,
    pub(super) coming: Vec<(Duration, Coming)>,
    pub(super) applier_free: Duration,
    pub(super) faults: Faults,
    /// Calls of hooks: rollout, hook, step, call, and how often somebody had it called again.
    pub(super) called: BTreeMap<(String, usize, usize, u32, u32), u32>,
    /// How often somebody resumed a rollout.
    pub(super) resumed: BTreeMap<String, u32>,
    pub(super) by_hand: bool,
    begun: u64,
    history: VecDeque<String>,
    pub(super) ticks: u64,
    calm_at: Duration,
}

/// A rollout that something can still happen to.
pub(super) struct Live {
    pub(super) rollout: Rollout,
    pub(super) eyes: Eyes,
    pub(super) applying: Option<u32>,
    pub(super) unwritten: disk::Unwritten,
}

/// What goes wrong now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) refuses: bool,
    pub(super) slow: bool,
    pub(super) disk_fails: bool,
    pub(super) unhealthy: bool,
    pub(super) frozen: bool,
}

/// What is on its way to the driver, or to the world.
#[derive(Debug)]
pub(super) enum Coming {
    /// The applier carries a command out.
    Apply(Box<Rollout>),
    Applied {
        id: String,
        stage: u32,
        result: Result<(), String>,
    },
    Written {
        id: String,
        written: Box<disk::Written>,
        works: bool,
    },
    Hook {
        id: String,
        hook: usize,
        step: usize,
        answer: HookAnswer,
    },
}

// === impl World ===

impl World {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let scale = match kind {
            Kind::Scripted => dice.pick(&[plans::secs(20), plans::secs(600), plans::secs(7200)]),
            Kind::Judged => dice.pick(&[plans::secs(2), plans::secs(6)]),
        };
        let roads = ["shop", "cart"].map(|route| (plans::name(route), Road::new(kind, &mut dice)));
        let most = if kind == Kind::Scripted { 30.0 } else { 10.0 };
        let calm_at = scale.mul_f64(2.0 + most * dice.unit());
        Self {
            kind,
            dice,
            scale,
            now: Duration::ZERO,
            wall_ms: 1_700_000_000_000,
            roads: roads.into(),
            active: BTreeMap::new(),
            over: Vec::new(),
            disk: BTreeMap::new(),
            coming: Vec::new(),
            applier_free: Duration::ZERO,
            faults: Faults::default(),
            called: BTreeMap::new(),
            resumed: BTreeMap::new(),
            by_hand: false,
            begun: 0,
            history: VecDeque::new(),
            ticks: 0,
            calm_at,
        }
    }

    /// Runs until all is over; what did not hold, with the last that happened.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.live().map_err(|words| {
            let history: Vec<_> = self.history.iter().cloned().collect();
            format!("{}\nbefore that:\n  {}", words, history.join("\n  "))
        })
    }

    fn live(&mut self) -> Checked {
        self.start()?;
        loop {
            self.ticks += 1;
            let calm = self.now >= self.calm_at;
            let elapsed = self.elapsed();
            self.now += elapsed;
            self.pass_time(elapsed, calm);
            self.arrive()?;
            if !calm {
                self.people()?;
                if self.dice.chance(0.01) {
                    self.die()?;
                }
            } else if self.now > self.calm_at + self.scale * 4 {
                self.end_the_endless()?;
            }
            self.tick(elapsed)?;
            self.keep();
            self.check()?;
            if calm && self.active.is_empty() && self.coming.is_empty() {
                return self.last_check();
            }
            ensure!(
                self.ticks < 60_000,
                "it does not end: {:?}",
                self.active.values().map(|live| &live.rollout).collect::<Vec<_>>()
            );
        }
    }

    fn elapsed(&mut self) -> Duration {
        match self.kind {
            Kind::Judged => crate::traffic::TICK,
            Kind::Scripted => {
                let most = u64::try_from(self.scale.as_millis()).unwrap() / 10;
                if self.dice.chance(0.2) {
                    self.dice.millis(0, 200)
                } else {
                    self.dice.millis(200, most.max(200))
                }
            }
        }
    }

    fn pass_time(&mut self, elapsed: Duration, calm: bool) {
        self.wall_ms += u64::try_from(elapsed.as_millis()).unwrap();
        if self.dice.chance(0.01) {
            let jump = self.dice.between(0, 200_000_000);
            self.wall_ms = (self.wall_ms + jump).saturating_sub(100_000_000);
        }
        let faults = &mut self.faults;
        if calm {
            *faults = Faults::default();
        } else {
            for (fault, rate) in [
                (&mut faults.refuses, 0.02),
                (&mut faults.slow, 0.03),
                (&mut faults.disk_fails, 0.02),
                (&mut faults.unhealthy, 0.02),
                (&mut faults.frozen, 0.02),
            ] {
                let changes = if *fault { 0.15 } else { rate };
                *fault ^= self.dice.chance(changes);
            }
        }
        for road in self.roads.values_mut() {
            road.pass(&mut self.dice);
        }
    }

    pub(super) fn tell(&mut self, words: String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(format!("{:.1?} {words}", self.now));
    }

    /// Brings what has come.
    fn arrive(&mut self) -> Checked {
        loop {
            let due = self.coming.iter().enumerate().filter(|(_, (at, _))| *at <= self.now);
            let Some(first) = due.min_by_key(|(place, (at, _))| (*at, *place)).map(|(place, _)| place) else {
                return Ok(());
            };
            match self.coming.remove(first).1 {
                Coming::Apply(rollout) => self.apply(&rollout)?,
                Coming::Applied { id, stage, result } => {
                    if let Some(live) = self.active.get_mut(&id) {
                        live.applying = None;
                    }
                    match result {
                        Ok(()) => self.step(&id, &Event::InForce(stage))?,
                        Err(why) => self.step(&id, &Event::Refused(stage, why))?,
                    }
                }
                Coming::Written { id, written, works } => self.written(&id, *written, works),
                Coming::Hook { id, hook, step, answer } => {
                    self.step(&id, &Event::Hook { hook, step, answer })?
                }
            }
        }
    }

    fn tick(&mut self, elapsed: Duration) -> Checked {
        for id in self.active.keys().cloned().collect::<Vec<_>>() {
            let behind = self.behind(&id);
            let (decision, gates) = self.look(&id);
            let tick = Tick {
                elapsed,
                decision,
                gates,
                behind,
                unhealthy: self.faults.unhealthy.then(|| "2 of 2 endpoints fail their checks".to_owned()),
                frozen: self.faults.frozen.then(|| "it is Friday".to_owned()),
            };
            self.step(&id, &Event::Tick(Box::new(tick)))?;
        }
        self.retire();
        Ok(())
    }

    /// Has a rollout take an event, and checks what comes of it.
    pub(super) fn step(&mut self, id: &str, event: &Event) -> Checked {
        let wall_ms = self.wall_ms;
        let Some(live) = self.active.get_mut(id) else { return Ok(()) };
        let before = live.rollout.clone();
        let turn = machine::step(&before, event, wall_ms);
        let checked = checks::turn(&before, event, &turn);
        let is_odd = self.dice.chance(0.05);
        let entries: Vec<_> = turn.entries.iter().map(|entry| entry.words.clone()).collect();
        let (phase, traffic) = (turn.rollout.phase, turn.rollout.traffic.clone());
        let told = !matches!(event, Event::Tick(_)) || !turn.entries.is_empty();
        live.take(turn.clone());
        if told {
            let what = match event {
                Event::Tick(_) => "tick".to_owned(),
                other => format!("{other:?}"),
            };
            self.tell(format!("{id}: {what} -> {phase:?} {traffic:?}: {entries:?}"));
        }
        checked?;
        if is_odd {
            checks::repeats(&turn.rollout, wall_ms)?;
            checks::any_clock(&before, event, &turn, wall_ms ^ 0x0fff_ffff)?;
        }
        self.obey(id);
        let withdraws =
            turn.rollout.traffic.target == Target::Withdrawn && before.traffic.target != Target::Withdrawn;
        ensure!(
            !withdraws || self.active[id].applying == Some(turn.rollout.traffic.stage),
            "nobody was asked to withdraw {id}"
        );
        Ok(())
    }

    /// Has the applier asked for what a rollout wants.
    pub(super) fn obey(&mut self, id: &str) {
        let Some(live) = self.active.get_mut(id) else { return };
        if !live.wants_traffic() {
            return;
        }
        live.applying = Some(live.rollout.traffic.stage);
        let rollout = Box::new(live.rollout.clone());
        let takes = if self.faults.slow {
            self.scale.mul_f64(0.3 * self.dice.unit())
        } else {
            self.dice.millis(0, 50)
        };
        self.applier_free = self.applier_free.max(self.now) + takes;
        self.coming.push((self.applier_free, Coming::Apply(rollout)));
    }

    /// The rollout that has to be over before this one begins.
    pub(super) fn behind(&self, id: &str) -> Option<String> {
        let after = &self.active.get(id)?.rollout.after;
        after
            .iter()
            .find(|other| self.active.get(*other).is_some_and(|live| !live.rollout.phase.is_over()))
            .cloned()
    }

    /// Starts a rollout by the rules of the driver.
    pub(super) fn start(&mut self) -> Checked {
        let group = self.dice.chance(0.3);
        let routes: Vec<Name> = match group {
            true => self.roads.keys().cloned().collect(),
            false => vec![self.dice.pick(&self.roads.keys().cloned().collect::<Vec<_>>())],
        };
        let others: Vec<String> = self
            .active
            .values()
            .map(|live| &live.rollout)
            .filter(|rollout| !rollout.phase.is_over())
            .filter(|rollout| rollout.routes.iter().any(|route| routes.contains(route)))
            .map(|rollout| rollout.id.clone())
            .collect();
        let how = self.dice.between(0, 2);
        if !others.is_empty() && how == 0 {
            return Ok(());
        }
        self.begun += 1;
        let (id, plan) = (format!("r-{}", self.begun), plans::random(&mut self.dice, self.scale));
        let start = Start {
            id: id.clone(),
            routes,
            plan,
            by: "ada".to_owned(),
            why: None,
            at_ms: self.wall_ms,
            after: others.clone(),
        };
        self.insert(Rollout::new(start));
        if how == 1 {
            for other in others {
                self.step(&other, &Event::Superseded(id.clone()))?;
            }
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, rollout: Rollout) {
        for live in self.active.values_mut() {
            let shares = live.rollout.routes.iter().any(|route| rollout.routes.contains(route));
            if live.rollout.phase.is_over() && shares {
                live.rollout.age = live.rollout.plan.keep_baseline;
            }
        }
        self.tell(format!(
            "{} begins on {:?} after {:?}: {:?}",
            rollout.id, rollout.routes, rollout.after, rollout.plan
        ));
        let eyes = Eyes::new(self.kind, &rollout);
        self.active.insert(rollout.id.clone(), Live::new(rollout, eyes));
    }

    fn retire(&mut self) {
        let done: Vec<String> =
            self.active.iter().filter(|(_, live)| live.is_over()).map(|(id, _)| id.clone()).collect();
        for id in done {
            self.over.extend(self.active.remove(&id).map(|live| live.rollout));
        }
    }

    fn check(&mut self) -> Checked {
        for (name, road) in &self.roads {
            let moves = |rollout: &Rollout| {
                let holds = road.stage.as_ref().is_some_and(|stage| stage.rollout == rollout.id);
                let wants = matches!(rollout.traffic.target, Target::Step(_) | Target::Promoted);
                !rollout.phase.is_over() && rollout.routes.contains(name) && (holds || wants)
            };
            let movers: Vec<_> =
                self.active.values().map(|live| &live.rollout).filter(|rollout| moves(rollout)).collect();
            ensure!(movers.len() <= 1, "{} rollouts move route {name}: {movers:?}", movers.len());
            road.check(name, self.active.values().map(|live| &live.rollout))?;
        }
        Ok(())
    }

    fn last_check(&self) -> Checked {
        for rollout in &self.over {
            ensure!(rollout.phase.is_over(), "{:?} was put aside", rollout.phase);
            self.check_hooks(rollout)?;
            self.check_end(rollout)?;
            for name in &rollout.routes {
                let holds = self.roads[name].stage.as_ref().is_some_and(|stage| stage.rollout == rollout.id);
                ensure!(!holds, "{} is {:?} and has route {name}", rollout.id, rollout.phase);
            }
        }
        Ok(())
    }

    /// A canary that fails everything is not promoted where a limit on errors has to pass.
    fn check_end(&self, rollout: &Rollout) -> Checked {
        let analysis = &rollout.plan.analysis;
        let has_limit =
            analysis.gates.iter().any(|gate| ["error_rate", "availability"].contains(&gate.name.as_str()));
        let fails = rollout.routes.iter().any(|route| self.roads[route].fault == Fault::Fails(1.0));
        let judged =
            self.kind == Kind::Judged && has_limit && analysis.on_no_data != OnNoData::Pass && !self.by_hand;
        let promoted = rollout.phase == Phase::Promoted;
        ensure!(!(judged && fails && promoted), "{} was promoted and fails everything", rollout.id);
        Ok(())
    }

    /// Those that are over: how they ended, and by which gate.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (Phase, &str)> {
        self.over.iter().map(|rollout| {
            let gate = rollout.ending.as_ref().map_or("", |ending| ending.reason.gate.as_str());
            (rollout.phase, gate)
        })
    }
}

// === impl Live ===

impl Live {
    fn new(rollout: Rollout, eyes: Eyes) -> Self {
        Self { rollout, eyes, applying: None, unwritten: disk::Unwritten::default() }
    }

    /// Takes what came of an event.
    fn take(&mut self, turn: machine::Turn) {
        let moved = turn.rollout.traffic.stage != self.rollout.traffic.stage;
        self.rollout = turn.rollout;
        if moved {
            self.eyes.moved(&self.rollout);
        }
        self.unwritten
            .effects
            .extend(turn.effects.into_iter().filter(|effect| *effect != Effect::SetTraffic));
        self.unwritten.entries += turn.entries.len();
    }

    fn wants_traffic(&self) -> bool {
        let traffic = &self.rollout.traffic;
        let may = traffic.target == Target::Withdrawn || self.unwritten.stage >= traffic.stage;
        !traffic.in_force && may && self.applying != Some(traffic.stage)
    }

    fn is_over(&self) -> bool {
        let may_be_undone =
            self.rollout.phase == Phase::Promoted && self.rollout.age < self.rollout.plan.keep_baseline;
        let waits =
            self.rollout.hooks.iter().any(|hook| {
                matches!(hook.status, machine::HookStatus::Due(_) | machine::HookStatus::Running)
            });
        self.rollout.phase.is_over() && !may_be_undone && !waits && self.unwritten.is_empty()
    }
}

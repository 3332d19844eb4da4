//! The driver: performs what the machine decides, and brings it what happened.
//!
//! One task has all rollouts. It looks at each five times a second; everything that could make it wait (the disk, a hook, the applier)
//! runs beside it and sends word. The order of things:
//! - Forward: the state is in the journal before the traffic moves and before anybody is called or told.
//! - Back: the traffic moves at once; the journal, people and hooks come after, and may fail without consequence for it.

mod active;
mod api;
mod begin;
mod board;
mod keep;
#[cfg(test)]
mod tests;
mod traffic;
mod watch;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

pub use api::{Rollouts, StartError, StartRequest};
pub use board::{Board, Shown, Told};

use self::active::Active;
use super::{
    judge::Answer,
    machine::{By, Command, Event, HookAnswer, NotNow, OnceKey, Rollout},
    outside::Outside,
};
use crate::{
    control::{Control, Refusal, State, store::StoreError},
    telemetry::Registry,
    types::{Name, clock},
};

/// How often each rollout is looked at.
const TICK: Duration = Duration::from_millis(200);
/// Messages that may wait; whoever sends more waits.
const INBOX: usize = 256;
/// What a slow listener may be behind before it misses some.
const TOLD: usize = 256;
/// How often what gates have gathered is written down while nothing else is.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// What the driver has to know of the world.
pub trait Surroundings: Send + Sync + 'static {
    /// Why a backend cannot take traffic, when it cannot.
    fn unhealthy(&self, backend: &Name) -> Option<String>;
}

/// Everything that the driver works with.
pub struct Context {
    /// Where traffic is changed, and where the journal is.
    pub control: Control,
    /// Where workers' notes are.
    pub registry: Arc<Registry>,
    /// How backends are.
    pub surroundings: Arc<dyn Surroundings>,
    /// Hooks and other gates.
    pub outside: Arc<dyn Outside>,
}

/// Runs all rollouts.
pub struct Driver {
    context: Context,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    board: tokio::sync::watch::Sender<Arc<Board>>,
    /// What happens, for those who listen.
    told: broadcast::Sender<Told>,
    /// How many ended how, by route.
    outcomes: BTreeMap<(Name, &'static str), u64>,
    /// Those that something can still happen to, by id.
    active: BTreeMap<String, Active>,
    /// All others, newest first.
    over: Vec<Arc<Rollout>>,
    versions: BTreeMap<Name, Option<String>>,
    /// What could not be done, for people.
    problems: Vec<String>,
    last_tick: Instant,
}

/// What the driver is told.
enum Message {
    Start(Box<StartRequest>, Option<OnceKey>, oneshot::Sender<Result<Arc<Rollout>, StartError>>),
    Retry {
        id: String,
        by: By,
        once: Option<OnceKey>,
        reply: oneshot::Sender<Result<Arc<Rollout>, StartError>>,
    },
    Command {
        id: String,
        command: Command,
        by: By,
        reply: oneshot::Sender<Result<Arc<Rollout>, CommandError>>,
    },
    /// The applier has answered.
    Applied {
        id: String,
        stage: u32,
        result: Result<(), Refusal>,
    },
    /// The journal has answered.
    Written {
        id: String,
        written: keep::Written,
        result: Result<(), StoreError>,
    },
    Hook {
        id: String,
        hook: usize,
        step: usize,
        answer: HookAnswer,
    },
    Gate {
        id: String,
        gate: usize,
        answer: Answer,
    },
}

/// Waits for a rollout to begin.
type StartReply = oneshot::Sender<Result<Arc<Rollout>, StartError>>;

/// Why a command to a rollout was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is none of this id.
    #[error("there is no rollout {0}")]
    Unknown(String),
    /// It makes no sense now.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// Something else stands in its way.
    #[error("{0}")]
    Hindered(String),
    /// The person who gave it may not.
    #[error("{0}")]
    NotAllowed(String),
    /// The driver has stopped.
    #[error("weir is stopping")]
    Stopping,
}

// === impl Driver ===

impl Driver {
    /// A driver with what the journal has, and the handle to it.
    pub async fn prepare(context: Context) -> (Rollouts, Self) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let journal = context.control.journal().clone();
        let (board, seen) = tokio::sync::watch::channel(Arc::default());
        let told = broadcast::Sender::new(TOLD);
        let handle = Rollouts::new(sender.clone(), seen, told.clone(), journal.clone());
        let mut driver = Self {
            context,
            inbox,
            sender,
            board,
            told,
            outcomes: BTreeMap::new(),
            active: BTreeMap::new(),
            over: Vec::new(),
            versions: BTreeMap::new(),
            problems: Vec::new(),
            last_tick: clock::now(),
        };
        driver.load().await;
        (handle, driver)
    }

    /// Runs until `stop` is done. What is under way then goes on with the next start.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut states = self.context.control.watch();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stop = std::pin::pin!(stop);
        self.follow(&self.context.control.state());
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(message) = self.inbox.recv() => self.take(message),
                changed = states.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let state = Arc::clone(&states.borrow_and_update());
                    self.follow(&state);
                }
                _ = ticks.tick() => self.tick(),
            }
            self.keep();
            self.show();
        }
        self.finish().await;
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Start(request, once, reply) => {
                let begun = self.once(once, |driver| driver.start(*request));
                self.answer(begun, reply);
            }
            Message::Retry { id, by, once, reply } => {
                let begun = self.once(once, |driver| driver.retry(&id, &by));
                self.answer(begun, reply);
            }
            Message::Command { id, command, by, reply } => {
                let _ = reply.send(self.command(&id, command, by));
            }
            Message::Applied { id, stage, result } => self.applied(&id, stage, result),
            Message::Written { id, written, result } => self.written(&id, written, result),
            Message::Hook { id, hook, step, answer } => self.step(&id, &Event::Hook { hook, step, answer }),
            Message::Gate { id, gate, answer } => {
                if let Some(active) = self.active.get_mut(&id) {
                    active.answered(gate, &answer);
                }
            }
        }
    }

    /// Says that a rollout has begun, once the journal has it.
    fn answer(&mut self, begun: Result<Arc<Rollout>, StartError>, reply: StartReply) {
        let new = begun.as_ref().ok().and_then(|rollout| self.active.get_mut(&rollout.id));
        match new.and_then(|active| active.unwritten.waiting()) {
            Some(waiting) => waiting.push(reply),
            None => drop(reply.send(begun)),
        }
    }

    /// Looks at every rollout.
    fn tick(&mut self) {
        let now = clock::now();
        let elapsed = now.saturating_duration_since(self.last_tick);
        self.last_tick = now;
        let ids: Vec<String> = self.active.keys().cloned().collect();
        for id in ids {
            let behind = self.behind(&id);
            let Some(active) = self.active.get_mut(&id) else { continue };
            let tick = active.look(&self.context, elapsed, behind);
            self.step(&id, &Event::Tick(Box::new(tick)));
        }
        self.retire();
    }

    /// Has a rollout take an event, and sees to what follows.
    fn step(&mut self, id: &str, event: &Event) {
        let Some(active) = self.active.get_mut(id) else { return };
        let before = active.rollout.phase;
        let entries = active.step(event, now_ms());
        if active.wants_traffic() {
            traffic::set(&self.context, active, &self.sender);
        }
        active.poll_gates(&self.context, &self.sender);
        self.tell(id, before, entries);
    }

    fn command(&mut self, id: &str, command: Command, by: By) -> Result<Arc<Rollout>, CommandError> {
        let Some(active) = self.active.get(id) else {
            let over = self.over.iter().find(|rollout| rollout.id == id);
            return Err(match over {
                Some(rollout) => NotNow { what: command.as_str(), phase: rollout.phase }.into(),
                None => CommandError::Unknown(id.to_owned()),
            });
        };
        command.check(active.rollout.phase)?;
        let rollout = &active.rollout;
        if command == Command::Undo && rollout.age >= rollout.plan.keep_baseline {
            let words = "the old version is no backup any more; roll it out like a new one";
            return Err(CommandError::Hindered(words.to_owned()));
        }
        if matches!(command, Command::Promote | Command::PromoteFull)
            && let Some(other) = self.behind(id)
        {
            return Err(CommandError::Hindered(format!("rollout {other} has to be over first")));
        }
        self.step(id, &Event::Command(command, by));
        let active = self.active.get(id).ok_or_else(|| CommandError::Unknown(id.to_owned()))?;
        Ok(Arc::new(active.rollout.clone()))
    }

    fn applied(&mut self, id: &str, stage: u32, result: Result<(), Refusal>) {
        if let Some(active) = self.active.get_mut(id) {
            active.applying = None;
            active.refused = result.is_err().then(clock::now);
        }
        match result {
            Ok(()) => self.step(id, &Event::InForce(stage)),
            Err(refusal) => self.step(id, &Event::Refused(stage, refusal.to_string())),
        }
    }

    /// What a new state means for rollouts: kill switches, weights set by hand, names that are gone, new versions.
    fn follow(&mut self, state: &State) {
        let ids: Vec<String> = self.active.keys().cloned().collect();
        for id in ids {
            let event = self.active.get(&id).and_then(|active| watch::event(&active.rollout, state));
            if let Some(event) = event {
                self.step(&id, &event);
            }
        }
        self.begin_new_versions(state);
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX)
}

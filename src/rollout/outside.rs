//! What a rollout asks of others: hooks and gates elsewhere. How they are asked is behind [`Outside`].

use std::pin::Pin;

use super::{
    judge::Answer,
    machine::{HookAnswer, Rollout},
};
use crate::config::model::rollout::{Check, Hook};

/// Work that is done beside the driver.
pub type Asked<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks others. Nothing here may take longer than the timeout that the plan gives it.
pub trait Outside: Send + Sync + 'static {
    /// Calls a hook once.
    fn call(&self, call: HookCall) -> Asked<HookAnswer>;

    /// Asks what a gate asks; `server` is the plan's Prometheus server.
    fn ask(&self, check: &Check, server: Option<&str>) -> Asked<Answer>;

    /// There are messages in the outbox.
    fn messages_are_due(&self);
}

/// One call of a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct HookCall {
    /// Its place in the plan.
    pub hook: usize,
    /// The step for which it is asked, from 0.
    pub step: usize,
    /// Which call it is, from 1.
    pub call: u32,
    /// What tells the call from others; the same when it has to be made again.
    pub key: String,
    /// The hook as it is declared.
    pub declared: Hook,
    /// The rollout as it is.
    pub rollout: Box<Rollout>,
}

// === impl HookCall ===

impl HookCall {
    /// A call of the rollout's hook number `hook`; `None` when its plan has none.
    #[must_use]
    pub fn of(rollout: &Rollout, hook: usize, step: usize, call: u32) -> Option<Self> {
        let declared = rollout.plan.hooks.get(hook)?.clone();
        let key = format!("{}/{}/{}/{call}", rollout.id, declared.name, step + 1);
        Some(Self { hook, step, call, key, declared, rollout: Box::new(rollout.clone()) })
    }
}

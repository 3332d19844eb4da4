//! What a rollout asks of others: hooks and gates elsewhere. How they are asked is behind [`Outside`].
//!
//! - [`Others`] asks over HTTP ([`client`]), with what [`secret`] files hold
//! - `hook` and `gate`: what is sent, and what the answers mean
//! - [`notify`]: people are told, from the outbox of the journal

pub mod client;
mod gate;
mod hook;
pub mod notify;
pub mod secret;
#[cfg(test)]
pub(crate) mod stub;

use std::{pin::Pin, sync::Arc};

use tokio::sync::Notify;

use self::{client::Client, notify::Notifier};
use super::{
    judge::Answer,
    links::Links,
    machine::{HookAnswer, Rollout},
};
use crate::{
    config::model::rollout::{Check, Hook},
    control::Control,
    telemetry::ControlStats,
    types::clock,
};

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

/// Asks over HTTP.
#[derive(Debug, Clone)]
pub struct Others {
    client: Client,
    outbox: Arc<Notify>,
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

// === impl Others ===

impl Others {
    /// One that asks with `client`, and wakes whoever waits for `outbox` when there are messages.
    #[must_use]
    pub fn new(client: Client, outbox: Arc<Notify>) -> Self {
        Self { client, outbox }
    }

    /// One for the rollouts of `control`, and who tells people of them, which is counted in `stats`.
    #[must_use]
    pub fn of(control: &Control, links: Links, stats: Arc<ControlStats>) -> (Self, Notifier) {
        let (client, outbox) = (Client::new(), Arc::new(Notify::new()));
        let notifier = Notifier {
            journal: control.journal().clone(),
            addressees: Arc::new(control.clone()),
            client: client.clone(),
            links,
            outbox: Arc::clone(&outbox),
            stats,
        };
        (Self::new(client, outbox), notifier)
    }
}

impl Outside for Others {
    fn call(&self, call: HookCall) -> Asked<HookAnswer> {
        let client = self.client.clone();
        Box::pin(async move { hook::call(&client, &call, now_ms()).await })
    }

    fn ask(&self, check: &Check, server: Option<&str>) -> Asked<Answer> {
        let (client, check, server) = (self.client.clone(), check.clone(), server.map(str::to_owned));
        Box::pin(async move { gate::ask(&client, &check, server.as_deref()).await })
    }

    fn messages_are_due(&self) {
        self.outbox.notify_one();
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX)
}

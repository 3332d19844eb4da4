//! People are told: messages of the outbox go to Slack, to web services, to GitHub.
//!
//! - Nobody waits for this. Messages are in the journal before anybody is told; what goes wrong here is tried again later.
//! - Each sink has one message under way at a time, in their order; so one that hangs holds up nothing but its own, and there are never
//!   more connections than sinks.
//! - A message is told at least once. What came of it is in the journal before the next one of its sink goes; when Weir ends in between,
//!   it is told again, with the same key in `X-Weir-Delivery`.
//! - One that fails is tried again after 1 s, 2 s, 4 s, up to 5 min, and given up after a day. What came of the last attempt is kept.

mod events;
mod github;
mod slack;
mod words;

use std::{collections::HashMap, future::pending, path::Path, pin::pin, sync::Arc, time::Duration};

use hyper::{StatusCode, header};
use tokio::{
    sync::Notify,
    task::{Id, JoinSet},
    time::{sleep, timeout},
};

use self::words::Addresses;
use super::{
    client::{Call, CallError, Client, Reply, Url},
    now_ms,
    secret::{self, Sealing},
};
use crate::{
    config::model::rollout::{Notification, Sink},
    control::{Control, Journal, store::rollouts::Outbound},
    rollout::{links::Links, notice::Notice},
    telemetry::{ControlStats, NotificationResult},
    types::{Name, cause::chain},
};

/// For all that one attempt takes.
const ATTEMPT: Duration = Duration::from_secs(60);
/// For one call. Sinks are web services; one that takes longer is as good as gone.
const CALL: Duration = Duration::from_secs(10);
/// The first pause after a failed attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// The longest that a sink may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(3600);
/// After this time a message is of no use any more.
const GIVEN_UP_MS: u64 = 24 * 3600 * 1000;
/// Between attempts to reach a store that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// The outbox is looked at this often even when nobody says so: the wall clock, by which messages are due, may jump.
const LOOK: Duration = Duration::from_secs(60);

/// Where people are told, as the configuration in force says.
pub trait Addressees: Send + Sync + 'static {
    /// The notification of this name.
    fn notification(&self, name: &str) -> Option<Notification>;

    /// The address by which people reach the admin API, without a slash at its end; `None` where none is known.
    fn public_url(&self) -> Option<String>;
}

/// Sends what is in the outbox.
pub struct Notifier {
    /// Where the outbox is.
    pub journal: Journal,
    /// Where messages go.
    pub addressees: Arc<dyn Addressees>,
    /// How they get there.
    pub client: Client,
    /// What makes links.
    pub links: Links,
    /// Told when there are messages.
    pub outbox: Arc<Notify>,
    /// Where it is counted.
    pub stats: Arc<ControlStats>,
}

/// A message on its way.
struct Errand<'a> {
    client: &'a Client,
    notice: &'a Notice,
    /// What tells the delivery from others.
    key: &'a str,
    now_ms: u64,
    addresses: Addresses,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It is there, and this was said.
    Sent(String),
    /// It was not to be sent.
    Unwanted(&'static str),
    /// It may work later, at the earliest after this time.
    Failed(String, Duration),
    /// It will never work.
    Refused(String),
}

impl Addressees for Control {
    fn notification(&self, name: &str) -> Option<Notification> {
        let name = Name::new(name).ok()?;
        self.state().file.config.notifications.get(&name).cloned()
    }

    fn public_url(&self) -> Option<String> {
        self.state().file.config.admin.public_url.clone()
    }
}

// === impl Notifier ===

impl Notifier {
    /// Sends messages until `stop` is done. What is under way then is sent again after the next start.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let this = Arc::new(self);
        let mut errands: JoinSet<()> = JoinSet::new();
        let mut busy: HashMap<Id, String> = HashMap::new();
        loop {
            let wait = tokio::select! {
                () = &mut stop => break,
                wait = this.send_due(&mut errands, &mut busy) => wait,
            };
            tokio::select! {
                () = &mut stop => break,
                () = this.outbox.notified() => {}
                () = sleep(wait) => {}
                ended = next(&mut errands) => drop(busy.remove(&ended)),
            }
        }
        errands.shutdown().await;
    }

    /// Sends the first message of each sink that has none under way, and says when to look again.
    async fn send_due(
        self: &Arc<Self>,
        errands: &mut JoinSet<()>,
        busy: &mut HashMap<Id, String>,
    ) -> Duration {
        let now = now_ms();
        let Ok((due, next)) = self.journal.due_messages(now, 1).await else { return STORE_PAUSE };
        for message in due {
            if busy.values().any(|sink| *sink == message.sink) {
                continue;
            }
            let sink = message.sink.clone();
            let this = Arc::clone(self);
            let errand = errands.spawn(async move { this.deliver(message).await });
            busy.insert(errand.id(), sink);
        }
        next.map_or(LOOK, |next| Duration::from_millis(next.saturating_sub(now).max(1)).min(LOOK))
    }

    /// Tries to send a message, and returns when the journal knows what came of it.
    async fn deliver(&self, message: Outbound) {
        // A file on a disk that hangs has no timeout of its own.
        let outcome = timeout(ATTEMPT, self.attempt(&message)).await;
        let late = |_| Outcome::Failed(format!("no end within {ATTEMPT:?}"), Duration::ZERO);
        let outcome = outcome.unwrap_or_else(late);
        let (settled, result) = settled(message, outcome, now_ms(), rand::random());
        self.stats.notification(result);
        while self.journal.set_message(settled.clone()).await.is_err() {
            sleep(STORE_PAUSE).await;
        }
    }

    async fn attempt(&self, message: &Outbound) -> Outcome {
        let Ok(notice) = serde_json::from_str::<Notice>(&message.message) else {
            return Outcome::Refused("the message cannot be read".to_owned());
        };
        let Some(Notification { on, sink }) = self.addressees.notification(&message.sink) else {
            return Outcome::Unwanted("the control file does not have this notification any more");
        };
        if !(on.is_empty() || on.contains(&notice.occasion)) {
            return Outcome::Unwanted("the notification does not tell this");
        }
        let public_url = self.addressees.public_url();
        let addresses = Addresses::of((&notice, &message.sink), public_url.as_deref(), &self.links);
        let errand =
            Errand { client: &self.client, notice: &notice, key: &message.key, now_ms: now_ms(), addresses };
        let sent = match &sink {
            Sink::Slack { url_file } => errand.to_slack(url_file).await,
            Sink::Webhook { url, headers, secret_file } => {
                let sealing = Sealing { headers, secret_file: secret_file.as_deref(), key: errand.key };
                errand.to_webhook(url, sealing).await
            }
            Sink::Github { repository, token_file, api, labels } => {
                github::tell(&errand, &github::Place { repository, token_file, api, labels }).await
            }
        };
        sent.unwrap_or_else(|error| Outcome::Failed(chain(&error), Duration::ZERO))
    }
}

/// The next errand that ends.
async fn next(errands: &mut JoinSet<()>) -> Id {
    match errands.join_next_with_id().await {
        Some(Ok((id, ()))) => id,
        Some(Err(error)) => error.id(),
        None => pending().await,
    }
}

/// A message after an attempt with this outcome, and what that is called; `random` is 0 to 1.
fn settled(message: Outbound, outcome: Outcome, now_ms: u64, random: f64) -> (Outbound, NotificationResult) {
    let attempts = message.attempts.saturating_add(1);
    let (result, due_ms, outcome) = match outcome {
        Outcome::Sent(said) => (NotificationResult::Sent, None, format!("sent: {said}")),
        Outcome::Unwanted(why) => (NotificationResult::Skipped, None, format!("not sent: {why}")),
        Outcome::Refused(why) => (NotificationResult::Refused, None, format!("refused: {why}")),
        Outcome::Failed(why, _) if now_ms.saturating_sub(message.made_ms) >= GIVEN_UP_MS => {
            (NotificationResult::GivenUp, None, format!("given up after {attempts} attempts: {why}"))
        }
        Outcome::Failed(why, wish) => {
            let pause = pause(attempts, random).max(wish.min(LONGEST_WISH));
            let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            (NotificationResult::Failed, Some(now_ms.saturating_add(pause)), format!("failed: {why}"))
        }
    };
    (Outbound { attempts, due_ms, outcome: Some(outcome), ..message }, result)
}

/// The pause after so many failed attempts: twice as long each time. Half of it is random, so that messages that failed together are not
/// tried again together.
fn pause(attempts: u32, random: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

// === impl Outcome ===

impl Outcome {
    /// What a sink's answer means.
    fn of(reply: &Reply) -> Self {
        const NEVER: [StatusCode; 5] = [
            StatusCode::BAD_REQUEST,
            StatusCode::GONE,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        let said = reply.said();
        if reply.status.is_success() {
            return Self::Sent(said);
        }
        if NEVER.contains(&reply.status) {
            return Self::Refused(said);
        }
        // Of its two forms (RFC 9110, section 10.2.3) services of this kind send seconds.
        let wish = reply.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Self::Failed(said, wish.map_or(Duration::ZERO, Duration::from_secs))
    }
}

// === impl Errand ===

impl Errand<'_> {
    async fn to_slack(&self, url_file: &Path) -> Result<Outcome, CallError> {
        let url = Url::parse(&secret::read(url_file).await?)?;
        let body = slack::body(self.notice, &self.addresses).to_string();
        let call = Call::post(url, "application/json", body);
        let sealing = Sealing { headers: &[], secret_file: None, key: self.key };
        Ok(Outcome::of(&self.client.send(sealing.seal(call, self.now_ms / 1000).await?, CALL).await?))
    }

    async fn to_webhook(&self, url: &str, sealing: Sealing<'_>) -> Result<Outcome, CallError> {
        let body = events::body(self.notice, self.key, &self.addresses).to_string();
        let call = Call::post(Url::parse(url)?, events::MEDIA_TYPE, body);
        Ok(Outcome::of(&self.client.send(sealing.seal(call, self.now_ms / 1000).await?, CALL).await?))
    }
}

#[cfg(test)]
mod tests;

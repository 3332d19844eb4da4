//! Calls of hooks: what is sent, and what the answer means.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    HookCall,
    client::{Call, CallError, Client, Url},
    secret::{self, Sealing},
};
use crate::{
    config::model::rollout::{HookKind, Payload},
    rollout::{
        machine::{HookAnswer, Phase, Rollout, Spread},
        reason::Reason,
    },
    types::{Name, cause::chain},
};

/// Calls a hook once, at `now` milliseconds since the Unix epoch.
pub(super) async fn call(client: &Client, call: &HookCall, now_ms: u64) -> HookAnswer {
    let limit = call.declared.timeout;
    // Files are read within the same time: one on a disk that hangs must not hold the driver's hook up for good.
    match timeout(limit, send(client, call, now_ms)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => HookAnswer::Failed(chain(&error)),
        Err(_) => HookAnswer::Failed(format!("no answer within {limit:?}")),
    }
}

async fn send(client: &Client, call: &HookCall, now_ms: u64) -> Result<HookAnswer, CallError> {
    let hook = &call.declared;
    let request = Call::post(Url::parse(&hook.url)?, "application/json", body(call, now_ms));
    let sealing =
        Sealing { headers: &hook.headers, secret_file: hook.secret_file.as_deref(), key: &call.key };
    let request = sealing.seal(request, now_ms / 1000).await?;
    let reply = client.send(request, hook.timeout).await?;
    let said = reply.said();
    Ok(if reply.status.is_success() { HookAnswer::Yes(said) } else { HookAnswer::No(said) })
}

fn body(call: &HookCall, now_ms: u64) -> Vec<u8> {
    let body = match call.declared.payload {
        Payload::Weir => serde_json::to_vec(&WeirBody::of(call)),
        Payload::Flagger => serde_json::to_vec(&FlaggerBody::of(call, now_ms)),
    };
    // Texts, numbers and maps with texts as keys: nothing of them cannot be written.
    body.unwrap_or_default()
}

/// What is sent by default: everything.
#[derive(Serialize)]
struct WeirBody<'a> {
    /// The same as in the field `X-Weir-Delivery`.
    delivery: &'a str,
    hook: WeirHook<'a>,
    rollout: WeirRollout<'a>,
    /// Why the rollout ended, paused, holds or waits, where it does.
    reason: Option<&'a Reason>,
    metadata: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct WeirHook<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: HookKind,
    /// From 1.
    call: u32,
}

#[derive(Serialize)]
struct WeirRollout<'a> {
    id: &'a str,
    attempt: u32,
    routes: &'a [Name],
    baseline: &'a Name,
    canary: &'a Name,
    version: Option<&'a str>,
    phase: Phase,
    step: WeirStep,
    by: &'a str,
    why: Option<&'a str>,
    began_at: Option<String>,
    ended_at: Option<String>,
}

/// The step that the hook is asked about.
#[derive(Serialize)]
struct WeirStep {
    /// From 1.
    number: usize,
    of: usize,
    /// The canary's share at it, 0 to 1.
    share: f64,
}

// === impl WeirBody ===

impl<'a> WeirBody<'a> {
    fn of(call: &'a HookCall) -> Self {
        let (hook, rollout) = (&call.declared, &*call.rollout);
        let plan = &rollout.plan;
        Self {
            delivery: &call.key,
            hook: WeirHook { name: &hook.name, kind: hook.kind, call: call.call },
            rollout: WeirRollout {
                id: &rollout.id,
                attempt: rollout.attempt,
                routes: &rollout.routes,
                baseline: &plan.baseline,
                canary: &plan.canary,
                version: plan.version.as_deref(),
                phase: rollout.phase,
                step: WeirStep {
                    number: call.step + 1,
                    of: plan.steps.len(),
                    share: Spread::of(&plan.steps, call.step).share.as_f64(),
                },
                by: &rollout.by,
                why: rollout.why.as_deref(),
                began_at: time(rollout.began_ms),
                ended_at: rollout.ended_ms.and_then(time),
            },
            reason: reason(rollout),
            metadata: hook.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        }
    }
}

/// Why a rollout is where it is, the weightiest first.
fn reason(rollout: &Rollout) -> Option<&Reason> {
    let ending = rollout.ending.as_ref().map(|ending| &ending.reason);
    let paused = rollout.paused.as_ref().map(|paused| &paused.reason);
    ending.or(paused).or(rollout.held.as_ref()).or(rollout.waits_for.as_ref())
}

/// A time by RFC 3339; `None` beyond the year 9999.
pub(super) fn time(ms: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(format!("{at:.3}"))
}

/// What Flagger sends (fluxcd/flagger: `CanaryWebhookPayload` in pkg/apis/flagger/v1beta1/canary.go).
#[derive(Serialize)]
struct FlaggerBody<'a> {
    /// The first route; Flagger has one canary for each.
    name: &'a str,
    /// What `namespace` in the metadata says, since load testers may take calls of some namespaces only.
    namespace: &'a str,
    phase: &'static str,
    checksum: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, String>,
}

// === impl FlaggerBody ===

impl<'a> FlaggerBody<'a> {
    fn of(call: &'a HookCall, now_ms: u64) -> Self {
        let rollout = &*call.rollout;
        let declared = call.declared.metadata.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let mut metadata: BTreeMap<_, _> = declared.collect();
        if call.declared.kind == HookKind::Event {
            // What an event says of itself comes before what is declared, as with Flagger.
            metadata.extend([
                ("eventMessage", message(rollout)),
                ("eventType", event_type(rollout.phase).to_owned()),
                ("timestamp", now_ms.to_string()),
            ]);
        }
        let namespace = call.declared.metadata.iter().find(|(name, _)| name == "namespace");
        Self {
            name: rollout.routes.first().map_or("", Name::as_str),
            namespace: namespace.map_or("default", |(_, value)| value),
            phase: flagger_phase(call.declared.kind, rollout),
            checksum: checksum(rollout),
            metadata,
        }
    }
}

/// The word of Flagger for where a rollout is. Its hooks before and during the analysis are always told `Progressing`
/// (pkg/controller/scheduler_hooks.go).
fn flagger_phase(kind: HookKind, rollout: &Rollout) -> &'static str {
    use HookKind::{ConfirmPromotion, ConfirmStep, PreRollout, Rollout as During};
    if matches!(kind, PreRollout | During | ConfirmStep | ConfirmPromotion) {
        return "Progressing";
    }
    let is_last = rollout.step + 2 >= rollout.plan.steps.len();
    match rollout.phase {
        Phase::Waiting => "Waiting",
        Phase::AwaitingApproval if is_last => "WaitingPromotion",
        Phase::AwaitingApproval => "Waiting",
        Phase::Progressing | Phase::Paused => "Progressing",
        Phase::Baking => "Promoting",
        Phase::Promoted => "Succeeded",
        Phase::RollingBack | Phase::RolledBack | Phase::Aborted | Phase::Superseded => "Failed",
    }
}

fn event_type(phase: Phase) -> &'static str {
    match phase {
        Phase::RollingBack | Phase::RolledBack | Phase::Aborted => "Warning",
        _ => "Normal",
    }
}

fn message(rollout: &Rollout) -> String {
    let phase = rollout.phase.as_str().replace('_', " ");
    let (step, of) = (rollout.step + 1, rollout.plan.steps.len());
    let told = format!("{}: {phase}, step {} of {of}", rollout.id, step.min(of));
    reason(rollout).map_or_else(|| told.clone(), |reason| format!("{told}: {}", reason.words))
}

/// Tells one thing that is rolled out from another: the same for all calls about it, in this attempt and the next.
fn checksum(rollout: &Rollout) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [rollout.plan.canary.as_str(), rollout.plan.version.as_deref().unwrap_or_default()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    secret::hex(&context.finish().as_ref()[..5])
}

#[cfg(test)]
mod tests;

//! Which backend a request gets: the one entry point of splitting.
//!
//! The first of these that applies decides: the kill switch, a signed override, the user's override, the rules in order, the split. docs/splitting.md tells it
//! to operators. [`explain`](super::explain()) runs this same code with a recorder, so the two cannot disagree; with
//! [`Silent`] the recorder costs nothing.

use super::{
    claims::Claims,
    condition::{Facts, Identity},
    cookie::{CookieValue, Keyring, day_of},
    explain::{Outcome, Silent, Step, Trace},
    plan::{CompiledRule, CompiledTarget, SplitPlan},
    region::RegionSources,
    signed,
};
use crate::{
    http::{Known, RequestView},
    types::{BackendState, Bucket, Reason, StickyMode},
};

/// What an assignment needs beside the plan and the request.
#[derive(Debug, Clone, Copy)]
pub struct AssignContext<'a> {
    /// The keys of the assignment cookie.
    pub keyring: &'a Keyring,
    /// The wall-clock time, seconds since 1970.
    pub now_unix_secs: u64,
    /// Where regions come from.
    pub regions: &'a RegionSources,
    /// Whether the request came over TLS.
    pub secure: bool,
    /// What the user's verified token says; `None` without one.
    pub claims: Option<&'a Claims>,
}

/// A request's backend and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Its index in [`SplitPlan::backends`].
    pub backend: usize,
    /// The step that decided.
    pub reason: Reason,
    /// The index of the rule that decided.
    pub rule: Option<usize>,
    /// The bucket that decided, where one did.
    pub bucket: Option<Bucket>,
    /// Whether the user has that bucket the next time too.
    pub keeps_bucket: bool,
    /// The cookie to set, if it has to change; [`SplitPlan::set_cookie_header`] writes it.
    pub set_cookie: Option<CookieValue>,
    /// Whether the cookie is set for a user who had none that counts.
    pub new_bucket: bool,
}

/// The backend of a request. `entropy` is 64 fresh random bits; they matter only for users without identity or cookie,
/// and in mode `none`.
#[must_use]
pub fn assign(
    plan: &SplitPlan,
    request: &RequestView<'_>,
    context: &AssignContext<'_>,
    entropy: u64,
) -> Assignment {
    decide(&Facts::new(plan, request, context, entropy), &mut Silent)
}

/// The bucket that stands for whoever sends the request, whichever step of the [`assign`]ment decided: the same for all
/// requests of a user, for what else is to be the same for one. `None` when there is nothing to know the user by again.
/// `entropy` is that of the assignment.
#[must_use]
pub fn affinity(
    plan: &SplitPlan,
    request: &RequestView<'_>,
    context: &AssignContext<'_>,
    (entropy, assignment): (u64, &Assignment),
) -> Option<Bucket> {
    let user = Facts::new(plan, request, context, entropy).user();
    let known_again = user.reason != Reason::Draw || assignment.set_cookie.is_some();
    known_again.then(|| user.bucket(&plan.salt))
}

pub(super) fn decide(facts: &Facts<'_>, trace: &mut impl Trace) -> Assignment {
    let plan = facts.plan;
    let by_operator = |backend, reason| Assignment {
        backend,
        reason,
        rule: None,
        bucket: None,
        keeps_bucket: false,
        set_cookie: None,
        new_bucket: false,
    };
    if let Some(backend) = plan.kill_switch {
        trace.record(|| Step::new("kill_switch", Outcome::Decided, format!("on: {}", name(plan, backend))));
        return by_operator(backend, Reason::KillSwitch);
    }
    trace.record(|| Step::new("kill_switch", Outcome::Passed, "off".to_owned()));
    if let Some(backend) = signed_override(facts, trace) {
        return by_operator(backend, Reason::Override);
    }
    if !plan.overrides.is_empty()
        && let Some(backend) = overridden(facts, trace)
    {
        return by_operator(backend, Reason::Override);
    }
    let by_rule = plan.rules.iter().enumerate().find_map(|(index, rule)| {
        apply(rule, facts, trace).map(|(backend, bucket)| (index, backend, bucket))
    });
    if let Some((index, backend, bucket)) = by_rule {
        let set_cookie = cookie_after_rule(facts);
        return Assignment {
            backend,
            reason: Reason::Rule,
            rule: Some(index),
            bucket,
            keeps_bucket: bucket.is_some() && keeps_bucket(facts, set_cookie.is_some()),
            set_cookie,
            new_bucket: set_cookie.is_some() && facts.cookie().is_none(),
        };
    }
    let (backend, reason, bucket) = split(facts, trace);
    let set_cookie = cookie_after_split(facts, backend, reason);
    Assignment {
        backend,
        reason,
        rule: None,
        bucket,
        keeps_bucket: bucket.is_some() && keeps_bucket(facts, set_cookie.is_some()),
        set_cookie,
        new_bucket: set_cookie.is_some() && facts.cookie().is_none(),
    }
}

/// The backend that a signed header gives whoever sends the request.
fn signed_override(facts: &Facts<'_>, trace: &mut impl Trace) -> Option<usize> {
    let text = facts.request.headers.known(Known::XWeirOverride).next()?;
    let context = facts.context;
    let found = signed::verify(text, facts.plan, (context.keyring, context.now_unix_secs));
    trace.record(|| match found {
        Ok(backend) => Step::new("signed override", Outcome::Decided, name(facts.plan, backend)),
        Err(unsigned) => {
            Step::new("signed override", Outcome::Passed, format!("ignored: {}", unsigned.as_str()))
        }
    });
    found.ok()
}

/// The backend that was chosen for this user by name, if it takes users.
fn overridden(facts: &Facts<'_>, trace: &mut impl Trace) -> Option<usize> {
    let overrides = &facts.plan.overrides;
    let found = match facts.identity()?.identity {
        Identity::Text(text) => overrides.get(text),
        Identity::Address(address) => overrides.get(address.to_string().as_bytes()),
        Identity::Number(_) => None,
    };
    let takes = found.filter(|backend| facts.plan.backends()[**backend].state != BackendState::Off);
    trace.record(|| match (found, takes) {
        (_, Some(backend)) => Step::new("override", Outcome::Decided, name(facts.plan, *backend)),
        (Some(backend), None) => {
            let detail = format!("{}, which takes nobody", name(facts.plan, *backend));
            Step::new("override", Outcome::Passed, detail)
        }
        (None, None) => Step::new("override", Outcome::Passed, "none for this user".to_owned()),
    });
    takes.copied()
}

/// The backend that a rule gives, if it applies and one of its backends takes users.
fn apply(rule: &CompiledRule, facts: &Facts<'_>, trace: &mut impl Trace) -> Option<(usize, Option<Bucket>)> {
    let step = |outcome, detail| Step::new(&format!("rule {}", rule.name), outcome, detail);
    if !rule.condition.holds(facts) {
        trace.record(|| {
            let part = rule.condition.decisive(facts);
            step(Outcome::Passed, format!("does not hold: {part}{}", seen(facts)))
        });
        return None;
    }
    let (backend, bucket) = match &rule.target {
        CompiledTarget::Nobody => {
            trace.record(|| step(Outcome::Passed, "holds, but its backend takes nobody".to_owned()));
            return None;
        }
        CompiledTarget::Backend(backend) => (*backend, None),
        CompiledTarget::Split(allocation) => {
            let (bucket, _) = split_bucket(facts);
            (allocation.owner(bucket), Some(bucket))
        }
    };
    trace.record(|| {
        let part = rule.condition.decisive(facts);
        let by = bucket.map(|bucket| format!(" by bucket {bucket}")).unwrap_or_default();
        step(Outcome::Decided, format!("{}{by}; holds: {part}{}", name(facts.plan, backend), seen(facts)))
    });
    Some((backend, bucket))
}

/// The last step, which always gives a backend.
fn split(facts: &Facts<'_>, trace: &mut impl Trace) -> (usize, Reason, Option<Bucket>) {
    let plan = facts.plan;
    if plan.mode == StickyMode::Pin {
        if let Some(backend) = pinned(facts) {
            trace.record(|| Step::new("pin", Outcome::Decided, name(plan, backend)));
            return (backend, Reason::Pin, None);
        }
        trace.record(|| Step::new("pin", Outcome::Passed, "no cookie with a pin that counts".to_owned()));
    }
    let (bucket, reason) = split_bucket(facts);
    let backend = plan.allocation.owner(bucket);
    trace.record(|| {
        let detail = format!("{} by bucket {bucket} ({})", name(plan, backend), reason.as_str());
        Step::new("split", Outcome::Decided, detail)
    });
    (backend, reason, Some(bucket))
}

/// The backend of the user's pin, while the epoch is not raised and the backend keeps its users.
fn pinned(facts: &Facts<'_>) -> Option<usize> {
    let value = facts.cookie()?.value;
    let backend = facts.plan.pinned(value.pin?)?;
    let keeps = facts.plan.backends()[backend].state != BackendState::Off;
    (value.epoch >= facts.plan.epoch && keeps).then_some(backend)
}

/// The bucket for weights, and what it comes from. In mode `none` nobody is recognised.
fn split_bucket(facts: &Facts<'_>) -> (Bucket, Reason) {
    if facts.plan.mode == StickyMode::None {
        return (facts.draw, Reason::Draw);
    }
    let user = facts.user();
    (user.bucket(&facts.plan.salt), user.reason)
}

/// Whether the bucket that decided is found again: by what the user is known by, or by a cookie that is set now.
fn keeps_bucket(facts: &Facts<'_>, sets_cookie: bool) -> bool {
    let drawn = facts.known_user().is_none_or(|user| user.reason == Reason::Draw);
    facts.plan.mode != StickyMode::None && (!drawn || sets_cookie)
}

// --- cookies ---

/// A rule that used the user's number must find the same one next time; other rules leave cookies alone.
fn cookie_after_rule(facts: &Facts<'_>) -> Option<CookieValue> {
    match facts.known_user()?.reason {
        Reason::Draw if facts.plan.cookie.is_some() => Some(fresh(facts, facts.draw, None)),
        Reason::Cookie => renewed(facts),
        _ => None,
    }
}

fn cookie_after_split(facts: &Facts<'_>, backend: usize, reason: Reason) -> Option<CookieValue> {
    facts.plan.cookie.as_ref()?;
    match (facts.plan.mode, reason) {
        (StickyMode::None, _) => None,
        (StickyMode::Pin, Reason::Pin) => renewed(facts),
        (StickyMode::Pin, _) => {
            let number = facts.cookie().map_or(facts.draw, |verified| verified.value.number);
            Some(fresh(facts, number, Some(facts.plan.pin(backend))))
        }
        (StickyMode::Bucket, Reason::Draw) => Some(fresh(facts, facts.draw, None)),
        (StickyMode::Bucket, Reason::Cookie) => renewed(facts),
        (StickyMode::Bucket, _) => None,
    }
}

fn fresh(facts: &Facts<'_>, number: Bucket, pin: Option<u32>) -> CookieValue {
    let issued_day = day_of(facts.context.now_unix_secs);
    CookieValue { number, epoch: facts.plan.epoch, issued_day, pin }
}

/// The same again, when it is signed with the previous key or, without a pin, half its time has passed: a visitor who
/// keeps coming keeps the number. A pin is to age out, so it keeps its day.
fn renewed(facts: &Facts<'_>) -> Option<CookieValue> {
    let verified = facts.cookie()?;
    match verified.value {
        value @ CookieValue { pin: Some(_), .. } => verified.old_key.then_some(value),
        value => (verified.old_key || verified.ageing).then(|| fresh(facts, value.number, None)),
    }
}

// --- words for the trace ---

fn name(plan: &SplitPlan, backend: usize) -> String {
    plan.backends()[backend].name.to_string()
}

/// The region, if a condition has asked for it.
fn seen(facts: &Facts<'_>) -> String {
    facts.known_region().map(|region| format!(" (region {region})")).unwrap_or_default()
}

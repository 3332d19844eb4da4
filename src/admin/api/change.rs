//! What all changes have in common: how they are asked for, carried out and answered.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequest, Query, Request},
    http::HeaderMap,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    problem::{Kind, Refused},
    request,
    types::history::Outcome,
    weights,
};
use crate::{
    admin::{AppState, auth::Peer},
    config::model,
    control::{Accepted, Change, Command, Once, State},
    split::Allocation,
    types::{BUCKETS, BackendState, Bucket, Name, Weight},
};

/// The longest idempotency key, in bytes.
const KEY_LIMIT: usize = 255;

/// The parameters that every change takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WriteQuery {
    dry_run: Option<String>,
}

/// A request for a change, before anybody has looked at the members of its body.
pub(super) struct Sent {
    headers: HeaderMap,
    peer: Peer,
    dry_run: bool,
    body: Map<String, Value>,
}

/// A change as it was asked for.
pub(super) struct Asked {
    pub(super) headers: HeaderMap,
    /// The other end of the connection.
    pub(super) peer: Peer,
    pub(super) dry_run: bool,
    /// The members of the body.
    pub(super) body: Map<String, Value>,
    pub(super) reason: Option<String>,
    pub(super) once: Option<Once>,
}

/// Carries out `change`, and says what became of it. An emergency ignores `If-Match`; any other change whose sender has seen an older
/// revision is told the state now.
///
/// # Errors
/// Why it was refused.
pub(super) async fn carry_out(
    app: &AppState,
    change: Change,
    asked: Asked,
) -> Result<(Accepted, Outcome), Refused> {
    let Asked { headers, dry_run, reason, once, .. } = asked;
    let expected =
        if change.is_emergency() { None } else { request::if_match(&headers, &app.control.state())? };
    let route = change.route().map(str::to_owned);
    let command =
        Command { expected, dry_run, once, ..Command::new(change, request::origin(&headers, reason)) };
    let accepted = match request::apply(app, command).await {
        Ok(accepted) => accepted,
        Err(refusal) => return Err(with_current(app, route.as_deref(), refusal.into())),
    };
    // A dry run promises no revision.
    let revision = if dry_run { app.control.state().revision } else { accepted.state.revision };
    let outcome = Outcome {
        revision,
        changed: accepted.changed,
        dry_run,
        moved_ratio: moved(&accepted.before, &accepted.state),
        warnings: accepted.warnings.clone(),
    };
    Ok((accepted, outcome))
}

/// Shows who lost a race what won it.
fn with_current(app: &AppState, route: Option<&str>, refused: Refused) -> Refused {
    if !refused.is_conflict() {
        return refused;
    }
    let state = app.control.state();
    match route.and_then(|route| state.route(route).ok()) {
        Some(route) => refused.current(&weights::describe(&state, route)),
        None => refused.current(&json!({ "revision": state.revision })),
    }
}

/// The idempotency key of a request (draft-ietf-httpapi-idempotency-key-header): a quoted text, or, as most send it, a bare one.
/// `fingerprint` is what is asked with it.
fn once(headers: &HeaderMap, fingerprint: String) -> Result<Option<Once>, Refused> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = !key.is_empty() && key.len() <= KEY_LIMIT && key.bytes().all(|byte| byte != b'"');
    if !fits {
        let detail = format!("`Idempotency-Key` has 1 to {KEY_LIMIT} printable characters");
        return Err(Kind::InvalidParameter.because(detail).hint("a UUID serves well"));
    }
    let actor = request::origin(headers, None).actor;
    Ok(Some(Once { key: format!("{actor}/{key}"), fingerprint }))
}

/// The share of users whose backend is another one in `after`, on each route where there are any: by the splits and kill switches, without
/// rules, pins and overrides of single users.
fn moved(before: &State, after: &State) -> BTreeMap<Name, f64> {
    let shares = after.file.config.routes.iter().filter_map(|route| {
        let old = before.file.config.routes.iter().find(|old| old.name == route.name)?;
        let share = moved_on((before, old), (after, route));
        (share > 0.0).then(|| (route.name.clone(), share))
    });
    shares.collect()
}

/// The share of users on one route whose backend is another one.
fn moved_on((before, old): (&State, &model::Route), (after, new): (&State, &model::Route)) -> f64 {
    let (from, to) = (Owners::of(before, old), Owners::of(after, new));
    if from == to {
        return 0.0;
    }
    let (Some(from), Some(to)) = (from.names(), to.names()) else { return 0.0 };
    let moved = (0..BUCKETS).filter_map(Bucket::new).filter(|bucket| from(*bucket) != to(*bucket)).count();
    super::routes::tidy(f64::from(u32::try_from(moved).unwrap_or(BUCKETS)) / f64::from(BUCKETS))
}

/// Who owns which users.
#[derive(PartialEq)]
struct Owners {
    killed: Option<Name>,
    weights: Vec<(Name, Weight)>,
}

// === impl WriteQuery ===

impl WriteQuery {
    /// Whether only to say what would happen: `?dry_run=true`, or `?dry_run` alone.
    fn dry_run(&self) -> Result<bool, Refused> {
        match self.dry_run.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => {
                Err(Kind::InvalidParameter.because(format!("`dry_run` is true or false, not `{other}`")))
            }
        }
    }
}

// === impl Sent ===

impl Sent {
    /// The change, with these members in its body beside `reason`.
    pub(super) fn with(self, members: &[&'static str]) -> Result<Asked, Refused> {
        let Self { headers, peer, dry_run, body } = self;
        request::known_members(&body, &[members, &["reason"]].concat())?;
        let reason = request::text(&body, "reason")?;
        Ok(Asked { headers, peer, dry_run, body, reason, once: None })
    }

    /// The change, whose body says no more than why.
    pub(super) fn with_reason_only(self) -> Result<Asked, Refused> {
        self.with(&[])
    }
}

impl FromRequest<AppState> for Sent {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let query = Query::<WriteQuery>::try_from_uri(&parts.uri);
        let Query(query) =
            query.map_err(|rejection| Kind::InvalidParameter.because(rejection.body_text()))?;
        let body = request::json_object(&parts.headers, body).await?.unwrap_or_default();
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        Ok(Self { dry_run: query.dry_run()?, headers: parts.headers, peer, body })
    }
}

// === impl Asked ===

impl Asked {
    /// A member of the body that is a text.
    pub(super) fn text(&self, member: &'static str) -> Result<Option<String>, Refused> {
        request::text(&self.body, member)
    }

    /// The change, which is not carried out again when it is sent again with its `Idempotency-Key`; `what` tells it from others of its
    /// sender.
    pub(super) fn once(mut self, what: &str) -> Result<Self, Refused> {
        self.once = once(&self.headers, format!("{what} {:?}", self.reason))?;
        Ok(self)
    }
}

// === impl Owners ===

impl Owners {
    fn of(state: &State, route: &model::Route) -> Self {
        let standings = state.standings(route).into_iter();
        let weights = state.weights(route).into_iter().zip(standings).map(|((name, weight), standing)| {
            (name, if standing == BackendState::Active { weight } else { Weight::ZERO })
        });
        Self { killed: state.kill_switch(&route.name).cloned(), weights: weights.collect() }
    }

    /// The backend of each bucket; `None` where nobody takes users.
    fn names<'o>(&'o self) -> Option<impl Fn(Bucket) -> &'o Name> {
        let allocation = Allocation::new(&self.weights).ok();
        if allocation.is_none() && self.killed.is_none() {
            return None;
        }
        Some(move |bucket| match (&self.killed, &allocation) {
            (Some(killed), _) => killed,
            (None, Some(allocation)) => &self.weights[allocation.owner(bucket)].0,
            (None, None) => &self.weights[0].0,
        })
    }
}

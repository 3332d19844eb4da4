//! What all changes have in common: how they are asked for, carried out and answered.

use std::collections::BTreeMap;

use axum::http::HeaderMap;

use super::{
    problem::{Kind, Refused},
    request,
    types::history::Outcome,
    weights::WriteQuery,
};
use crate::{
    admin::AppState,
    config::model,
    control::{Accepted, Change, Command, Once, State},
    split::Allocation,
    types::{BUCKETS, BackendState, Bucket, Name, Weight},
};

/// The longest idempotency key, in bytes.
const KEY_LIMIT: usize = 255;

/// A change as it was asked for.
pub(super) struct Asked<'r> {
    pub(super) headers: &'r HeaderMap,
    pub(super) query: &'r WriteQuery,
    pub(super) reason: Option<String>,
}

/// Carries out `change`, and says what became of it.
///
/// # Errors
/// Why it was refused.
pub(super) async fn carry_out(
    app: &AppState,
    change: Change,
    asked: &Asked<'_>,
) -> Result<(Accepted, Outcome), Refused> {
    let command = Command {
        expected: request::if_match(asked.headers, &app.control.state())?,
        dry_run: asked.query.dry_run()?,
        once: once(asked, &change)?,
        ..Command::new(change, request::origin(asked.headers, asked.reason.clone()))
    };
    let dry_run = command.dry_run;
    let accepted = request::apply(app, command).await.map_err(Refused::from)?;
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

/// The idempotency key of a request (draft-ietf-httpapi-idempotency-key-header): a quoted text, or, as most send it, a bare one.
fn once(asked: &Asked<'_>, change: &Change) -> Result<Option<Once>, Refused> {
    let Some(value) = asked.headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = !key.is_empty() && key.len() <= KEY_LIMIT && key.bytes().all(|byte| byte != b'"');
    if !fits {
        let detail = format!("`Idempotency-Key` has 1 to {KEY_LIMIT} printable characters");
        return Err(Kind::InvalidParameter.because(detail).hint("a UUID serves well"));
    }
    let actor = request::origin(asked.headers, None).actor;
    let fingerprint = match change {
        Change::Restore(target) => format!("restore {} {:?}", target.revision, asked.reason),
        change => format!("{change:?} {:?}", asked.reason),
    };
    Ok(Some(Once { key: format!("{actor}/{key}"), fingerprint }))
}

/// The share of users whose backend is another one in `after`, on each route where there are any: by the splits and kill switches, without
/// rules, pins and overrides of single users.
pub(super) fn moved(before: &State, after: &State) -> BTreeMap<Name, f64> {
    let shares = after.file.config.routes.iter().filter_map(|route| {
        let old = before.file.config.routes.iter().find(|old| old.name == route.name)?;
        let share = moved_on((before, old), (after, route));
        (share > 0.0).then(|| (route.name.clone(), share))
    });
    shares.collect()
}

/// The share of users on one route whose backend is another one.
pub(super) fn moved_on((before, old): (&State, &model::Route), (after, new): (&State, &model::Route)) -> f64 {
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

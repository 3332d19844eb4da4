//! `/v1/audit`: who changed what, and whether the record is whole.

use axum::extract::{Query, State};
use serde::Deserialize;

use super::{
    Answer, json,
    openapi::{AuditFilter, Stored},
    page::PageQuery,
    problem::{Kind, Refused},
    types::history::{Audit, AuditEntry, Verification},
};
use crate::{
    admin::AppState,
    control::store::{AuditQuery, AuditRow},
};

/// Which rows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    limit: Option<String>,
    cursor: Option<String>,
    actor: Option<String>,
    route: Option<String>,
    action: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// Rows of the audit, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "list_audit",
    tag = "history",
    params(PageQuery, AuditFilter),
    responses((status = 200, description = "A page of rows", body = Audit), Stored)
)]
pub(super) async fn list(State(app): State<AppState>, Query(filter): Query<Filter>) -> Answer {
    let page = PageQuery { limit: filter.limit, cursor: filter.cursor }.page()?;
    let query = AuditQuery {
        before: page.below(),
        limit: page.look_up(),
        actor: filter.actor,
        route: filter.route,
        action: filter.action,
        since: filter.since.map(|text| time("since", &text)).transpose()?,
        until: filter.until.map(|text| time("until", &text)).transpose()?,
    };
    let found = app.control.history().audit(query).await?;
    let (shown, next) = page.cut(found, |row| row.seq);
    let rows = shown.into_iter().map(entry).collect();
    Ok(json(app.control.state().revision, &Audit { rows, next }))
}

/// Looks at every row for one that was changed or is missing.
#[utoipa::path(
    get,
    path = "/v1/audit/verify",
    operation_id = "verify_audit",
    tag = "history",
    responses((status = 200, description = "Whether the audit is whole", body = Verification), Stored)
)]
pub(super) async fn verify(State(app): State<AppState>) -> Answer {
    let verification = match app.control.history().verify().await? {
        Ok(verified) => Verification {
            ok: true,
            problem: None,
            rows: Some(verified.rows),
            head: Some(verified.head.to_string()),
        },
        Err(broken) => Verification { ok: false, problem: Some(broken.to_string()), rows: None, head: None },
    };
    Ok(json(app.control.state().revision, &verification))
}

/// A time as rows have it.
fn time(parameter: &str, text: &str) -> Result<String, Refused> {
    // A `+` of an offset that was not encoded arrives as a space.
    let parsed = text.replace(' ', "+").parse::<jiff::Timestamp>();
    parsed.map(|time| format!("{time:.3}")).map_err(|_| {
        Kind::InvalidParameter
            .because(format!("`{parameter}` is not a time: `{text}`"))
            .hint("send RFC 3339, such as 2026-01-31T12:00:00Z")
    })
}

fn entry(found: AuditRow) -> AuditEntry {
    let row = found.row;
    AuditEntry {
        seq: found.seq,
        time: row.time,
        revision: row.revision,
        origin: row.origin,
        action: row.action,
        result: row.result,
        route: row.route,
        from: row.from,
        to: row.to,
        hash: found.hash,
    }
}

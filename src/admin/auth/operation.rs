//! What each call of the admin API is called in metrics and audits, and who may make it: one table.
//!
//! The table is asked with the path that the router has matched, never with the text of the request, so that no spelling of
//! a path is one thing here and another there. What is not in the table takes an administrator. docs/security.md has the
//! same table for people.

use axum::http::Method;

use crate::types::Role;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name, a label of metrics.
    pub label: &'static str,
    /// Who may do it.
    pub need: Need,
    /// Whether it changes traffic, and so is limited to the routes of a token.
    pub changes: bool,
}

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Everybody, known or not.
    Open,
    /// Those who may read metrics.
    Metrics,
    /// Whoever has this role, or one above.
    Role(Role),
}

const OPEN: Need = Need::Open;
const METRICS: Need = Need::Metrics;
const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// A path, and what reading (GET, HEAD, OPTIONS) and anything else on it is.
type Row = (&'static str, (&'static str, Need), Option<(&'static str, Need)>);

/// A call that takes an operator and changes nothing.
const COMPARING: &str = "diff_config";

/// A call whose body says which routes it is about; whoever answers it looks whether they are those of the token.
const STARTING: &str = "start_rollout";

/// Every path. The control file may have secrets, in headers that it sets for example; so what it says, and said at a revision, is
/// for administrators.
const TABLE: &[Row] = &[
    ("/livez", ("livez", OPEN), None),
    ("/readyz", ("readyz", OPEN), None),
    ("/metrics", ("metrics", METRICS), None),
    // Logging in is how one becomes known.
    ("/v1/session", ("session", VIEWER), Some(("session", OPEN))),
    ("/v1/openapi.json", ("openapi", VIEWER), None),
    ("/v1/status", ("status", VIEWER), None),
    ("/v1/events", ("events", VIEWER), None),
    ("/v1/routes", ("routes", VIEWER), None),
    ("/v1/routes/{route}", ("routes", VIEWER), None),
    ("/v1/routes/{route}/weights", ("get_weights", VIEWER), Some(("set_weights", OPERATOR))),
    ("/v1/routes/{route}/kill-switch", ("get_kill_switch", VIEWER), Some(("set_kill_switch", OPERATOR))),
    ("/v1/routes/{route}/overrides", ("get_overrides", VIEWER), Some(("set_override", OPERATOR))),
    ("/v1/routes/{route}/overrides/{key}", ("get_overrides", VIEWER), Some(("set_override", OPERATOR))),
    ("/v1/routes/{route}/signed-overrides", ("sign_override", VIEWER), Some(("sign_override", OPERATOR))),
    ("/v1/routes/{route}/overlay", ("get_overlay", VIEWER), Some(("drop_overlay", ADMIN))),
    // It asks what would happen, and changes nothing.
    ("/v1/routes/{route}/explain", ("explain", VIEWER), Some(("explain", VIEWER))),
    ("/v1/backends", ("backends", VIEWER), None),
    ("/v1/backends/{backend}", ("backends", VIEWER), None),
    ("/v1/backends/{backend}/drain", ("get_drain", VIEWER), Some(("set_drain", OPERATOR))),
    ("/v1/config", ("get_config", ADMIN), None),
    ("/v1/config/effective", ("get_config", ADMIN), None),
    ("/v1/config/schema", ("get_config", VIEWER), None),
    ("/v1/config/check", ("check_config", VIEWER), Some(("check_config", VIEWER))),
    // What may be a secret is withheld from an operator.
    ("/v1/config/diff", (COMPARING, OPERATOR), Some((COMPARING, OPERATOR))),
    ("/v1/revisions", ("revisions", VIEWER), None),
    ("/v1/revisions/{revision}", ("revisions", ADMIN), None),
    ("/v1/revisions/{revision}/diff", ("diff", OPERATOR), None),
    ("/v1/revisions/{revision}/restore", ("restore", VIEWER), Some(("restore", ADMIN))),
    ("/v1/rollouts", ("rollouts", VIEWER), Some((STARTING, OPERATOR))),
    ("/v1/rollouts/{rollout}", ("rollouts", VIEWER), None),
    ("/v1/rollouts/{rollout}/entries", ("rollouts", VIEWER), None),
    ("/v1/rollouts/{rollout}/pause", ("pause_rollout", VIEWER), Some(("pause_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/resume", ("resume_rollout", VIEWER), Some(("resume_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/promote", ("promote_rollout", VIEWER), Some(("promote_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/abort", ("abort_rollout", VIEWER), Some(("abort_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/approve", ("approve_rollout", VIEWER), Some(("approve_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/reject", ("reject_rollout", VIEWER), Some(("reject_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/undo", ("undo_rollout", VIEWER), Some(("undo_rollout", OPERATOR))),
    ("/v1/rollouts/{rollout}/retry", ("retry_rollout", VIEWER), Some(("retry_rollout", OPERATOR))),
    // The link itself is what one has to have; the handler looks at it.
    ("/v1/rollouts/{rollout}/links/{token}", ("rollout_link", OPEN), Some(("rollout_link", OPEN))),
    ("/v1/audit", ("audit", VIEWER), None),
    ("/v1/audit/verify", ("audit", VIEWER), None),
];

// === impl Operation ===

impl Operation {
    /// An attempt to log in.
    pub(in crate::admin) const fn login() -> Self {
        Self { label: "session", need: OPEN, changes: false }
    }

    /// An attempt to use an approval link.
    pub(in crate::admin) const fn rollout_link() -> Self {
        Self { label: "rollout_link", need: OPEN, changes: false }
    }

    /// Whether only its body says which routes it is about.
    #[must_use]
    pub fn names_routes_in_body(self) -> bool {
        self.label == STARTING
    }

    /// What `method` is on the path that the router has matched; `None` is a path that does not exist.
    #[must_use]
    pub fn of(method: &Method, path: Option<&str>) -> Self {
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let Some(path) = path else {
            // Who may look around is told that there is nothing.
            return Self { label: "other", need: VIEWER, changes: false };
        };
        let Some((_, read, write)) = TABLE.iter().find(|(known, ..)| *known == path) else {
            return Self { label: "other", need: ADMIN, changes: !reads };
        };
        match write {
            Some((label, need)) if !reads => {
                let changes = matches!(need, Need::Role(Role::Operator | Role::Admin)) && *label != COMPARING;
                Self { label, need: *need, changes }
            }
            // The router refuses a method that is not there.
            _ => Self { label: read.0, need: read.1, changes: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::admin::api::openapi;

    #[test]
    fn every_path_of_the_router_is_in_the_table() {
        let routed: BTreeSet<String> = openapi::paths();
        assert!(routed.contains("/v1/routes/{route}/weights") && routed.len() > 12, "{routed:?}");
        let known: BTreeSet<String> = TABLE.iter().map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(known.len(), TABLE.len(), "a path stands twice in the table");
        let missing: Vec<_> = routed.difference(&known).collect();
        assert!(missing.is_empty(), "say in the table who may use {missing:?}");
    }

    #[test]
    fn changing_traffic_takes_an_operator_and_reading_nobody_unknown() {
        for (path, (_, read), write) in TABLE {
            let is_link = path.ends_with("/links/{token}");
            let open = is_link || ["/livez", "/readyz"].contains(path);
            assert_eq!(*read == OPEN, open, "{path}");
            let harmless = ["explain", "check", "diff", "session"].iter().any(|word| path.ends_with(word));
            let harmless = harmless || is_link;
            if let Some((_, need)) = write
                && !harmless
            {
                assert!([OPERATOR, ADMIN].contains(need), "{path}");
            }
        }
    }

    #[test]
    fn what_is_unknown_takes_an_administrator() {
        let of = |method: Method, path| Operation::of(&method, path);
        assert_eq!(of(Method::POST, Some("/v1/new")).need, ADMIN);
        assert_eq!(of(Method::GET, None), Operation { label: "other", need: VIEWER, changes: false });
        assert_eq!(of(Method::PATCH, Some("/v1/routes/{route}/weights")).label, "set_weights");
        assert_eq!(of(Method::HEAD, Some("/v1/routes/{route}/weights")).label, "get_weights");
        assert_eq!(of(Method::POST, Some("/v1/status")).label, "status");
        assert!(of(Method::DELETE, Some("/v1/routes/{route}/overlay")).changes);
        assert!(!of(Method::POST, Some("/v1/routes/{route}/explain")).changes);
        assert!(!of(Method::POST, Some("/v1/config/diff")).changes);
    }
}

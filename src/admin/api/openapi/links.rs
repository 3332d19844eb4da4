//! What an answer leads to: which operation takes a name or a revision that another one gave.
//!
//! Clients that follow links get along with less knowledge of paths, and testers find their way to what exists.

use serde_json::json;
use utoipa::openapi::{OpenApi, RefOr, link::Link};

use super::{operations_mut, typed};

/// An operation, the one that its answer leads to, and where the parameters of that are found.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const ROUTE: (&str, &str) = ("route", "$response.body#/routes/0/name");
const SAME_ROUTE: (&str, &str) = ("route", "$request.path.route");
const BACKEND: (&str, &str) = ("backend", "$response.body#/backends/0/name");
const SAME_BACKEND: (&str, &str) = ("backend", "$request.path.backend");
const REVISION: (&str, &str) = ("revision", "$response.body#/revisions/0/revision");
const ROLLOUT: (&str, &str) = ("rollout", "$response.body#/rollouts/0/id");
const SAME_ROLLOUT: (&str, &str) = ("rollout", "$request.path.rollout");
const IF_MATCH: (&str, &str) = ("If-Match", "$response.header.ETag");

const LINKS: [Row; 29] = [
    ("list_routes", "get_route", &[ROUTE]),
    ("list_routes", "get_weights", &[ROUTE]),
    ("list_routes", "get_kill_switch", &[ROUTE]),
    ("list_routes", "kill", &[ROUTE]),
    ("list_routes", "explain", &[ROUTE]),
    ("list_routes", "list_overrides", &[ROUTE]),
    ("list_routes", "get_overlay", &[ROUTE]),
    ("get_weights", "patch_weights", &[SAME_ROUTE, IF_MATCH]),
    ("get_weights", "put_weights", &[SAME_ROUTE, IF_MATCH]),
    ("get_kill_switch", "unkill", &[SAME_ROUTE, IF_MATCH]),
    ("get_overlay", "drop_overlay", &[SAME_ROUTE, IF_MATCH]),
    ("list_backends", "get_backend", &[BACKEND]),
    ("list_backends", "get_drain", &[BACKEND]),
    ("get_drain", "drain", &[SAME_BACKEND, IF_MATCH]),
    ("get_drain", "undrain", &[SAME_BACKEND, IF_MATCH]),
    ("list_revisions", "get_revision", &[REVISION]),
    ("list_revisions", "diff_revision", &[REVISION]),
    ("list_revisions", "restore_revision", &[REVISION]),
    ("list_rollouts", "get_rollout", &[ROLLOUT]),
    ("list_rollouts", "list_rollout_entries", &[ROLLOUT]),
    ("list_rollouts", "pause_rollout", &[ROLLOUT]),
    ("pause_rollout", "resume_rollout", &[SAME_ROLLOUT, IF_MATCH]),
    ("get_rollout", "promote_rollout", &[SAME_ROLLOUT, IF_MATCH]),
    ("get_rollout", "approve_rollout", &[SAME_ROLLOUT, IF_MATCH]),
    ("get_rollout", "reject_rollout", &[SAME_ROLLOUT, IF_MATCH]),
    ("get_rollout", "undo_rollout", &[SAME_ROLLOUT, IF_MATCH]),
    ("get_rollout", "abort_rollout", &[SAME_ROLLOUT]),
    ("abort_rollout", "retry_rollout", &[SAME_ROLLOUT]),
    ("abort_rollout", "list_rollout_entries", &[SAME_ROLLOUT]),
];

/// Adds the links to the answers of status 200.
pub(super) fn add(api: &mut OpenApi) {
    for operation in api.paths.paths.values_mut().flat_map(operations_mut) {
        let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("200") else { continue };
        let from = operation.operation_id.as_deref().unwrap_or_default();
        for (_, to, parameters) in LINKS.iter().filter(|(of, ..)| *of == from) {
            let parameters: serde_json::Map<_, _> =
                parameters.iter().map(|(name, place)| ((*name).to_owned(), json!(place))).collect();
            let link: Link = typed(json!({"operationId": to, "parameters": parameters}));
            answer.links.insert((*to).to_owned(), link.into());
        }
    }
}

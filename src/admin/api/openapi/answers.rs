//! The errors that operations share, described once and referred to.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses, ToSchema as _,
    openapi::{OpenApi, Ref, RefOr, Response},
};

use super::{Conditional, operations_mut, typed};
use crate::admin::api::problem::Problem;

type Responses = BTreeMap<String, RefOr<Response>>;

/// Every error that an operation may answer: status, name, description.
const ERRORS: [(u16, &str, &str); 12] = [
    (400, "BadRequest", "A parameter, a header or the body is not what the operation takes."),
    (401, "Unauthorized", "There is no token, or it is not known, or it has ended."),
    (
        403,
        "Forbidden",
        "The token's role or routes do not allow it, the host is not one of this API, or a page of another origin asks for a change.",
    ),
    (404, "NotFound", "There is no such thing."),
    (
        409,
        "Conflict",
        "A rollout has the route, and `pause_rollout` pauses it where there is such a parameter; or the rollout is in a phase in \
         which this makes no sense, and `current` is the rollout now.",
    ),
    (
        412,
        "PreconditionFailed",
        "Another revision is in force than `If-Match` names; `current` is the state now.",
    ),
    (413, "ContentTooLarge", "The body is too large."),
    (415, "UnsupportedMediaType", "The body is of a type that is not taken."),
    (422, "UnprocessableContent", "The request is well formed, and what it asks for is impossible."),
    (428, "PreconditionRequired", "`admin.require_if_match` is on, and `If-Match` is missing."),
    (
        429,
        "TooManyRequests",
        "Too many attempts of this address have failed; `Retry-After` says how long to wait.",
    ),
    (503, "ServiceUnavailable", "Not now: the store failed, Weir is stopping, or there is too much of this."),
];

/// What every operation may answer. The guard stands before all of them.
const COMMON: [u16; 4] = [400, 401, 403, 429];

/// Of an operation on a route.
pub(in crate::admin::api) struct OfRoute;

/// Of an operation on a backend.
pub(in crate::admin::api) struct OfBackend;

/// Of an operation on a revision.
pub(in crate::admin::api) struct OfRevision;

/// Of an operation on a rollout.
pub(in crate::admin::api) struct OfRollout;

/// Of an operation that makes sense in some phases of a rollout.
pub(in crate::admin::api) struct InPhase;

/// Of an operation that reads from the store.
pub(in crate::admin::api) struct Stored;

/// Of an operation that takes a body.
pub(in crate::admin::api) struct Takes;

/// Of an operation that changes something.
pub(in crate::admin::api) struct Changes;

/// Of an operation that is not for routes that a rollout has.
pub(in crate::admin::api) struct OutsideRollouts;

/// Of an operation that can find a request well formed and yet impossible.
pub(in crate::admin::api) struct Impossible;

/// Adds the shared errors, and refers to those that every operation may answer.
pub(super) fn add_common(api: &mut OpenApi) {
    let components = api.components.get_or_insert_default();
    let mut schemas = vec![(Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (_, name, description) in ERRORS {
        let response: Response = typed(json!({
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }));
        components.responses.insert(name.to_owned(), response.into());
    }
    for operation in api.paths.paths.values_mut().flat_map(operations_mut) {
        for (status, response) in these(&COMMON) {
            operation.responses.responses.entry(status).or_insert(response);
        }
    }
}

fn these(statuses: &[u16]) -> Responses {
    let wanted = ERRORS.iter().filter(|(status, ..)| statuses.contains(status));
    wanted.map(|(status, name, _)| (status.to_string(), Ref::from_response_name(*name).into())).collect()
}

// === impl IntoResponses ===

impl IntoResponses for OfRoute {
    fn responses() -> Responses {
        these(&[404])
    }
}

impl IntoResponses for OfBackend {
    fn responses() -> Responses {
        these(&[404])
    }
}

impl IntoResponses for OfRollout {
    fn responses() -> Responses {
        these(&[404])
    }
}

impl IntoResponses for InPhase {
    fn responses() -> Responses {
        these(&[409])
    }
}

impl IntoResponses for OfRevision {
    fn responses() -> Responses {
        these(&[404, 422])
    }
}

impl IntoResponses for Stored {
    fn responses() -> Responses {
        these(&[503])
    }
}

impl IntoResponses for Takes {
    fn responses() -> Responses {
        these(&[413, 415])
    }
}

impl IntoResponses for Changes {
    fn responses() -> Responses {
        these(&[413, 415, 422, 503])
    }
}

impl IntoResponses for Conditional {
    fn responses() -> Responses {
        these(&[412, 428])
    }
}

impl IntoResponses for OutsideRollouts {
    fn responses() -> Responses {
        these(&[409])
    }
}

impl IntoResponses for Impossible {
    fn responses() -> Responses {
        these(&[422])
    }
}

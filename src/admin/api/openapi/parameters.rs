//! The parameters that operations share.

use serde_json::{Value, json};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::typed;
use crate::admin::{
    api::{config::EffectiveQuery, events::EventsQuery, page, rollouts::RolloutsQuery},
    events,
};

/// `{route}` in the path.
pub(in crate::admin::api) struct RoutePath;

/// `{backend}` in the path.
pub(in crate::admin::api) struct BackendPath;

/// `{revision}` in the path.
pub(in crate::admin::api) struct RevisionPath;

/// `{rollout}` in the path.
pub(in crate::admin::api) struct RolloutPath;

/// `{token}` in the path.
pub(in crate::admin::api) struct LinkPath;

/// Whether to promote to the end.
pub(in crate::admin::api) struct PromoteFull;

/// `{key}` in the path.
pub(in crate::admin::api) struct KeyPath;

/// The revision to compare with.
pub(in crate::admin::api) struct Against;

/// Which rows of the audit.
pub(in crate::admin::api) struct AuditFilter;

/// Of a change that is carried out once, however often it is sent.
pub(in crate::admin::api) struct Once;

/// Of an operation that changes something.
pub(in crate::admin::api) struct Writes;

/// Of a change that can be made while a rollout has the route.
pub(in crate::admin::api) struct PausesRollout;

/// Of a change that the sender can make depend on the revision in force.
pub(in crate::admin::api) struct Conditional;

fn kinds() -> Vec<&'static str> {
    events::Kind::ALL.map(events::Kind::as_str).into()
}

/// Implements [`IntoParams`] by descriptions in JSON.
macro_rules! parameters {
    ($($of:ty => $list:expr;)*) => {
        $(impl IntoParams for $of {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                let list: Value = $list;
                typed(list)
            }
        })*
    };
}

parameters! {
    RoutePath => json!([{
        "name": "route", "in": "path", "required": true, "description": "The route's name.",
        "schema": {"$ref": "#/components/schemas/Name"},
    }]);
    BackendPath => json!([{
        "name": "backend", "in": "path", "required": true, "description": "The backend's name.",
        "schema": {"$ref": "#/components/schemas/Name"},
    }]);
    RevisionPath => json!([{
        "name": "revision", "in": "path", "required": true, "description": "Its number: `12` or `r12`.",
        "schema": {"type": "string", "pattern": "^r?(0|[1-9][0-9]{0,17})$"},
    }]);
    RolloutPath => json!([{
        "name": "rollout", "in": "path", "required": true, "description": "The rollout's id, such as `r-7f3a2c`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 100},
    }]);
    LinkPath => json!([{
        "name": "token", "in": "path", "required": true,
        "description": "The last part of the link: what it does, and the proof that Weir made it.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 1000},
    }]);
    PromoteFull => json!([{
        "name": "full", "in": "query", "required": false,
        "description": "Whether to give the canary everything, instead of what the next step gives it.",
        "schema": {"type": "string", "enum": ["true", "false", "1", "0", ""], "default": "false"},
    }]);
    RolloutsQuery => json!([
        {"name": "route", "in": "query", "required": false, "description": "Only those of this route.",
         "schema": {"$ref": "#/components/schemas/Name"}},
        {"name": "phase", "in": "query", "required": false, "description": "Only those in this phase.",
         "schema": {"$ref": "#/components/schemas/Phase"}},
        {"name": "active", "in": "query", "required": false,
         "description": "Only those to which something still happens, or only those that are over.",
         "schema": {"type": "string", "enum": ["true", "false", "1", "0", ""]}},
        {"name": "limit", "in": "query", "required": false, "description": "How many at most.",
         "schema": {
             "type": "integer", "minimum": 1, "maximum": page::MAX_LIMIT, "default": page::DEFAULT_LIMIT,
         }},
    ]);
    KeyPath => json!([{
        "name": "key", "in": "path", "required": true,
        "description": "The user: the value of the split's key, percent-encoded; at most 256 bytes.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
    }]);
    Against => json!([{
        "name": "against", "in": "query", "required": false,
        "description": "The revision to compare with, or `current`; the one before without it.",
        "schema": {"type": "string", "pattern": "^(current|r?(0|[1-9][0-9]{0,17}))$"},
    }]);
    AuditFilter => json!([
        {"name": "actor", "in": "query", "required": false, "description": "Only rows by this actor.",
         "schema": {"type": "string"}},
        {"name": "route", "in": "query", "required": false, "description": "Only rows about this route.",
         "schema": {"type": "string"}},
        {"name": "action", "in": "query", "required": false, "description": "Only rows of this action.",
         "schema": {"type": "string"}},
        {"name": "since", "in": "query", "required": false, "description": "Only rows of then and later.",
         "schema": {"type": "string", "format": "date-time"}},
        {"name": "until", "in": "query", "required": false, "description": "Only rows before then.",
         "schema": {"type": "string", "format": "date-time"}},
    ]);
    Once => json!([{
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A key of the sender's choice. Sent again within a day with the same change, nothing is done \
                        again; with another change, it is refused.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$"},
    }]);
    Writes => json!([
        {
            "name": "dry_run", "in": "query", "required": false,
            "description": "Whether only to say what would happen.",
            "schema": {"type": "string", "enum": ["true", "false", "1", "0", ""], "default": "false"},
        },
        {
            "name": "X-Weir-Actor", "in": "header", "required": false,
            "description": "Who asks, for the audit; at most 500 characters.",
            "schema": {"type": "string"},
        },
    ]);
    PausesRollout => json!([{
        "name": "pause_rollout", "in": "query", "required": false,
        "description": "Whether to do so even while a rollout has the route, which pauses then.",
        "schema": {"type": "string", "enum": ["true", "false", "1", "0", ""], "default": "false"},
    }]);
    Conditional => json!([{
        "name": "If-Match", "in": "header", "required": false,
        "description": "The `ETag` of an earlier answer. The change is refused when another revision is in force.",
        "schema": {"type": "string", "examples": ["\"r42\""]},
    }]);
    EffectiveQuery => json!([{
        "name": "format", "in": "query", "required": false, "description": "How to write it.",
        "schema": {"type": "string", "enum": ["json", "yaml"], "default": "json"},
    }]);
    EventsQuery => json!([
        {
            "name": "kinds", "in": "query", "required": false, "style": "form", "explode": false,
            "description": "The kinds of events, separated by commas; all of them without it.",
            "schema": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": kinds()}},
        },
        {
            "name": "route", "in": "query", "required": false,
            "description": "Only what is about this route, or about none in particular.",
            "schema": {"$ref": "#/components/schemas/Name"},
        },
        {
            "name": "last_event_id", "in": "query", "required": false,
            "description": "The id of the last event that was seen, for clients that cannot send `Last-Event-ID`.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
        },
        {
            "name": "Last-Event-ID", "in": "header", "required": false,
            "description": "The id of the last event that was seen. Browsers send it by themselves.",
            "schema": {"type": "string"},
        },
    ]);
    page::PageQuery => json!([
        {
            "name": "limit", "in": "query", "required": false, "description": "How many items at most.",
            "schema": {
                "type": "integer", "minimum": 1, "maximum": page::MAX_LIMIT, "default": page::DEFAULT_LIMIT,
            },
        },
        {
            "name": "cursor", "in": "query", "required": false,
            "description": "`next` of the page before, as it is; the first page without it.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
        },
    ]);
}

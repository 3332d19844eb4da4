//! The parameters that operations share.

use serde_json::{Value, json};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::typed;
use crate::admin::api::{config::EffectiveQuery, page};

/// `{route}` in the path.
pub(in crate::admin::api) struct RoutePath;

/// `{backend}` in the path.
pub(in crate::admin::api) struct BackendPath;

/// Of an operation that changes something.
pub(in crate::admin::api) struct Writes;

/// Of a change that the sender can make depend on the revision in force.
pub(in crate::admin::api) struct Conditional;

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
    Conditional => json!([{
        "name": "If-Match", "in": "header", "required": false,
        "description": "The `ETag` of an earlier answer. The change is refused when another revision is in force.",
        "schema": {"type": "string", "pattern": "^(\\*|(W/)?\"r(0|[1-9][0-9]{0,17})\")$", "examples": ["\"r42\""]},
    }]);
    EffectiveQuery => json!([{
        "name": "format", "in": "query", "required": false, "description": "How to write it.",
        "schema": {"type": "string", "enum": ["json", "yaml"], "default": "json"},
    }]);
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

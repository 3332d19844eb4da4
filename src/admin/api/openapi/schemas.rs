//! Schemas of types that belong to other modules, and of bodies that are read member by member.
//!
//! The derived ones stand beside their types. These are written out, because their modules know nothing of this API.

use std::borrow::Cow;

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{CONTENT_SCHEMA, typed};
use crate::{
    admin::{
        api::signed::LONGEST,
        api::types::{Backend, ExplainRequest, HeaderValues, Status},
        events::payload::{
            AnalysisEvent, AuditEvent, Bye, ConfigEvent, Reset, RolloutEvent, StatsEvent, StoreEvent,
            WeightsEvent,
        },
    },
    control::{
        Channel, Origin,
        audit::AuditResult,
        command::Digest,
        state::{Dangling, Drift},
    },
    rollout::{
        machine::{Phase, StepStatus},
        reason::{Reason as RolloutReason, Sample},
    },
    types::{BackendState, Name, Revision, StickyMode, Weight, name::MAX_NAME},
};

/// An object whose members are described elsewhere.
pub(in crate::admin::api) struct AnyObject;

/// An event of `/v1/events`.
pub(in crate::admin::api) struct EventText;

/// A control file as text that is not said to be YAML.
pub(in crate::admin::api) struct ConfigText;

/// A control file.
pub(in crate::admin::api) struct ConfigFile;

/// A JSON schema.
pub(in crate::admin::api) struct SchemaDocument;

/// An item of `diagnostics`.
pub(in crate::admin::api) struct Diagnostic;

/// A weight that is sent.
pub(in crate::admin::api) struct NewWeight;

/// The body of `PATCH …/weights`.
pub(in crate::admin::api) struct PatchWeightsBody;

/// The body of `PUT …/weights`.
pub(in crate::admin::api) struct PutWeightsBody;

/// The body of `POST /v1/rollouts`.
pub(in crate::admin::api) struct StartBody;

/// The body of `POST /v1/session`.
pub(in crate::admin::api) struct LoginBody;

/// The body of `PUT …/kill-switch`.
pub(in crate::admin::api) struct KillBody;

/// The body of `PUT …/overrides/{key}`.
pub(in crate::admin::api) struct OverrideBody;

/// The body of `POST …/signed-overrides`.
pub(in crate::admin::api) struct SignBody;

/// The body of a change that takes nothing but a reason.
pub(in crate::admin::api) struct ReasonBody;

/// Implements [`ToSchema`] by schemas in JSON; a type after `+` is one that the schema refers to.
macro_rules! schemas {
    ($($of:ident $(+ $uses:ident)* => $schema:expr;)*) => {
        $(
            impl PartialSchema for $of {
                fn schema() -> RefOr<Schema> {
                    let schema: Value = $schema;
                    RefOr::T(typed(schema))
                }
            }

            impl ToSchema for $of {
                fn name() -> Cow<'static, str> {
                    stringify!($of).into()
                }

                fn schemas(_schemas: &mut Vec<(String, RefOr<Schema>)>) {
                    $(
                        _schemas.push((<$uses as ToSchema>::name().into_owned(), $uses::schema()));
                        $uses::schemas(_schemas);
                    )*
                }
            }
        )*
    };
}

/// A token of RFC 9110, section 5.6.2.
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// A text without control characters, which a header field could have.
const FIELD_VALUE: &str = "^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$";

fn name() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "description": "A name of the control file.", "examples": ["shop"],
    })
}

/// An event of the stream, as it is on the wire: its data are JSON in a text.
fn event(kind: &str, data: &str) -> Value {
    json!({
        "type": "object", "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$", "description": "A number that grows, not always by one."},
            "event": {"type": "string", "enum": [kind]},
            "data": {
                "type": "string", "contentMediaType": "application/json",
                CONTENT_SCHEMA: {"$ref": format!("#/components/schemas/{data}")},
            },
        },
    })
}

fn reason() -> Value {
    json!({"type": ["string", "null"], "maxLength": 500, "description": "Why, for the audit."})
}

schemas! {
    Name => name();
    Weight => json!({
        "type": "number", "minimum": 0, "maximum": 1_000_000, "examples": [95, 0.5],
        "description": "A weight relative to the others of its split, with at most six decimals.",
    });
    Revision => json!({
        "type": "integer", "minimum": 0, "description": "The number of an accepted change.", "examples": [42],
    });
    Digest => json!({
        "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "A fingerprint of a file's content.",
    });
    BackendState => json!({
        "type": "string", "enum": ["active", "drain", "off"],
        "description": "Whether a backend takes users: as its weight says, only those pinned to it, or nobody.",
    });
    StickyMode => json!({
        "type": "string", "enum": ["bucket", "pin", "none"], "description": "How users stay on their backend.",
    });
    Channel => json!({
        "type": "string", "enum": ["file", "api", "cli", "dashboard", "rollout", "fleet"],
        "description": "The way that a change came.",
    });
    Origin + Channel => json!({
        "type": "object", "required": ["actor", "channel"],
        "description": "Who wants a change, through what, and why.",
        "properties": {
            "actor": {"type": "string", "description": "A person or a program."},
            "channel": {"$ref": "#/components/schemas/Channel"},
            "reason": {"type": "string", "description": "The reason that was given."},
            "request_id": {"type": "string", "description": "The request that it came with."},
        },
    });
    Dangling + Name => json!({
        "type": "object", "required": ["route", "backend", "what", "effect"],
        "description": "An override that fits nothing in the control file.",
        "properties": {
            "route": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Name"}],
                      "description": "null for a drain, which is about all."},
            "backend": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Name"}],
                        "description": "null when the route itself is gone."},
            "what": {"type": "string",
                     "description": "What it would override: `weight`, `kill_switch`, `override` or `drain`."},
            "effect": {"type": "string", "description": "What holds meanwhile."},
        },
    });
    Drift + Name => json!({
        "type": "object", "required": ["route", "backend", "file", "running"],
        "description": "A difference between the control file and what runs.",
        "properties": {
            "route": {"$ref": "#/components/schemas/Name"},
            "backend": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Name"}],
                        "description": "null for the kill switch."},
            "file": {"type": "string", "description": "What the file says."},
            "running": {"type": "string", "description": "What runs."},
        },
    });
    Diagnostic => json!({
        "type": "object", "required": ["severity", "code", "message", "pointer", "line", "column"],
        "description": "Something that is wrong with a control file, or odd about it.",
        "properties": {
            "severity": {"type": "string", "enum": ["error", "warning"]},
            "code": {"type": "string", "pattern": "^[EW][0-9]{4}$", "description": "Stays the same."},
            "message": {"type": "string"},
            "file": {"type": "string"},
            "pointer": {"type": "string", "description": "The place as a JSON pointer."},
            "line": {"type": ["integer", "null"], "minimum": 1},
            "column": {"type": ["integer", "null"], "minimum": 1},
            "end_line": {"type": ["integer", "null"], "minimum": 1},
            "end_column": {"type": ["integer", "null"], "minimum": 1},
            "label": {"type": ["string", "null"]},
            "help": {"type": ["string", "null"], "description": "What to do about it."},
            "secondary": {"type": "array", "items": {"type": "object"}, "description": "Other places."},
        },
    });
    AnyObject => json!({"type": "object"});
    EventText + Status + StatsEvent + WeightsEvent + Backend + RolloutEvent + AnalysisEvent + ConfigEvent + StoreEvent + AuditEvent + Reset + Bye => json!({
        "oneOf": [
            event("snapshot", "Status"), event("stats", "StatsEvent"), event("weights", "WeightsEvent"),
            event("health", "Backend"), event("rollout", "RolloutEvent"), event("analysis", "AnalysisEvent"),
            event("config", "ConfigEvent"), event("store", "StoreEvent"),
            event("audit", "AuditEvent"), event("reset", "Reset"), event("bye", "Bye"),
        ],
    });
    SchemaDocument => json!({"type": "object", "description": "A JSON schema, draft 2020-12."});
    ConfigFile => json!({
        "type": "object", "description": "A control file; `/v1/config/schema` describes its members.",
    });
    ConfigText => json!({"type": "string", "description": "A control file as text."});
    NewWeight => json!({
        "type": "number", "minimum": 0, "maximum": 1_000_000, "multipleOf": 0.000_001, "examples": [95, 0.5],
        "description": "A weight relative to the others of its split.",
    });
    PatchWeightsBody + NewWeight => json!({
        "type": "object", "additionalProperties": false, "required": ["weights"],
        "properties": {
            "weights": {
                "type": "object", "minProperties": 1,
                "propertyNames": name(),
                "additionalProperties": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/NewWeight"}]},
                "description": "The weights to change; null gives the control file its say again.",
            },
            "reason": reason(),
        },
        "examples": [{"weights": {"canary": 20}, "reason": "looks good"}],
    });
    PutWeightsBody + NewWeight => json!({
        "type": "object", "additionalProperties": false, "required": ["weights"],
        "properties": {
            "weights": {
                "type": "object", "minProperties": 1,
                "propertyNames": name(),
                "additionalProperties": {"$ref": "#/components/schemas/NewWeight"},
                "description": "The weights of every backend of the split.",
            },
            "reason": reason(),
        },
        "examples": [{"weights": {"stable": 80, "canary": 20}}],
    });
    Phase => json!({
        "type": "string", "enum": Phase::ALL.map(Phase::as_str), "description": "Where a rollout is.",
    });
    StepStatus => json!({
        "type": "string", "enum": ["pending", "running", "passed", "failed", "skipped"],
        "description": "Where a step is.",
    });
    Sample => json!({
        "type": "object", "required": ["value", "n"], "description": "What one version showed.",
        "properties": {
            "value": {"type": "number", "description": "A ratio of 0 to 1, or seconds."},
            "bad": {"type": "integer", "minimum": 0, "description": "How many of them were bad."},
            "n": {"type": "integer", "minimum": 0, "description": "Out of how many requests, or users."},
        },
    });
    RolloutReason + Name + Sample => json!({
        "type": "object", "required": ["gate", "verdict", "test", "words"],
        "description": "Why something was decided, with the numbers that decided.",
        "properties": {
            "gate": {"type": "string", "description": "The gate, or what else decided: `deadline`, `health`, …"},
            "verdict": {"type": "string",
                        "enum": ["pass", "no_data", "inconclusive", "error", "failing", "fail", "held"]},
            "route": {"$ref": "#/components/schemas/Name"},
            "canary": {"$ref": "#/components/schemas/Sample"},
            "baseline": {"$ref": "#/components/schemas/Sample"},
            "limit": {"type": "number", "description": "What was allowed."},
            "test": {"type": "string", "description": "Which test: `max`, `max_ratio`, `e_value`, …"},
            "window_seconds": {"type": "number", "description": "The time that the numbers cover."},
            "step": {"type": "integer", "minimum": 1, "description": "The step."},
            "words": {"type": "string", "description": "All of it for people."},
        },
    });
    StartBody => json!({
        "type": "object", "additionalProperties": false,
        "oneOf": [{"required": ["route"]}, {"required": ["routes"]}],
        "properties": {
            "route": {"type": ["string", "null"], "maxLength": 500,
                      "description": "The route; those of the plan's group move with it."},
            "routes": {"type": ["array", "null"], "minItems": 1, "maxItems": 100, "items": {"type": "string", "maxLength": 500},
                       "description": "The routes that move in step."},
            "plan": {"type": ["object", "string", "null"],
                     "description": "The plan, with the keys of `rollout` in the control file, or the same as YAML in a text; \
                                     that of the route in the control file without it."},
            "version": {"type": ["string", "null"], "maxLength": 500, "description": "What the canary runs."},
            "supersede": {"type": ["boolean", "null"], "default": false,
                          "description": "Whether it ends rollouts that are under way on its routes, and takes their place."},
            "reason": reason(),
        },
        "examples": [{"route": "shop", "version": "v1.9.0", "reason": "release 1.9"}],
    });
    LoginBody => json!({
        "type": "object", "additionalProperties": false, "required": ["token"],
        "properties": {"token": {"type": "string", "maxLength": 500, "description": "A token of the admin API."}},
    });
    KillBody => json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "backend": {"type": ["string", "null"], "maxLength": 500,
                        "description": "The backend that takes everything; the first of the split without it."},
            "reason": reason(),
        },
    });
    SignBody => json!({
        "type": "object", "additionalProperties": false, "required": ["backend"],
        "properties": {
            "backend": {"type": "string", "maxLength": 500, "description": "The backend that the sender gets."},
            "lifetime_seconds": {"type": ["integer", "null"], "minimum": 1, "maximum": LONGEST, "default": 3600,
                                 "description": "How long the header counts."},
            "reason": reason(),
        },
        "examples": [{"backend": "canary", "lifetime_seconds": 600, "reason": "bug 7"}],
    });
    OverrideBody => json!({
        "type": "object", "additionalProperties": false, "required": ["backend"],
        "properties": {
            "backend": {"type": "string", "maxLength": 500, "description": "The backend that the user gets."},
            "reason": reason(),
        },
        "examples": [{"backend": "canary", "reason": "debugging #4711"}],
    });
    AuditResult => json!({
        "type": "string", "enum": ["applied", "not_persisted", "refused"],
        "description": "Done and on disk, done and on disk only later, or refused.",
    });
    ReasonBody => json!({
        "type": "object", "additionalProperties": false, "properties": {"reason": reason()},
    });
    HeaderValues => json!({
        "oneOf": [
            {"type": "string", "pattern": FIELD_VALUE},
            {"type": "array", "items": {"type": "string", "pattern": FIELD_VALUE}},
        ],
        "description": "One value of a header field, or several.",
    });
    ExplainRequest + HeaderValues => json!({
        "type": "object", "additionalProperties": false, "description": "A request to explain.",
        "properties": {
            "method": {"type": "string", "pattern": TOKEN, "default": "GET"},
            "path": {"type": "string", "pattern": "^/[^\\u0000-\\u0020\\u007f]*$", "default": "/",
                     "description": "With the query."},
            "host": {"type": "string", "pattern": "^[^\\u0000-\\u0020\\u007f]*$", "default": ""},
            "headers": {
                "type": "object", "default": {},
                "propertyNames": {"type": "string", "pattern": TOKEN},
                "additionalProperties": {"$ref": "#/components/schemas/HeaderValues"},
            },
            "client_ip": {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}],
                          "default": "127.0.0.1"},
        },
        "examples": [{"path": "/cart", "headers": {"cookie": "weir_shop=…"}, "client_ip": "203.0.113.9"}],
    });
}

//! What every handler that takes something needs to read: body, expected revision, origin.

use std::fmt;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, header},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::problem::{Kind, Refused};
use crate::{
    admin::{
        AppState,
        auth::{Caller, Proof},
    },
    control::{Accepted, Channel, Command, Origin, Refusal, State},
    telemetry::{ChangeResult, ChangeSource},
    types::Revision,
};

/// The largest JSON body, in bytes. A change of all weights of a large split takes a few KiB.
const JSON_LIMIT: usize = 256 << 10;
/// The longest reason or actor, in characters.
const TEXT_LIMIT: usize = 500;
/// Who asks, by their own account.
const ACTOR: &str = "x-weir-actor";

/// Carries out `command`, and counts it.
pub(super) async fn apply(app: &AppState, command: Command) -> Result<Accepted, Refusal> {
    let dry_run = command.dry_run;
    // The brake works to the end; nothing else is worth starting, and it might be lost.
    let stops = app.view.is_stopping() && !dry_run && !command.change.is_emergency();
    let answer = if stops { Err(Refusal::Stopping) } else { app.control.apply(command).await };
    let result = match &answer {
        Ok(accepted) if accepted.changed => ChangeResult::Applied,
        Ok(_) => ChangeResult::Unchanged,
        Err(_) => ChangeResult::Refused,
    };
    if !dry_run {
        app.stats.change(ChangeSource::Api, result);
    }
    answer
}

/// The JSON object in `body`; `None` when there is no body at all, or `null`.
pub(super) async fn json_object(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<serde_json::Map<String, Value>>, Refused> {
    let bytes = bytes(body, JSON_LIMIT).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    media_type(headers, &["application/json", "application/merge-patch+json"])?;
    match serde_json::from_slice(&bytes).map(|Unique(value)| value) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(Value::Null) => Ok(None),
        Ok(_) => Err(Kind::InvalidBody.because("the body has to be a JSON object").at("", "not an object")),
        Err(error) if error.is_data() => Err(Kind::InvalidBody.because(error.to_string())),
        Err(error) => Err(Kind::InvalidBody.because(format!("the body is not JSON: {error}"))),
    }
}

/// The whole body, up to `limit` bytes.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Bytes, Refused> {
    to_bytes(body, limit).await.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if too_large {
            Kind::BodyTooLarge.because(format!("the body has more than {} KiB", limit >> 10))
        } else {
            Kind::InvalidBody.because("the body ended early")
        }
    })
}

/// Refuses a body whose type is named and is none of `allowed`.
pub(super) fn media_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Refused> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if allowed.iter().any(|allowed| essence.eq_ignore_ascii_case(allowed)) {
        return Ok(());
    }
    let detail = format!("a body of type `{essence}` is not taken here");
    Err(Kind::UnsupportedMediaType.because(detail).hint(format!("send {}", allowed.join(" or "))))
}

/// Refuses members of `object` that are not among `known`.
pub(super) fn known_members(object: &serde_json::Map<String, Value>, known: &[&str]) -> Result<(), Refused> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Kind::InvalidBody
            .because(format!("unknown member `{unknown}`"))
            .at(super::problem::pointer(&[unknown]), "unknown")
            .hint(format!("the members are {}", known.join(", ")))),
    }
}

/// A member that is a text.
pub(super) fn text(
    object: &serde_json::Map<String, Value>,
    member: &'static str,
) -> Result<Option<String>, Refused> {
    let fault = |detail: &str| {
        Kind::InvalidBody.because(format!("`{member}` {detail}")).at(format!("/{member}"), detail.to_owned())
    };
    match object.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() > TEXT_LIMIT => {
            Err(fault(&format!("has more than {TEXT_LIMIT} characters")))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(fault("has to be a text")),
    }
}

/// The revision that the sender insists on: `If-Match: "r42"`. Of several, the one in force when it is among them.
pub(super) fn if_match(headers: &HeaderMap, state: &State) -> Result<Option<Revision>, Refused> {
    let (mut expected, current) = (None, state.revision);
    if state.file.config.admin.require_if_match && !headers.contains_key(header::IF_MATCH) {
        // RFC 6585, section 3.
        return Err(Kind::PreconditionRequired
            .because("a change has to say which revision its sender has seen")
            .hint(format!("send `If-Match: \"{current}\"`, the ETag of what you have read; on the command line, --if-rev")));
    }
    for value in headers.get_all(header::IF_MATCH) {
        for tag in value.to_str().unwrap_or("?").split(',').map(str::trim) {
            if tag == "*" {
                return Ok(None);
            }
            let number = tag.trim_start_matches("W/").trim_matches('"').strip_prefix('r');
            let revision = number.and_then(|number| number.parse().ok()).map(Revision).ok_or_else(|| {
                // As any tag that is not the current one (RFC 9110, section 13.1.1).
                Kind::RevisionConflict
                    .because(format!("`If-Match: {tag}` is not a revision"))
                    .hint(format!("send the ETag of an earlier answer, such as \"{current}\""))
            })?;
            if revision == current {
                return Ok(Some(revision));
            }
            expected = expected.or(Some(revision));
        }
    }
    Ok(expected)
}

/// Who asks, through what. Where nobody has to prove who they are, the name is the sender's own account of itself; else it is what
/// they have proved, and their account is a note.
pub(super) fn origin(headers: &HeaderMap, reason: Option<String>) -> Origin {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_cli = header(header::USER_AGENT.as_str()).is_some_and(|agent| agent.starts_with("weir-cli/"));
    let named = header(ACTOR).map(str::trim).filter(|actor| !actor.is_empty() && actor.len() <= TEXT_LIMIT);
    let caller = Caller::current();
    let request_id = caller.as_ref().map(|caller| caller.request_id.clone());
    let proved = caller.and_then(|caller| caller.identity).filter(|who| who.proof != Proof::None);
    let channel = match &proved {
        Some(who) if who.proof == Proof::Session => Channel::Dashboard,
        _ if is_cli => Channel::Cli,
        _ => Channel::Api,
    };
    let (actor, note) = match proved {
        Some(who) => {
            let note = named.filter(|named| *named != who.name).map(str::to_owned);
            (who.name, note)
        }
        None => (named.unwrap_or("anonymous").to_owned(), None),
    };
    Origin { actor, channel, reason, note, request_id }
}

/// A JSON value whose objects name no member twice; of two, nobody can say which one is meant.
struct Unique(Value);

// === impl Unique ===

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is given twice")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

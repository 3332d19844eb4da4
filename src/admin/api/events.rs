//! `/v1/events`: what happens, as it happens (Server-Sent Events).

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    Answer,
    openapi::{EventText, OfRoute, Stored},
    problem::{Kind, Refused},
    status,
};
use crate::{
    admin::{
        AppState,
        events::{self, Filter, OpenError, Start},
    },
    control,
    types::Name,
};

/// What a client wants to hear.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventsQuery {
    kinds: Option<String>,
    route: Option<String>,
    last_event_id: Option<String>,
}

/// Events as they happen, as a stream.
///
/// Server-Sent Events: each has an id, a kind (`event`) and JSON (`data`). A stream begins with a `snapshot`; with the id of the
/// last event that was seen it goes on from there, or with a `reset` and a `snapshot` where that is not possible any more.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "stream_events",
    tag = "events",
    params(EventsQuery),
    responses(
        (
            status = 200,
            description = "Events; the schema describes one of them, with its data as it is after parsing",
            body = EventText,
            content_type = "text/event-stream"
        ),
        OfRoute,
        Stored,
    )
)]
pub(super) async fn stream(
    State(app): State<AppState>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Answer {
    let filter = query.filter(&app.control.state())?;
    let last = query.last(&headers)?;
    let (mut stream, start) = app.events.open(filter.clone(), last).map_err(|error| match error {
        OpenError::Full => Kind::TooManyStreams
            .because(error.to_string())
            .hint("close one, or ask for /v1/status now and then instead"),
        OpenError::Stopping => control::Refusal::Stopping.into(),
    })?;
    if start != Start::Replayed && filter.has(events::Kind::Snapshot) {
        let mut snapshot = status::picture(&app, &app.control.state());
        if let Some(route) = filter.route() {
            snapshot.routes.retain(|known| known.name == *route);
            snapshot.backends.retain(|backend| backend.routes.contains(route));
        }
        stream.begin_with(&snapshot);
    }
    let mut response = Response::new(Body::new(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that gather responses before they pass them on (nginx) must not.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response.into_response())
}

// === impl EventsQuery ===

impl EventsQuery {
    fn filter(&self, state: &control::State) -> Result<Filter, Refused> {
        let all = events::Kind::ALL;
        let kinds = match self.kinds.as_deref() {
            None => all.into(),
            Some(kinds) => {
                let known = |word: &str| all.into_iter().find(|kind| kind.as_str() == word);
                let words = kinds.split(',').map(str::trim);
                let found = words.map(|word| known(word).ok_or_else(|| unknown_kind(word)));
                found.collect::<Result<_, _>>()?
            }
        };
        let route: Option<Name> = match self.route.as_deref() {
            Some(route) => Some(state.route(route)?.name.clone()),
            None => None,
        };
        Ok(Filter::new(kinds, route))
    }

    /// The event that the client has seen last. A browser sends the header by itself, and what it got from somebody else is as
    /// good as too old; who writes the parameter is told.
    fn last(&self, headers: &HeaderMap) -> Result<Option<u64>, Refused> {
        let number = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| plain)
        };
        let asked = match self.last_event_id.as_deref() {
            Some(text) => Some(number(text).ok_or_else(|| {
                let refused = Kind::InvalidParameter.because(format!("`{text}` is no event id"));
                refused.hint("send the `id` of the last event that was seen")
            })?),
            None => None,
        };
        let sent = headers.get("last-event-id");
        Ok(sent.map(|sent| sent.to_str().ok().and_then(number).unwrap_or(0)).or(asked))
    }
}

fn unknown_kind(word: &str) -> Refused {
    let known = events::Kind::ALL.map(events::Kind::as_str);
    Kind::InvalidParameter
        .because(format!("there are no events of kind `{word}`"))
        .hint(format!("the kinds are {}", known.join(", ")))
}

//! `weir events`: what happens, as it happens.
//!
//! Follows the server's stream (Server-Sent Events). A stream that breaks is opened again from the last event that was seen, so
//! nothing is missed as long as the server remembers; where it does not, it says so (`reset`).

use std::{collections::VecDeque, time::Duration};

use clap::{Args, ValueEnum};
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming};
use serde::Serialize;
use serde_json::Value;

use super::{
    Exit, Failure, change,
    client::{Call, Client},
    format::Format,
    output::{self, Look},
    pages,
    remote::Remote,
};

const EXAMPLES: &str = "\
Examples:
  weir events
  weir events --kind weights,audit --route shop
  weir events --output json | jq -c 'select(.event == \"health\")'";

/// Before the first attempt to come back, and the longest wait before a later one.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// The longest event that is taken, in bytes: a picture of a large configuration.
const LONGEST: usize = 64 << 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Events {
    /// What to hear of, several with commas; all but snapshot, stats and analysis by default
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',')]
    kind: Vec<Kind>,
    /// Only what is about this route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The whole picture, at the start
    Snapshot,
    /// The traffic, once a second
    Stats,
    /// Weights and kill switches
    Weights,
    /// Backends and endpoints
    Health,
    /// Rollouts
    Rollout,
    /// What the gates of rollouts say, once a second
    Analysis,
    /// Control files
    Config,
    /// Whether changes can be made durable
    Store,
    /// Who changed something
    Audit,
}

/// An event as it came.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Event {
    id: String,
    event: String,
    data: Value,
}

/// How far a follower is.
struct Seen {
    /// The id of the last event.
    last: String,
    /// How many events are wanted still.
    left: u64,
}

/// Takes a stream apart (HTML standard, "Server-sent events").
#[derive(Debug, Default)]
pub(super) struct Parser {
    rest: Vec<u8>,
    id: String,
    event: String,
    data: String,
    ready: VecDeque<Event>,
}

// === impl Events ===

impl Events {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.remote.run(async |client| self.follow(client).await)
    }

    async fn follow(&self, client: &Client) -> Result<Exit, Failure> {
        let mut seen = Seen { last: String::new(), left: self.count.unwrap_or(u64::MAX) };
        let mut wait = WAITS.0;
        let mut begun = false;
        loop {
            let ended = match client.stream(self.call(&seen.last)).await {
                Ok(body) => {
                    if std::mem::replace(&mut begun, true) {
                        output::note("weir: the server answers again");
                    }
                    wait = WAITS.0;
                    match self.listen(body, &mut seen).await? {
                        Some(ended) => ended,
                        None => return Ok(Exit::Done),
                    }
                }
                Err(failure) if begun && failure.is_absence() => failure.to_string(),
                Err(failure) => return Err(failure),
            };
            if wait == WAITS.0 {
                output::note(&format!("weir: {}; trying again", output::clean(&ended)));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAITS.1);
        }
    }

    /// Prints what a stream brings. Gives why it ended; `None` when nobody wants more.
    async fn listen(&self, mut body: Incoming, seen: &mut Seen) -> Result<Option<String>, Failure> {
        let mut parser = Parser { id: seen.last.clone(), ..Parser::default() };
        loop {
            match body.frame().await {
                Some(Ok(frame)) => parser.take(frame.data_ref().map_or(&[][..], |bytes| bytes)),
                Some(Err(error)) => return Ok(Some(error.to_string())),
                None => return Ok(Some("the stream ended".to_owned())),
            }
            while let Some(event) = parser.ready.pop_front() {
                seen.last.clone_from(&event.id);
                if !self.print(&event)? || seen.left == 1 {
                    return Ok(None);
                }
                seen.left -= 1;
            }
        }
    }

    fn call(&self, last: &str) -> Call {
        let usual = [Kind::Weights, Kind::Health, Kind::Rollout, Kind::Config, Kind::Store, Kind::Audit];
        let kinds = if self.kind.is_empty() { &usual[..] } else { &self.kind };
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let mut path = format!("/v1/events?kinds={}", kinds.join(","));
        if let Some(route) = &self.route {
            path += &format!("&route={}", pages::encode(route));
        }
        if !last.is_empty() {
            path += &format!("&last_event_id={}", pages::encode(last));
        }
        Call::new(Method::GET, path)
    }

    /// Prints an event; says whether anybody reads on.
    fn print(&self, event: &Event) -> anyhow::Result<bool> {
        let text = match self.remote.output {
            Format::Table | Format::Wide => line(event, Look::of_stdout()) + "\n",
            Format::Name => format!("{}\n", output::clean(&event.event)),
            Format::Yaml => format!("---\n{}", super::format::yaml(event)?),
            Format::Json | Format::Sarif => serde_json::to_string(event)? + "\n",
        };
        match output::write(&text) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            written => Ok(written.map(|()| true)?),
        }
    }
}

// === impl Kind ===

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Stats => "stats",
            Self::Weights => "weights",
            Self::Health => "health",
            Self::Rollout => "rollout",
            Self::Analysis => "analysis",
            Self::Config => "config",
            Self::Store => "store",
            Self::Audit => "audit",
        }
    }
}

/// What happened in a rollout.
fn rollout(data: &Value) -> String {
    let of = &data["rollout"];
    let words = data["entry"]["words"].as_str().unwrap_or("has been asked for");
    format!("{} {} {}: {words}", list(&of["routes"]), change::value(&of["id"]), change::value(&of["phase"]))
}

/// What the gates of a rollout say, route by route.
fn analysis(data: &Value) -> String {
    let live = data["live"].as_array().into_iter().flatten();
    let said = live.map(|of| {
        let gates = of["gates"].as_array().into_iter().flatten();
        let gates: Vec<&str> = gates.filter_map(|gate| gate["words"].as_str()).collect();
        format!("{} {}  {}", change::value(&of["route"]), change::value(&of["decision"]), gates.join(", "))
    });
    format!("{} {}", change::value(&data["rollout"]["id"]), said.collect::<Vec<_>>().join("; "))
}

/// Names with commas.
fn list(names: &Value) -> String {
    let names = names.as_array().into_iter().flatten();
    names.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// An event as people read it: when, what, and the gist of its data.
pub(super) fn line(event: &Event, look: Look) -> String {
    let data = &event.data;
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    let by = || {
        let origin = &data["origin"];
        let part = |key: &str| origin[key].as_str().unwrap_or("-").to_owned();
        let reason = origin["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("by {} ({}){reason}", part("actor"), part("channel"))
    };
    let gist = match event.event.as_str() {
        "weights" => {
            let weights = data["weights"]["weights"].as_object().into_iter().flatten();
            let weights: Vec<_> =
                weights.map(|(name, weight)| format!("{name}={}", change::value(weight))).collect();
            let kill = data["weights"]["kill_switch"].as_str();
            let kill =
                kill.map(|backend| format!(" KILL SWITCH: everything to {backend}")).unwrap_or_default();
            let route = change::value(&data["weights"]["route"]);
            format!("{route} {}{kill}  {} {}", weights.join(" "), text("action"), by())
        }
        "audit" => {
            let route = data["route"].as_str().map(|route| format!(" {route}")).unwrap_or_default();
            let revision = change::value(&data["revision"]);
            format!("rev {revision} {}{route} {}", text("action"), by())
        }
        "config" => {
            let why = data["error"].as_str().and_then(|error| error.lines().next());
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("control file {}, rev {}{why}", text("result"), change::value(&data["revision"]))
        }
        "store" => {
            let why = data["error"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
            let unsaved = if data["persisted"] == false { "  what is in force is not on disk" } else { "" };
            format!("store {}, rev {}{why}{unsaved}", text("result"), change::value(&data["revision"]))
        }
        "health" => {
            let endpoints = data["endpoints"].as_array().map_or(0, Vec::len);
            format!("{} {}/{endpoints} available", text("name"), change::value(&data["healthy"]))
        }
        "rollout" => rollout(data),
        "analysis" => analysis(data),
        "reset" | "bye" => text("reason"),
        _ => data.to_string(),
    };
    let at = data["at"]
        .as_str()
        .map_or_else(|| crate::server::rfc3339(crate::types::clock::unix_now()), str::to_owned);
    format!(
        "{}  {}  {}",
        output::clean(&at),
        look.bold(&format!("{:<8}", output::clean(&event.event))),
        output::clean(&gist)
    )
}

// === impl Parser ===

impl Parser {
    /// Takes what came; events that are whole are ready then.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(length) = self.rest[from..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[from..from + length]).into_owned();
            from += length + 1;
            self.line(line.strip_suffix('\r').unwrap_or(&line));
        }
        self.rest.drain(..from);
        if self.rest.len() > LONGEST {
            // No event of ours; what follows its end is read again.
            self.rest.clear();
        }
    }

    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => self.dispatch(),
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments keep the connection alive.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let (event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
        if data.is_empty() {
            return;
        }
        let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
        self.ready.push_back(Event { id: self.id.clone(), event, data });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_taken_apart_wherever_it_is_cut() {
        let stream = ": hello\n\nid: 7\nevent: audit\ndata: {\"revision\":3,\"action\":\"kill\",\"route\":\"shop\",\
                      \"origin\":{\"actor\":\"alice\",\"channel\":\"cli\"},\"at\":\"2026-01-31T12:00:00.000Z\"}\n\n\
                      id: 8\r\nevent: bye\r\ndata: {\"reason\":\"stopping\"}\r\n\r\nid: 9\ndata: cut";
        for size in [1, 7, 1000] {
            let mut parser = Parser::default();
            for chunk in stream.as_bytes().chunks(size) {
                parser.take(chunk);
            }
            let events: Vec<Event> = parser.ready.into();
            let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
            assert_eq!(ids, ["7", "8"]);
            assert_eq!(
                line(&events[0], Look::PLAIN),
                "2026-01-31T12:00:00.000Z  audit     rev 3 kill shop by alice (cli)"
            );
            assert!(line(&events[1], Look::PLAIN).ends_with("bye       stopping"));
        }
    }
}

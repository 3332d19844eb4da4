//! Live events over real sockets.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use weir::{
    control::{Change, WeightChange},
    types::Weight,
};

use crate::support::{
    Client, End, GET, Origin, Setup, Weir,
    weir::{eventually, now},
};

/// A client of `/v1/events`.
struct Events {
    client: Client,
    /// The id of the last event.
    last: String,
}

/// One event.
#[derive(Debug)]
struct Event {
    kind: String,
    data: Value,
}

// === impl Events ===

impl Events {
    /// Opens a stream, with header lines and the like after the path.
    fn open(weir: &Weir, query: &str, header: &str) -> Self {
        let mut client = Client::to(weir.running().admin());
        client.send(format!("GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"));
        let (status, head) = client.response_head();
        assert_eq!((status, head.get("content-type")), (200, Some("text/event-stream")));
        Self { client, last: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        loop {
            let chunk = String::from_utf8(self.client.chunk()?).unwrap();
            assert!(chunk.ends_with("\n\n"), "{chunk}");
            let field = |name: &str| chunk.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(kind), Some(data)) = (field("id: "), field("event: "), field("data: ")) {
                id.clone_into(&mut self.last);
                return Some(Event { kind: kind.to_owned(), data: serde_json::from_str(data).unwrap() });
            }
        }
    }

    /// The next event, which is of this kind.
    fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().expect("the stream goes on");
        assert_eq!(event.kind, kind, "{}", event.data);
        event.data
    }

    /// The next event of this kind, whatever comes before.
    fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().expect("the stream goes on");
            if event.kind == kind {
                return event.data;
            }
        }
    }
}

fn two(origin: &Origin) -> Setup {
    Setup::before(origin).backend("canary", &[origin.address])
}

fn weight(weir: &Weir, weight: u32) {
    weight_because(weir, weight, None);
}

fn weight_because(weir: &Weir, weight: u32, reason: Option<&str>) {
    let weights = BTreeMap::from([("canary".to_owned(), Some(Weight::of(weight)))]);
    let change = Change::SetWeights {
        route: "all".to_owned(),
        weights: WeightChange::Patch(weights),
        pause_rollout: false,
    };
    weir.apply_because(change, reason).unwrap();
}

#[test]
fn a_change_is_seen_at_once_and_the_picture_before_it() {
    let origin = Origin::named("ok");
    let weir = two(&origin).start();
    let mut events = Events::open(&weir, "?kinds=snapshot,weights,audit", "");
    let snapshot = events.expect("snapshot");
    assert_eq!((&snapshot["revision"], &snapshot["routes"][0]["name"]), (&1.into(), &"all".into()));
    for number in 2..12 {
        let began = now();
        weight(&weir, number);
        let audit = events.expect("audit");
        assert_eq!((&audit["revision"], &audit["route"]), (&number.into(), &"all".into()));
        let weights = events.expect("weights");
        assert_eq!(weights["weights"]["weights"]["canary"], number);
        assert_eq!(weights["origin"]["actor"], "it");
        assert!(began.elapsed() < Duration::from_millis(100), "it took {:?}", began.elapsed());
    }
    weir.apply(Change::Kill { route: "all".to_owned(), backend: None }).unwrap();
    assert_eq!(events.expect("audit")["action"], "kill");
    assert_eq!(events.expect("weights")["weights"]["kill_switch"], "stable");
}

#[test]
fn who_comes_back_gets_what_was_missed() {
    let origin = Origin::named("ok");
    let weir = two(&origin).start();
    let mut events = Events::open(&weir, "?kinds=snapshot,weights", "");
    events.expect("snapshot");
    weight(&weir, 1);
    events.expect("weights");
    let seen = events.last.clone();
    events.client.close();
    weight(&weir, 2);
    weight(&weir, 3);
    for (query, header) in [
        (String::new(), format!("Last-Event-ID: {seen}\r\n")),
        (format!("&last_event_id={seen}"), String::new()),
    ] {
        let mut again = Events::open(&weir, &format!("?kinds=snapshot,weights{query}"), &header);
        assert_eq!(again.expect("weights")["weights"]["weights"]["canary"], 2);
        assert_eq!(again.expect("weights")["weights"]["weights"]["canary"], 3);
    }
    // Of another process: begin anew.
    let mut stranger = Events::open(&weir, "", "Last-Event-ID: 7\r\n");
    stranger.expect("reset");
    assert_eq!(stranger.expect("snapshot")["revision"], 4);
}

#[test]
fn traffic_comes_every_second_and_reloads_are_told() {
    let origin = Origin::named("ok");
    let setup = two(&origin);
    let weir = setup.start();
    weir.client().ask(GET);
    let mut events = Events::open(&weir, "?kinds=stats,config,health&route=all", "");
    let served = |data: &Value| {
        let backends = data["routes"][0]["backends"].as_array().unwrap();
        let stable = &backends[0];
        assert_eq!((&stable["backend"], backends.len()), (&"stable".into(), 2));
        stable["traffic"]["requests"] == 1 && stable["traffic"]["observed_ratio"] == 1.0
    };
    while !served(&events.until("stats")) {}
    weir.rewrite(&setup.clone().workers(1).route("name: all, backend: canary"));
    let config = events.until("config");
    assert_eq!((&config["result"], &config["revision"]), (&"applied".into(), &2.into()));
    weir.write_file("nonsense: true");
    let config = events.until("config");
    assert_eq!((&config["result"], &config["revision"]), (&"refused".into(), &2.into()));
    assert!(config["error"].as_str().unwrap().contains("nonsense"), "{config}");
}

/// A connection for which the kernel keeps little, so that the other side notices soon when nobody reads.
fn with_little_room(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_changes_go_on() {
    let origin = Origin::named("ok");
    let weir = two(&origin).start();
    let mut reader = Events::open(&weir, "?kinds=weights", "");
    let mut slow = Client::over(with_little_room(weir.running().admin()));
    slow.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Long enough that a few fill what the kernel takes for the slow one, and it is not its patience that ends.
    let reason = "x".repeat(64 << 10);
    let mut changes = 0;
    while weir.count("weir_event_streams_dropped_total", "") == 0 {
        for _ in 0..20 {
            changes += 1;
            weight_because(&weir, changes % 2 + 1, Some(&reason));
            reader.expect("weights");
        }
    }
    assert_eq!(weir.count("weir_event_streams", ""), 1);
    // What it did not read is cut off.
    assert!(matches!(slow.end(), End::Reset | End::Closed));
}

#[test]
fn a_stop_is_not_delayed_by_streams() {
    let origin = Origin::named("ok");
    let weir = two(&origin).start();
    let mut events = Events::open(&weir, "?kinds=weights", "");
    let mut silent = Events::open(&weir, "", "");
    silent.expect("snapshot");
    let began = now();
    let stopping = weir.stop();
    assert_eq!(events.expect("bye")["reason"], "stopping");
    assert!(events.next().is_none(), "nothing comes after it");
    assert_eq!(events.client.end(), End::Closed);
    stopping.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

#[test]
fn there_are_only_so_many_streams_and_bad_wishes_are_refused() {
    let origin = Origin::named("ok");
    let weir = two(&origin).start();
    let mut streams: Vec<Events> = (0..64).map(|_| Events::open(&weir, "?kinds=audit", "")).collect();
    let ask = |path: &str| {
        let mut client = Client::to(weir.running().admin());
        let response =
            client.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        let problem: Value = serde_json::from_str(&response.text()).unwrap();
        (
            response.status,
            problem["type"].as_str().unwrap().trim_start_matches("urn:weir:problem:").to_owned(),
        )
    };
    assert_eq!(ask("/v1/events"), (503, "too-many-streams".to_owned()));
    streams.pop().unwrap().client.close();
    eventually("room again", || (weir.count("weir_event_streams", "") < 64).then_some(()));
    Events::open(&weir, "?kinds=audit", "");
    for (query, expected) in [
        ("kinds=weight", (400, "invalid-parameter")),
        ("kinds=", (400, "invalid-parameter")),
        ("route=al", (404, "unknown-route")),
        ("last_event_id=-1", (400, "invalid-parameter")),
        ("since=1", (400, "invalid-parameter")),
    ] {
        assert_eq!(ask(&format!("/v1/events?{query}")), (expected.0, expected.1.to_owned()), "{query}");
    }
}

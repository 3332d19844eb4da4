//! Streams of events without sockets, in paused time.

use std::{future::poll_fn, pin::Pin, time::Duration};

use hyper::body::Body as _;
use serde_json::json;

use super::{
    queue::{CAPACITY, PATIENCE},
    ring::{MAX_BYTES, MAX_EVENTS},
    stream::HEARTBEAT,
    *,
};

fn events() -> Arc<Events> {
    Arc::new(Events::new(Arc::default()))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn only(kinds: &[Kind], route: Option<&str>) -> Filter {
    Filter::new(kinds.iter().copied().collect(), route.map(name))
}

/// The next text of a stream; `None` at its end.
async fn next(stream: &mut EventStream) -> Option<Bytes> {
    let frame = poll_fn(|context| Pin::new(&mut *stream).poll_frame(context)).await?;
    // What the client of a stream that was broken off sees is no event.
    Some(
        frame.map_or(Bytes::from_static(b"event: broken\ndata: off\n\n"), |frame| frame.into_data().unwrap()),
    )
}

async fn next_text(stream: &mut EventStream) -> String {
    String::from_utf8(next(stream).await.expect("the stream goes on").to_vec()).unwrap()
}

/// What there is to read now: kind and data of each event; comments and hints are left out.
async fn ready(stream: &mut EventStream) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(text) = tokio::time::timeout(Duration::from_millis(1), next(stream)).await {
        let Some(text) = text else {
            all.push("end".to_owned());
            return all;
        };
        let text = String::from_utf8(text.to_vec()).unwrap();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if text.starts_with("event: broken") {
            all.push("broken".to_owned());
            return all;
        }
        if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
            all.push(format!("{kind} {data}"));
        }
    }
    all
}

impl Events {
    fn audit(&self, text: &str) {
        self.publish(Kind::Audit, Scope::All, &text, clock::now());
    }

    fn last(&self) -> u64 {
        self.hub().ring.last()
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_told_and_encoded_once() {
    let events = events();
    let (mut one, start) = events.open(Filter::default(), None).unwrap();
    let (mut two, _) = events.open(Filter::default(), None).unwrap();
    assert_eq!(start, Start::Fresh);
    one.begin_with(&json!({"revision": 1}));
    let at = events.last();
    events.audit("a");
    assert_eq!(next_text(&mut one).await, "retry: 2000\n\n");
    assert_eq!(next_text(&mut one).await, format!("id: {at}\nevent: snapshot\ndata: {{\"revision\":1}}\n\n"));
    let text = next(&mut one).await.unwrap();
    assert_eq!(text, format!("id: {}\nevent: audit\ndata: \"a\"\n\n", at + 1));
    next(&mut two).await.unwrap();
    assert_eq!(next(&mut two).await.unwrap().as_ptr(), text.as_ptr(), "it is the same memory");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_was_missed_or_a_reset() {
    let events = events();
    let start = events.last();
    for text in ["a", "b", "c"] {
        events.audit(text);
    }
    events.publish_stats(|_| "numbers", clock::now());
    let last = events.last();
    for (id, expected) in [
        (start, vec!["audit \"a\"", "audit \"b\"", "audit \"c\""]),
        (start + 1, vec!["audit \"b\"", "audit \"c\""]),
        (last - 1, vec![]),
        (last, vec![]),
    ] {
        let (mut stream, start) = events.open(Filter::default(), Some(id)).unwrap();
        assert_eq!(
            (start, ready(&mut stream).await),
            (Start::Replayed, expected.iter().map(ToString::to_string).collect())
        );
    }
    // Of a process before this one, and of a clock that was ahead.
    for id in [0, start - 1, last + 1] {
        let (mut stream, start) = events.open(Filter::default(), Some(id)).unwrap();
        assert_eq!(start, Start::Reset);
        stream.begin_with(&json!(1));
        let texts = ready(&mut stream).await;
        assert!(texts[0].starts_with("reset {") && texts[1] == "snapshot 1", "{texts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_in_number_and_size() {
    for (size, count) in [(1, MAX_EVENTS), (MAX_BYTES / 8, 7)] {
        let events = events();
        for _ in 0..MAX_EVENTS + 50 {
            events.audit(&"x".repeat(size));
        }
        let hub = events.hub();
        let kept = hub.ring.last() - u64::try_from(count).unwrap();
        drop(hub);
        let opened = |id| events.open(Filter::default(), Some(id)).unwrap().1;
        assert_eq!((opened(kept), opened(kept - 1)), (Start::Replayed, Start::Reset), "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters_hold_for_live_events_and_for_replayed_ones() {
    let events = events();
    let start = events.last();
    let filters = [
        (only(&[Kind::Audit, Kind::Config], None), vec!["audit 1", "config 2"]),
        (only(&[Kind::Weights, Kind::Config], Some("shop")), vec!["config 2", "weights 3"]),
        (only(&[Kind::Health], Some("shop")), vec!["health 5"]),
    ];
    let mut live = Vec::new();
    for (filter, _) in &filters {
        live.push(events.open(filter.clone(), None).unwrap().0);
    }
    let shop = || Scope::Routes(vec![name("shop")]);
    let both = Scope::Routes(vec![name("api"), name("shop")]);
    for (number, (kind, scope)) in [
        (Kind::Audit, Scope::All),
        (Kind::Config, Scope::All),
        (Kind::Weights, shop()),
        (Kind::Weights, Scope::Routes(vec![name("api")])),
        (Kind::Health, both),
    ]
    .into_iter()
    .enumerate()
    {
        events.publish(kind, scope, &(number + 1), clock::now());
    }
    for ((filter, expected), live) in filters.into_iter().zip(&mut live) {
        assert_eq!(ready(live).await, expected);
        let mut replayed = events.open(filter, Some(start)).unwrap().0;
        assert_eq!(ready(&mut replayed).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn stats_are_made_once_for_each_route_that_is_asked_for() {
    let events = events();
    assert!(!events.wanted(Kind::Stats));
    let mut streams: Vec<_> = [None, Some("shop"), Some("shop"), None]
        .map(|route| events.open(only(&[Kind::Stats], route), None).unwrap().0)
        .into();
    let mut nobody = events.open(only(&[Kind::Audit], None), None).unwrap().0;
    assert!(events.wanted(Kind::Stats));
    let made = std::cell::Cell::new(0);
    let data = |route: Option<&Name>| {
        made.set(made.get() + 1);
        route.map_or("all".to_owned(), ToString::to_string)
    };
    events.publish_stats(data, clock::now());
    for (stream, expected) in streams.iter_mut().zip(["all", "shop", "shop", "all"]) {
        assert_eq!(ready(stream).await, [format!("stats \"{expected}\"")]);
    }
    assert_eq!((made.get(), ready(&mut nobody).await.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_keep_up_is_dropped_and_nobody_else() {
    let events = events();
    let (mut slow, _) = events.open(Filter::default(), None).unwrap();
    let (mut quick, _) = events.open(Filter::default(), None).unwrap();
    let mut seen = 0;
    for _ in 0..=CAPACITY {
        events.audit("x");
        seen += ready(&mut quick).await.len();
    }
    assert_eq!(seen, CAPACITY + 1);
    assert_eq!(ready(&mut slow).await, ["broken"]);
    assert_eq!(events.stats.streams.dropped.load(Relaxed), 1);

    // One that takes nothing at all, while little happens.
    let (mut stuck, _) = events.open(Filter::default(), None).unwrap();
    let sent = clock::now();
    events.audit("x");
    ready(&mut quick).await;
    tokio::time::advance(PATIENCE - sent.elapsed()).await;
    events.review(clock::now());
    assert_eq!(events.stats.streams.open.load(Relaxed), 2);
    tokio::time::advance(Duration::from_millis(1)).await;
    events.review(clock::now());
    assert_eq!(events.stats.streams.dropped.load(Relaxed), 2);
    assert_eq!(ready(&mut stuck).await, ["broken"]);
    events.audit("y");
    assert_eq!(ready(&mut quick).await, ["audit \"y\""]);
    drop(quick);
    assert_eq!(events.stats.streams.open.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_comments() {
    let events = events();
    let (mut stream, _) = events.open(Filter::default(), None).unwrap();
    let began = clock::now();
    assert_eq!(next_text(&mut stream).await, "retry: 2000\n\n");
    for beats in 1..=3 {
        assert_eq!(next_text(&mut stream).await, ": nothing new\n\n");
        assert_eq!(began.elapsed().as_secs(), HEARTBEAT.as_secs() * beats);
    }
    // An event is a sign of life itself.
    tokio::time::advance(HEARTBEAT - Duration::from_secs(1)).await;
    events.audit("x");
    assert!(next_text(&mut stream).await.contains("audit"));
    tokio::time::advance(HEARTBEAT - Duration::from_secs(1)).await;
    assert!(ready(&mut stream).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_and_end_at_the_stop() {
    let events = events();
    let mut streams: Vec<_> =
        (0..MAX_STREAMS).map(|_| events.open(Filter::default(), None).unwrap().0).collect();
    let refused = |events: &Arc<Events>| events.open(Filter::default(), None).map(drop).unwrap_err();
    assert_eq!(refused(&events), OpenError::Full);
    assert_eq!(events.stats.streams.refused.load(Relaxed), 1);
    streams.pop();
    assert!(events.open(Filter::default(), None).is_ok());
    events.audit("x");
    events.close();
    let texts = ready(&mut streams[0]).await;
    assert_eq!(texts, ["audit \"x\"", "bye {\"reason\":\"stopping\"}", "end"]);
    assert_eq!(refused(&events), OpenError::Stopping);
}

#[tokio::test(start_paused = true)]
async fn lost_events_make_everybody_begin_anew() {
    let events = events();
    events.audit("x");
    let (mut stream, _) = events.open(Filter::default(), None).unwrap();
    let seen = events.last();
    events.interrupt();
    assert_eq!(ready(&mut stream).await, ["end"]);
    assert_eq!(events.open(Filter::default(), Some(seen)).unwrap().1, Start::Reset);
    assert_eq!(events.open(Filter::default(), Some(events.last())).unwrap().1, Start::Replayed);
}

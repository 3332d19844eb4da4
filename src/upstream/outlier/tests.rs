//! Ejection by table: answers in, who is out and for how long.

use super::*;
use crate::{
    telemetry::Registry,
    types::{Address, Name, clock},
    upstream::Directory,
};

/// A backend of so many endpoints.
fn endpoints(count: u16, now: Instant) -> Vec<Arc<Endpoint>> {
    let (registry, name) = (Registry::new(1), Name::new("canary").unwrap());
    let mut directory = Directory::new(now);
    let endpoint = |port: u16| {
        let address = Address::Tcp(([127, 0, 0, 1], port + 1).into());
        directory.endpoint((&name, &address, None), now, || registry.endpoint(&name, &format!("{address}")))
    };
    (0..count).map(endpoint).collect()
}

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

const BASE: Duration = Duration::from_secs(30);

/// Lets `answers` come in, one a millisecond: a digit is the endpoint, the letter before it how it answered (`g` good, `s`
/// server error, `w` gateway failure). Gives which endpoints are out after each, and `V` when the version is suspect.
fn run(detection: &OutlierDetection, count: u16, answers: &str) -> String {
    let start = clock::now();
    let peers = endpoints(count, start);
    let mut seen = Vec::new();
    for (step, answer) in answers.split(' ').enumerate() {
        let at: usize = answer[1..].parse().unwrap();
        let answer = match &answer[..1] {
            "g" => Answer::Good,
            "s" => Answer::ServerError,
            _ => Answer::GatewayFailure,
        };
        let now = after(start, step as u64);
        detection.observe(&peers[at], &peers, (answer, 0), || now);
        seen.push(out(detection, &peers, now));
    }
    seen.join(" ")
}

fn out(detection: &OutlierDetection, peers: &[Arc<Endpoint>], now: Instant) -> String {
    let mut out: String = (0..peers.len())
        .filter(|at| peers[*at].is_ejected(now))
        .map(|at| char::from_digit(u32::try_from(at).unwrap(), 10).unwrap())
        .collect();
    if detection.is_version_suspect(peers, now) {
        out.push('V');
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

#[test]
fn who_is_out_after_each_answer() {
    let by_5xx = |percent| OutlierDetection::new(2, BASE, percent);
    let gateway = || {
        let mut detection = OutlierDetection::new(0, BASE, 50);
        detection.consecutive_gateway_failures = 2;
        detection
    };
    for (detection, count, answers, expected) in [
        // In a row means in a row, and whatever has no good end counts.
        (by_5xx(50), 2, "s0 g0 s0 w0", "- - - 0"),
        (by_5xx(50), 2, "w0 w0", "- 0"),
        (by_5xx(50), 3, "s0 s1 s0 g1 s1", "- - 0 0 0"),
        // Gateway failures are a kind of their own, which other errors end.
        (gateway(), 2, "w0 s0 w0 w0", "- - - 0"),
        (gateway(), 2, "s0 s0 s0 s0", "- - - -"),
        // One of two, whatever the percentage says; then it is the version.
        (by_5xx(1), 2, "s0 s0 s1 s1", "- 0 0 V"),
        (by_5xx(50), 2, "s1 s1 s0 s0 s0 s0", "- 1 1 V V V"),
        // Two of four are half, three are most, and those that were out come back.
        (by_5xx(50), 4, "s0 s0 s1 s1 s2 s2 s3 s3", "- 0 0 01 01 V V V"),
        // Not more than the percentage, although it is no version yet.
        (by_5xx(10), 4, "s0 s0 s1 s1", "- 0 0 0"),
        // Whoever allows more than half says with it what most is.
        (by_5xx(75), 4, "s0 s0 s1 s1 s2 s2 s3 s3", "- 0 0 01 01 012 012 V"),
        (by_5xx(100), 2, "s0 s0 s1 s1", "- 0 0 01"),
        // An only endpoint is its version.
        (by_5xx(50), 1, "s0 s0 s0 g0", "- V V V"),
        (by_5xx(100), 1, "s0 s0", "- 0"),
        (OutlierDetection::new(0, BASE, 50), 2, "s0 s0 s0", "- - -"),
    ] {
        assert_eq!(run(&detection, count, answers), expected, "{answers} of {count}");
    }
}

#[test]
fn ejections_in_a_row_last_longer_and_good_behaviour_makes_up() {
    let detection = OutlierDetection::new(1, BASE, 50);
    let start = clock::now();
    let peers = endpoints(2, start);
    let mut now = start;
    let mut lasted = Vec::new();
    for _ in 0..12 {
        detection.observe(&peers[0], &peers, (Answer::ServerError, 0), || now);
        let ejection = peers[0].ejection(now).unwrap();
        assert_eq!(ejection.cause, Cause::Consecutive5xx);
        lasted.push(ejection.left.as_secs());
        now += ejection.left;
        assert!(!peers[0].is_ejected(now));
    }
    assert_eq!(lasted, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    assert_eq!(peers[0].record.ejections()[0], (Cause::Consecutive5xx, 12));
    // Twelve intervals without one, and the next is the first again. Within an interval nothing is forgotten.
    detection.review(&peers, now);
    for _ in 0..12 {
        now += Duration::from_secs(10);
        detection.review(&peers, now);
        detection.review(&peers, now + Duration::from_secs(1));
    }
    detection.observe(&peers[0], &peers, (Answer::ServerError, 0), || now);
    assert_eq!(peers[0].ejection(now).unwrap().left, BASE);
}

#[test]
fn a_success_rate_below_the_minimum_ejects_the_worst() {
    // Good and bad answers of each endpoint, and who is out after the interval.
    for (answers, expected) in [
        (&[(90, 10), (80, 20), (100, 0)][..], "1"),
        (&[(86, 14), (90, 10)], "-"),
        (&[(0, 99), (100, 0)], "-"),
        (&[(0, 100), (100, 0)], "0"),
        (&[(70, 30), (60, 40), (100, 0), (100, 0)], "1"),
        (&[(70, 30), (60, 40), (50, 50), (100, 0)], "V"),
    ] {
        let mut detection = OutlierDetection::new(0, BASE, 25);
        detection.success_rate = Some(SuccessRate { minimum: 0.85, min_requests: 100 });
        let start = clock::now();
        let peers = endpoints(u16::try_from(answers.len()).unwrap(), start);
        detection.review(&peers, start);
        for (at, (good, bad)) in answers.iter().enumerate() {
            let all = (0..*good).map(|_| Answer::Good).chain((0..*bad).map(|_| Answer::ServerError));
            all.for_each(|answer| detection.observe(&peers[at], &peers, (answer, 0), || start));
        }
        detection.review(&peers, after(start, 9_999));
        assert_eq!(out(&detection, &peers, after(start, 9_999)), "-", "the interval is not over");
        let end = after(start, 10_000);
        detection.review(&peers, end);
        assert_eq!(out(&detection, &peers, end), expected, "{answers:?}");
        // What was judged once is not judged again.
        let later = end + 3 * BASE;
        detection.review(&peers, later);
        assert_eq!(out(&detection, &peers, later), "-");
    }
}

#[test]
fn suspicion_ends_with_the_ejection_time() {
    let detection = OutlierDetection::new(1, BASE, 50);
    let start = clock::now();
    let peers = endpoints(2, start);
    for peer in &peers {
        detection.observe(peer, &peers, (Answer::GatewayFailure, 0), || start);
    }
    assert!(detection.is_version_suspect(&peers, after(start, 29_999)));
    assert!(!detection.is_version_suspect(&peers, after(start, 30_000)));
}

#[test]
fn whoever_comes_back_starts_slowly_unless_it_was_no_fault_of_its_own() {
    let (detection, window) = (OutlierDetection::new(1, BASE, 50), Duration::from_secs(10));
    let start = clock::now() + Duration::from_secs(60);
    let peers = endpoints(2, clock::now());
    let warmth = |at: Instant| (peers[0].warmth(window, at) * 100.0).round();
    assert!((warmth(start) - 100.0).abs() < 0.1, "it has been there for a minute");
    detection.observe(&peers[0], &peers, (Answer::ServerError, 0), || start);
    let back = start + BASE;
    for (after, expected) in [(0, 10.0), (500, 10.0), (5_000, 50.0), (9_000, 90.0), (10_000, 100.0)] {
        assert!((warmth(super::tests::after(back, after)) - expected).abs() < 0.1, "{after}");
    }
    detection.observe(&peers[1], &peers, (Answer::ServerError, 0), || start);
    assert!(!peers[0].is_ejected(start), "it is the version");
    assert!((warmth(start) - 100.0).abs() < 0.1);
}

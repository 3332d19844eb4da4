//! What may be sent again, by table; budgets and pauses by their laws.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::{
    snapshot::retry::Budget,
    types::clock,
    upstream::{breaker::Limit, connect::ConnectError},
};

/// A policy without any condition.
fn policy() -> Retry {
    Retry {
        id: 0,
        attempts: 2,
        connect_failure: false,
        reset_before_response: false,
        refused_stream: false,
        statuses: Vec::new(),
        per_try_timeout: None,
        budget: Budget { ratio: 0.2, min_per_second: 1.0 },
        max_body: 0,
        backoff: Backoff { base: Duration::from_millis(25), max: Duration::from_millis(250) },
    }
}

fn listing(first: u16, last: u16) -> Retry {
    Retry { statuses: vec![(first, last)], ..policy() }
}

fn unreachable() -> ProxyError {
    let address = crate::types::Address::Tcp(([127, 0, 0, 1], 1).into());
    ProxyError::Connect(ConnectError::Io { address, source: io::ErrorKind::ConnectionRefused.into() })
}

fn closed(reused: bool, unsent: bool) -> ProxyError {
    ProxyError::Closed { reused, unsent, source: None }
}

fn refused() -> ProxyError {
    ProxyError::Refused(io::ErrorKind::Other.into())
}

/// Whether it may be sent again: an idempotent request, and any other.
fn check(policy: Option<&Retry>, error: &ProxyError, expected: (bool, bool)) {
    let both = [true, false].map(|idempotent| may_retry(policy, Failure::Error(error), idempotent));
    assert_eq!(both, [expected.0, expected.1], "{error:?} by {policy:?}");
}

#[test]
fn without_a_policy_only_what_was_not_seen_is_sent_again() {
    for (error, expected) in [
        (unreachable(), (true, true)),
        (refused(), (true, true)),
        (closed(true, true), (true, true)),
        (closed(true, false), (true, false)),
        (closed(false, false), (false, false)),
        (closed(false, true), (false, false)),
        (ProxyError::ResponseTimeout(Duration::ZERO), (false, false)),
        (ProxyError::Truncated(None), (false, false)),
        (ProxyError::ClientGone, (false, false)),
        (ProxyError::Unavailable, (false, false)),
        (ProxyError::Overload(Limit::Requests), (false, false)),
    ] {
        check(None, &error, expected);
    }
    assert!(!may_retry(None, Failure::Status(503), true));
}

#[test]
fn a_policy_says_what_else() {
    let none = policy();
    let connect = Retry { connect_failure: true, ..policy() };
    let reset = Retry { reset_before_response: true, ..policy() };
    let stream = Retry { refused_stream: true, ..policy() };
    let (bad_gateway, any) = (listing(502, 502), listing(500, 599));
    let timeout = listing(504, 504);
    let late = || ProxyError::ResponseTimeout(Duration::ZERO);
    for (policy, error, expected) in [
        // What is listed, and what is not.
        (&none, unreachable(), (false, false)),
        (&connect, unreachable(), (true, true)),
        (&none, refused(), (false, false)),
        (&stream, refused(), (true, true)),
        (&none, closed(false, false), (false, false)),
        (&reset, closed(false, false), (true, false)),
        // A stale connection is nobody's failure.
        (&none, closed(true, true), (true, true)),
        (&none, closed(true, false), (true, false)),
        // Statuses stand for failures without an answer.
        (&bad_gateway, unreachable(), (true, true)),
        (&bad_gateway, closed(false, false), (true, false)),
        (&bad_gateway, ProxyError::Truncated(None), (true, false)),
        (&bad_gateway, late(), (false, false)),
        (&timeout, late(), (true, false)),
        (&any, late(), (true, false)),
        (&any, ProxyError::Body, (true, false)),
        // Never what is the client's doing, or Weir's own refusal.
        (&any, ProxyError::Unavailable, (false, false)),
        (&any, ProxyError::Overload(Limit::Pending), (false, false)),
        (&listing(400, 599), ProxyError::ClientGone, (false, false)),
        (&listing(400, 599), ProxyError::ClientBody, (false, false)),
        (&listing(400, 599), ProxyError::ClientIdle, (false, false)),
    ] {
        check(Some(policy), &error, expected);
    }
}

#[test]
fn statuses_are_retried_for_idempotent_requests_only() {
    let policy = Retry { statuses: vec![(503, 503), (425, 429)], ..policy() };
    for (status, expected) in
        [(503, true), (502, false), (504, false), (425, true), (429, true), (200, false)]
    {
        assert_eq!(may_retry(Some(&policy), Failure::Status(status), true), expected, "{status}");
        assert!(!may_retry(Some(&policy), Failure::Status(status), false), "{status}");
    }
}

#[test]
fn attempts_are_counted_on_each_backend() {
    assert_eq!((most_attempts(None), most_attempts(Some(&policy()))), (3, 2));
}

/// How many retries out of many tries at `now` are allowed.
fn drain(allowance: &mut Allowance, now: Instant, policy: &Retry) -> usize {
    (0..1000).take_while(|_| allowance.withdraw(now, policy)).count()
}

#[test]
fn a_budget_is_a_part_of_the_last_ten_seconds_and_never_nothing() {
    let (start, policy) = (clock::now(), policy());
    let at = |second: u64| start + Duration::from_secs(second);
    let mut allowance = Allowance::new(start);
    assert_eq!(drain(&mut allowance, start, &policy), 10, "one per second, whatever the ratio");
    assert_eq!(drain(&mut allowance, at(9), &policy), 0);
    assert_eq!(drain(&mut allowance, at(10), &policy), 10, "the first ones are forgotten");
    for _ in 0..500 {
        allowance.deposit(at(25));
    }
    assert_eq!(drain(&mut allowance, at(25), &policy), 100, "a fifth");
    assert_eq!(drain(&mut allowance, at(34), &policy), 0);
    assert_eq!(drain(&mut allowance, at(35), &policy), 10);
    // A long silence leaves nothing behind.
    assert_eq!(drain(&mut allowance, at(1_000_000), &policy), 10);
}

proptest! {
    /// Over any ten seconds there are never more retries than a fifth of the requests, or ten.
    #[test]
    fn a_budget_holds_over_any_ten_seconds(
        seconds in prop::collection::vec((0_u32..200, 0_u32..100), 1..40),
    ) {
        let (start, policy) = (clock::now(), policy());
        let mut allowance = Allowance::new(start);
        let mut done: Vec<(u64, u64)> = Vec::new();
        for (second, (requests, tries)) in seconds.into_iter().enumerate() {
            let now = start + Duration::from_secs(second as u64);
            (0..requests).for_each(|_| allowance.deposit(now));
            let retries = (0..tries).filter(|_| allowance.withdraw(now, &policy)).count();
            done.push((u64::from(requests), retries as u64));
            let window = &done[done.len().saturating_sub(WINDOW)..];
            let (asked, again) =
                window.iter().fold((0, 0), |(asked, again), (more, and)| (asked + more, again + and));
            // What was allowed in a second before may have been by requests that have left the window since.
            let most = asked.max(done.iter().rev().take(2 * WINDOW).map(|(asked, _)| asked).sum());
            prop_assert!(again <= (most / 5).max(10), "{:?}", window);
        }
    }

    #[test]
    fn pauses_are_within_what_doubles(retry in 0_u32..100, bits in any::<u64>()) {
        let backoff = policy().backoff;
        let longest = backoff.base.saturating_mul(1 << retry.min(10)).min(backoff.max);
        prop_assert!(pause(backoff, retry, bits) <= longest);
        prop_assert!(pause(backoff, retry, u64::MAX) >= longest - Duration::from_nanos(1));
        prop_assert_eq!(pause(backoff, retry, 0), Duration::ZERO);
    }
}

#[test]
fn no_base_is_no_pause() {
    let backoff = Backoff { base: Duration::ZERO, max: Duration::from_secs(1) };
    assert_eq!(pause(backoff, 5, u64::MAX), Duration::ZERO);
}

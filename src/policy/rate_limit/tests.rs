//! Limits by paused time.

use tokio::time::advance;

use super::*;
use crate::http::HeaderList;

fn limiter(key: RateKey, rate: &str, burst: u32, max_keys: u32) -> Limiter {
    let (rate, burst) = (Rate::parse(rate).unwrap(), NonZeroU32::new(burst).unwrap());
    Limiter::new(RateRule { key, rate, burst, max_keys })
}

/// Asks from an address, with this value of `X-Key` if it is not empty.
fn ask(limiter: &Limiter, address: &str, key: &str) -> Result<(), Duration> {
    let pairs = [("x-key", key)];
    let headers = HeaderList::from_pairs(pairs.into_iter().filter(|_| !key.is_empty()));
    let request = RequestView {
        method: "GET",
        host: "a",
        path: b"/",
        query: None,
        headers: headers.view(),
        client_ip: address.parse().unwrap(),
        peer_ip: address.parse().unwrap(),
        secure: false,
        listener_region: None,
    };
    limiter.admit(&request).map_err(|refused| refused.wait)
}

#[tokio::test(start_paused = true)]
async fn a_burst_comes_back_at_the_rate() {
    let limiter = limiter(RateKey::ClientIp, "10/s", 3, 100);
    for _ in 0..3 {
        assert_eq!(ask(&limiter, "10.0.0.1", ""), Ok(()));
    }
    assert_eq!(ask(&limiter, "10.0.0.1", ""), Err(Duration::from_millis(100)));
    assert_eq!(ask(&limiter, "10.0.0.2", ""), Ok(()), "another key");
    advance(Duration::from_millis(60)).await;
    assert_eq!(ask(&limiter, "10.0.0.1", ""), Err(Duration::from_millis(40)), "refusals are free");
    advance(Duration::from_millis(40)).await;
    assert_eq!(ask(&limiter, "10.0.0.1", ""), Ok(()));
    assert!(ask(&limiter, "10.0.0.1", "").is_err());
    advance(Duration::from_secs(3600)).await;
    let admitted = (0..10).filter(|_| ask(&limiter, "10.0.0.1", "").is_ok()).count();
    assert_eq!(admitted, 3, "never more than the burst");
}

#[tokio::test(start_paused = true)]
async fn each_key_counts_by_itself() {
    for (key, requests) in [
        (
            RateKey::Route,
            [("10.0.0.1", "", true), ("10.0.0.2", "", false), ("10.0.0.1", "a", false)].as_slice(),
        ),
        (RateKey::ClientIp, &[("10.0.0.1", "", true), ("10.0.0.2", "", true), ("10.0.0.1", "a", false)]),
        // One network of IPv6 is one client.
        (RateKey::ClientIp, &[("fd00::1", "", true), ("fd00::2", "", false), ("fd00:0:0:1::1", "", true)]),
        (
            RateKey::Header("x-key".into()),
            &[
                ("10.0.0.1", "a", true),
                ("10.0.0.2", "a", false),
                ("10.0.0.1", "b", true),
                ("10.0.0.1", "", true),
                ("10.0.0.1", "", false),
                ("10.0.0.2", "", true),
            ],
        ),
    ] {
        let limiter = limiter(key.clone(), "1/h", 1, 100);
        for (address, value, admitted) in requests {
            assert_eq!(ask(&limiter, address, value).is_ok(), *admitted, "{key:?} {address} {value}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_keys_take_no_more_memory_and_free_nobody_who_is_over() {
    let limiter = limiter(RateKey::ClientIp, "1/m", 5, 64);
    let over = "192.0.2.1";
    for _ in 0..5 {
        assert_eq!(ask(&limiter, over, ""), Ok(()));
    }
    for number in 0..10_000_u32 {
        assert_eq!(ask(&limiter, &std::net::Ipv4Addr::from(number).to_string(), ""), Ok(()));
    }
    assert!(ask(&limiter, over, "").is_err(), "a flood of others is no fresh start");
    let kept = |limiter: Limiter| -> usize {
        let keys = limiter.cells.into_state_store();
        keys.sets.iter().map(|set| set.lock().unwrap().capacity()).sum()
    };
    assert!(kept(limiter) <= 64);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_too_soon_is_counted() {
    let limiter = limiter(RateKey::ClientIp, "1/h", 2, 1);
    let ask_twice = |from: std::ops::Range<u32>| {
        for number in from.flat_map(|number| [number, number]) {
            let _ = ask(&limiter, &std::net::Ipv4Addr::from(number).to_string(), "");
        }
    };
    ask_twice(0..8);
    assert_eq!(limiter.forgotten(), 0);
    ask_twice(8..10);
    assert_eq!(limiter.forgotten(), 2);
    // These have their burst back, so nothing is lost with them.
    advance(Duration::from_secs(3 * 3600)).await;
    ask_twice(100..108);
    assert_eq!(limiter.forgotten(), 2);
}

#[tokio::test(start_paused = true)]
async fn extreme_rules_hold() {
    for (rate, burst) in [("1/d", u32::MAX), ("1000000/s", u32::MAX), ("1000000/s", 1), ("1/d", 1)] {
        let limiter = limiter(RateKey::Route, rate, burst, 1);
        assert_eq!(ask(&limiter, "10.0.0.1", ""), Ok(()));
        advance(Duration::from_secs(10 * 365 * 86_400)).await;
        assert_eq!(ask(&limiter, "10.0.0.1", ""), Ok(()), "{rate} {burst}");
    }
}

#[test]
fn waits_are_told_in_whole_seconds() {
    for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
        assert_eq!(TooMany { wait: Duration::from_millis(millis) }.seconds(), seconds);
    }
}

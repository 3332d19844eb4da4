//! WebSockets over their lives: who they are split to, what ends them, and what they count as.

use std::time::Duration;

use weir::control::Change;

use crate::{
    support::{
        Client, GET, Gate, Origin, Setup,
        h2::H2Client,
        ws::{Frame, Over, Socket, WAYS, echoing},
    },
    websocket::{Stand, closing},
};

#[test]
fn users_stay_on_their_version() {
    let (stable, _heard) = echoing("stable");
    let (canary, _heard) = echoing("canary");
    let setup = Setup::new().backend("stable", &[stable.address]).backend("canary", &[canary.address]);
    let stand = Stand::of(&setup.split("backends: { stable: 50, canary: 50 }"));
    let mut seen = Vec::new();
    for round in 0..32 {
        let way = WAYS[round % 4];
        let mut socket = stand.open(way);
        let cookie = socket.cookie().expect("a new user gets a cookie with the handshake");
        let name = socket.echo("who");
        // On whatever way the user comes again.
        for way in WAYS {
            let mut again = stand.ask(way, "/", &[("cookie", &cookie)]).open();
            assert_eq!((again.echo("who"), again.cookie()), (name.clone(), None), "{way:?}");
        }
        seen.push(name);
    }
    // All of one version come once in two thousand million times.
    assert!(seen.contains(&"stable".to_owned()) && seen.contains(&"canary".to_owned()));
}

#[test]
fn weights_and_the_kill_switch_are_for_new_ones() {
    let (stable, _heard) = echoing("stable");
    let (canary, _heard) = echoing("canary");
    let setup = Setup::new().backend("stable", &[stable.address]).backend("canary", &[canary.address]);
    let stand = Stand::of(&setup.split("key: none, backends: { stable: 0, canary: 100 }"));
    let mut before: Vec<Socket> = WAYS.into_iter().map(|way| stand.open(way)).collect();
    assert!(before.iter_mut().all(|socket| socket.echo("who") == "canary"));
    stand.weir.apply(Change::Kill { route: "all".to_owned(), backend: None }).unwrap();
    for way in WAYS {
        assert_eq!(stand.open(way).echo("who"), "stable", "{way:?}");
    }
    assert!(before.iter_mut().all(|socket| socket.echo("who") == "canary"), "those that are open stay");
}

#[test]
fn a_reload_ends_no_socket() {
    let (origin, _heard) = echoing("stable");
    let (other, _heard) = echoing("other");
    let setup = |origin: &Origin| Setup::before(origin).h2c("");
    let weir = setup(&origin).start();
    let mut h1 = Socket::upgrade(weir.client(), "/", &[]).open();
    let mut h2 = Socket::connect(H2Client::to(weir.address()), "http", "/", &[]).open();
    weir.rewrite(&setup(&other));
    let mut fresh = Socket::upgrade(weir.client(), "/", &[]).open();
    assert_eq!(
        [&mut h1, &mut h2, &mut fresh].map(|socket| socket.echo("who")),
        ["stable", "stable", "other"]
    );
}

#[test]
fn a_quiet_socket_ends_and_one_that_talks_does_not() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin).timeouts("tunnel_idle: 400ms, stream_idle: 50ms"));
    let pause = Gate::default();
    for way in WAYS {
        let mut quiet = stand.open(way);
        let mut talking = stand.open(way);
        // Longer than the quiet one may be quiet.
        for number in 0..12 {
            pause.wait_at_most(Duration::from_millis(50));
            assert_eq!(talking.echo(&number.to_string()), number.to_string(), "{way:?}");
        }
        assert_eq!(quiet.over(), Over::Broken, "{way:?}");
        assert_eq!(closing(&heard).0, 1006, "{way:?}: the origin sees the end");
    }
}

#[test]
fn other_timeouts_do_not_end_a_socket() {
    let (origin, _heard) = echoing("stable");
    let timeouts = "tunnel_idle: 0s, stream_idle: 50ms, response_headers: 50ms";
    let stand = Stand::of(&Setup::before(&origin).timeouts(timeouts));
    let mut sockets = WAYS.map(|way| stand.open(way));
    Gate::default().wait_at_most(Duration::from_millis(300));
    for socket in &mut sockets {
        assert_eq!(socket.echo("still there"), "still there");
    }
}

#[test]
fn a_drain_lets_sockets_go_on_until_they_close() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin).drain("timeout: 30s"));
    let mut idle = stand.weir.client();
    idle.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let mut sockets = WAYS.map(|way| stand.open(way));
    let (stopping, _folder) = stand.stop();
    idle.end();
    for socket in &mut sockets {
        for _ in 0..10 {
            assert_eq!(socket.echo("during"), "during");
        }
        socket.say(&Frame::close(1001, "so long"));
        assert_eq!(closing(&heard), (1001, "so long".to_owned()));
        assert_eq!(socket.hear().unwrap().closing().0, 1001);
        assert_eq!(socket.over(), Over::Ended);
    }
    drop(sockets);
    assert_eq!(stopping.join().unwrap(), 0, "nothing was cut off");
}

#[test]
fn a_drain_ends_sockets_when_its_time_is_over() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin).drain("timeout: 200ms"));
    let mut sockets = WAYS.map(|way| stand.open(way));
    for socket in &mut sockets {
        assert_eq!(socket.echo("before"), "before");
    }
    let (stopping, _folder) = stand.stop();
    for socket in &mut sockets {
        // Without a closing frame, however the connection ends.
        assert_eq!(socket.hear(), None);
        assert_eq!(closing(&heard).0, 1006, "the origin sees it as well");
    }
    assert_eq!(stopping.join().unwrap(), 4);
}

#[test]
fn a_tunnel_counts_as_the_request_that_opened_it() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    let pause = Gate::default();
    let mut sockets = WAYS.map(|way| stand.open(way));
    pause.wait_at_most(Duration::from_millis(300));
    for socket in &mut sockets {
        socket.say(&Frame::close(1000, ""));
        closing(&heard);
        assert_eq!(socket.over(), Over::Ended);
    }
    stand.weir.counts("weir_requests_total", "code=\"101\",method=\"GET\"", 4);
    // How long it was open is not how long it took.
    let longest = stand.weir.metric("weir_request_duration_seconds_sum", "");
    assert!(longest < 4.0 * 0.3, "{longest} s");
    stand.is_quiet();
    assert_eq!(Client::to(stand.weir.address()).ask(GET).text(), "stable");
}

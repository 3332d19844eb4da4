//! Limits of connections, and stopping without losing a request.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::{Client, End, GET, Gate, Origin, PATIENCE, Setup, weir::eventually};

/// Waits until nobody accepts any more at `address`: Weir is stopping.
fn stops_accepting(address: SocketAddr) {
    let refused = || TcpStream::connect_timeout(&address, PATIENCE).is_err().then_some(());
    eventually("no connection", refused);
}

const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn connections_above_the_limit_are_told_so() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).limits("max_connections: 2").start();
    let mut first = weir.client();
    let mut second = weir.client();
    assert_eq!(first.ask(GET).text(), "ok");
    assert_eq!(second.ask(GET).text(), "ok");
    for _ in 0..5 {
        let mut third = weir.client();
        let refused = third.response();
        assert_eq!((refused.status, refused.get("connection")), (503, Some("close")));
    }
    assert_eq!(first.ask(GET).text(), "ok");
    first.close();
    eventually("room again", || {
        let mut client = weir.client();
        client.try_send(GET);
        client.try_response().is_ok_and(|response| response.status == 200).then_some(())
    });
}

#[test]
fn requests_under_way_finish_and_idle_connections_close() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).drain("timeout: 15s").start();
    let address = weir.address();
    let mut idle = weir.client();
    assert_eq!(idle.ask(GET).text(), "ok");
    let mut busy = weir.client();
    busy.send(SLOW);
    origin.is_asked_slowly();
    let stopping = weir.stop();
    stops_accepting(address);
    assert_eq!(idle.end(), End::Closed, "an idle connection closes before the drain is over");
    gate.open();
    let answer = busy.response();
    assert_eq!((answer.text().as_str(), answer.get("connection")), ("ok", Some("close")));
    assert_eq!(busy.end(), End::Closed);
    assert_eq!(stopping.join().unwrap(), 0, "nothing was cut off");
}

#[test]
fn pipelined_requests_behind_the_last_one_do_not_reset_its_answer() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).drain("timeout: 15s").start();
    let mut idle = weir.client();
    idle.ask(GET);
    let mut busy = weir.client();
    busy.send(SLOW);
    origin.is_asked_slowly();
    let stopping = weir.stop();
    idle.end();
    busy.send(GET.repeat(100));
    gate.open();
    let answer = busy.response();
    assert_eq!((answer.text().as_str(), answer.get("connection")), ("ok", Some("close")));
    assert_eq!(busy.end(), End::Closed);
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn listeners_accept_until_the_delay_is_over() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).drain("delay: 400ms, timeout: 15s").start();
    let address = weir.address();
    let stopping = weir.stop();
    // Whoever gets a connection gets an answer, up to the last one.
    let mut answered = 0;
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
        let mut client = Client::over(stream);
        if !client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") {
            break;
        }
        match client.try_response() {
            Ok(response) => assert_eq!(response.text(), "ok"),
            // The one whose handshake the kernel finished while the socket was closed.
            Err(_) => break,
        }
        answered += 1;
    }
    assert!(answered > 10, "only {answered} before it stopped");
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn a_connection_that_was_just_made_gets_its_first_request_answered() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).drain("timeout: 15s").start();
    let mut idle = weir.client();
    idle.ask(GET);
    let mut fresh: Vec<Client> = (0..20).map(|_| weir.client()).collect();
    let address = weir.address();
    let stopping = weir.stop();
    stops_accepting(address);
    for client in &mut fresh {
        let answer = client.ask(GET);
        assert_eq!((answer.text().as_str(), answer.get("connection")), ("ok", Some("close")));
    }
    drop(idle);
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn a_connection_that_was_kept_gets_one_more_request_answered() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).drain("timeout: 15s").start();
    let mut kept: Vec<Client> = (0..20).map(|_| weir.client()).collect();
    for client in &mut kept {
        assert_eq!(client.ask(GET).get("connection"), None);
    }
    let address = weir.address();
    let stopping = weir.stop();
    stops_accepting(address);
    for client in &mut kept {
        // No client may send this again when the connection ends instead of an answer.
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!((answer.text().as_str(), answer.get("connection")), ("ok", Some("close")));
        assert_eq!(client.end(), End::Closed);
    }
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn what_takes_longer_than_the_timeout_is_cut_off() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).drain("timeout: 100ms").start();
    let mut busy = weir.client();
    busy.send(SLOW);
    origin.wait("the slow request", |seen| seen.requests().count() == 1);
    assert_eq!(weir.stop().join().unwrap(), 1);
    busy.end();
    gate.open();
}

//! More than Weir may take: turned away fast, said in a metric, and over when it is over.

use crate::support::{Client, GET, Origin, Setup, Weir, ok};

/// Keeps asking until a connection is let in: that another one is gone shows a moment later.
fn let_in(weir: &Weir) -> Client {
    loop {
        let mut client = weir.client();
        if client.try_send(GET) && client.try_response().is_ok_and(|response| response.status == 200) {
            return client;
        }
    }
}

/// How a connection that asks is answered.
fn turned_away(weir: &Weir) -> bool {
    let mut client = weir.client();
    client.try_send(GET);
    client.try_response().is_ok_and(|response| {
        assert_eq!(response.get("connection"), Some("close"));
        response.status == 503
    })
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    let web = "name: web, bind: \"127.0.0.1:0\"";
    for (limit, top, listener) in [
        ("listener", "", format!("{web}, limits: {{ max_connections: 2 }}")),
        ("total", "limits: { max_connections: 2 }", web.to_owned()),
        ("address", "", format!("{web}, limits: {{ max_connections_per_address: 2 }}")),
    ] {
        let origin = Origin::answering(ok("ok"));
        let weir = Setup::before(&origin).top(top).listener(&listener).workers(2).start();
        let (first, _second) = (let_in(&weir), let_in(&weir));
        assert!(turned_away(&weir), "{limit}");
        assert!(weir.count("weir_connections_shed_total", &format!("limit=\"{limit}\"")) >= 1, "{limit}");
        assert!(weir.count("weir_requests_refused_total", "reason=\"overload\"") >= 1, "{limit}");
        first.close();
        let_in(&weir);
    }
}

#[test]
fn the_limit_of_all_is_over_all_listeners() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin)
        .top("limits: { max_connections: 1 }")
        .listener("name: web, bind: \"127.0.0.1:0\"")
        .listener("name: other, bind: \"127.0.0.1:0\"")
        .start();
    let _held = let_in(&weir);
    let mut client = Client::to(weir.address_of("other"));
    client.try_send(GET);
    assert_eq!(client.response().status, 503);
    weir.counts("weir_connections_shed_total", "listener=\"other\",limit=\"total\"", 1);
}

#[test]
fn requests_beyond_the_memory_are_answered_at_once() {
    let origin = Origin::answering(ok("ok"));
    // One worker, memory for two requests.
    let weir = Setup::before(&origin).top("limits: { max_buffer_memory: 512KiB }").start();
    let mut slow: Vec<Client> = (0..2).map(|_| weir.client()).collect();
    for client in &mut slow {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    }
    origin.wait("both are there", |seen| seen.connections.len() == 2);
    let answer = weir.client().ask(GET);
    assert_eq!((answer.status, answer.get("retry-after")), (503, Some("1")));
    weir.counts("weir_requests_refused_total", "reason=\"overload\"", 1);
    // Connections that wait for a request cost nothing.
    for mut client in slow {
        client.send("67890");
        assert_eq!(client.response().status, 200);
        assert_eq!(weir.client().ask(GET).status, 200);
    }
}

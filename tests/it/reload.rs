//! Changes while it runs: by file, under load, without a failed request or a lost connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use weir::{
    control::{Change, WeightChange},
    types::Weight,
};

use crate::support::{Client, GET, Origin, Setup, Weir, weir::eventually};

/// Keep-alive connections that ask without a pause, until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn on(weir: &Weir, connections: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..connections).map(|_| {
            let (mut client, stop, answered) = (weir.client(), Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || {
                // One connection from beginning to end: losing it fails the case.
                while !stop.load(Ordering::Acquire) {
                    let answer = client.ask(GET);
                    assert_eq!((answer.status, answer.get("connection")), (200, None));
                    answered.fetch_add(1, Ordering::Release);
                }
            })
        });
        Self { threads: threads.collect(), stop, answered }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().expect("no request failed");
        }
        self.answered.load(Ordering::Acquire)
    }
}

fn two() -> (Origin, Origin, Setup) {
    let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
    let setup =
        Setup::new().backend("stable", &[stable.address]).backend("canary", &[canary.address]).workers(2);
    (stable, canary, setup)
}

fn shares(setup: &Setup, stable: u32, canary: u32) -> Setup {
    setup.clone().split(&format!("key: none, backends: {{ stable: {stable}, canary: {canary} }}"))
}

#[test]
fn reloads_under_load_fail_no_request_and_close_no_connection() {
    let (_stable, _canary, setup) = two();
    let weir = shares(&setup, 100, 0).start();
    let load = Load::on(&weir, 4);
    for round in 0..30 {
        let canary = if round % 2 == 0 { 100 } else { 0 };
        let expected = if canary == 100 { "canary" } else { "stable" };
        if round % 3 == 0 {
            let weights = [("stable", 100 - canary), ("canary", canary)];
            let weights = weights.map(|(name, weight)| (name.to_owned(), Some(Weight::of(weight))));
            let change = WeightChange::Patch(weights.into());
            weir.apply(Change::SetWeights { route: "all".to_owned(), weights: change, pause_rollout: false })
                .unwrap();
        } else {
            // What the API said is taken back, so that the file has its say.
            let back = [("stable", None), ("canary", None)].map(|(name, weight)| (name.to_owned(), weight));
            let change = WeightChange::Patch(back.into());
            weir.apply(Change::SetWeights { route: "all".to_owned(), weights: change, pause_rollout: false })
                .unwrap();
            weir.rewrite(&shares(&setup, 100 - canary, canary));
        }
        assert_eq!(weir.client().ask(GET).text(), expected, "round {round}");
    }
    let answered = load.stop();
    assert!(answered > 100, "only {answered} requests were under way");
}

#[test]
fn a_bad_file_changes_nothing() {
    let (_stable, _canary, setup) = two();
    let weir = shares(&setup, 100, 0).start();
    let load = Load::on(&weir, 2);
    for bad in ["routes: [", "version: 99\n", "nonsense: true\n"] {
        let before = weir.running().control.state().last_reload.at;
        weir.write_file(&format!("{}{bad}", shares(&setup, 0, 100).text()));
        let last = eventually("the refusal", || {
            let last = weir.running().control.state().last_reload.clone();
            (last.at != before).then_some(last)
        });
        assert!(!last.ok && last.error.is_some(), "{bad:?} was taken");
        assert_eq!(weir.client().ask(GET).text(), "stable");
    }
    weir.rewrite(&shares(&setup, 0, 100));
    assert_eq!(weir.client().ask(GET).text(), "canary");
    load.stop();
}

#[test]
fn listeners_come_and_go_and_the_others_do_not_notice() {
    let origin = Origin::named("ok");
    let usual = Setup::before(&origin).workers(2).listener("name: web, bind: \"127.0.0.1:0\"");
    let more = usual.clone().listener("name: more, bind: \"127.0.0.1:0\"");
    let weir = usual.start();
    let load = Load::on(&weir, 2);
    let address = weir.address();
    for _ in 0..5 {
        weir.rewrite(&more);
        let added = weir.address_of("more");
        let mut kept = Client::to(added);
        assert_eq!(kept.ask(GET).text(), "ok");
        weir.rewrite(&usual);
        eventually("the listener's end", || {
            std::net::TcpStream::connect_timeout(&added, Duration::from_secs(5)).is_err().then_some(())
        });
        // Its connections go on.
        assert_eq!(kept.ask(GET).text(), "ok");
        assert_eq!(weir.address(), address, "the other listener stays where it is");
    }
    load.stop();
}

#[test]
fn an_endpoint_that_goes_finishes_what_it_has() {
    let (_stable, canary, setup) = two();
    let one = Setup::new().backend("stable", &[canary.address]).workers(2);
    let weir = shares(&setup, 100, 0).start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "stable");
    weir.rewrite(&one.split("key: none, backends: { stable: 100 }"));
    assert_eq!(client.ask(GET).text(), "canary", "the same connection, the new endpoint");
}

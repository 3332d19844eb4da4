//! Passive outlier detection: endpoints whose answers are bad are out for a while, versions whose answers are bad are not.

use crate::support::{GET, Origin, Setup, Weir, ok, weir::eventually};

const BROKEN: &str = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";

/// How many of so many answers are good.
fn good(weir: &Weir, count: usize) -> usize {
    let mut client = weir.client();
    (0..count).filter(|_| client.ask(GET).status == 200).count()
}

#[test]
fn an_endpoint_with_bad_answers_is_out_until_its_time_is_over() {
    let (broken, well) = (Origin::answering(BROKEN), Origin::named("ok"));
    let weir = Setup::new()
        .backend_with(
            "stable",
            &[broken.address, well.address],
            "outlier_detection: { consecutive_5xx: 3, base_ejection_time: 300ms }",
        )
        .start();
    good(&weir, 30);
    assert_eq!(broken.requests().len(), 3, "the third was one too many");
    weir.counts("weir_endpoint_ejections_total", "consecutive_5xx", 1);
    eventually("another try", || {
        good(&weir, 1);
        (broken.requests().len() > 3).then_some(())
    });
}

#[test]
fn an_endpoint_that_breaks_off_or_does_not_answer_is_out() {
    for script in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "nonsense\r\n\r\n"] {
        let (broken, well) = (Origin::answering_once(script), Origin::named("ok"));
        let weir = Setup::new()
            .backend_with(
                "stable",
                &[broken.address, well.address],
                "outlier_detection: { consecutive_5xx: 0, consecutive_gateway_failures: 2 }",
            )
            .start();
        while broken.requests().len() < 2 {
            let mut client = weir.client();
            client.send(GET);
            drop(client.try_response());
        }
        assert_eq!(good(&weir, 30), 30, "{script:?}");
        weir.counts("weir_endpoint_ejected", "", 1);
        assert_eq!(weir.count("weir_endpoint_healthy", &broken.address.to_string()), 0);
    }
}

#[test]
fn a_version_with_bad_answers_keeps_its_endpoints() {
    let broken = [Origin::answering(BROKEN), Origin::answering(BROKEN)];
    let well = Origin::named("ok");
    let addresses = broken.each_ref().map(|origin| origin.address);
    let detection = "outlier_detection: { consecutive_5xx: 2 }";
    let weir = Setup::new()
        .backend_with("canary", &addresses, detection)
        .backend_with("stable", &[well.address], detection)
        .start();
    assert_eq!(good(&weir, 40), 0, "a fault of the version is not hidden");
    assert_eq!(weir.count("weir_endpoint_ejected", ""), 0);
    weir.counts("weir_backend_version_suspect", "canary", 1);
    assert_eq!(weir.count("weir_backend_version_suspect", "stable"), 0);
    assert!(broken.iter().all(|origin| origin.requests().len() > 5));
}

#[test]
fn an_ejection_outlives_a_reload() {
    let (broken, well) = (Origin::answering(BROKEN), Origin::named("ok"));
    let setup = Setup::new().backend_with(
        "stable",
        &[broken.address, well.address],
        "outlier_detection: { consecutive_5xx: 1 }",
    );
    let weir = setup.start();
    eventually("a bad answer", || (good(&weir, 1) == 0).then_some(()));
    weir.rewrite(&setup.clone().timeouts("connect: 3s"));
    assert_eq!(good(&weir, 30), 30);
    assert_eq!(broken.requests().len(), 1);
}

#[test]
fn good_answers_in_between_keep_an_endpoint_in() {
    let mixed = Origin::scripted(|peer| {
        let mut number = 0;
        while peer.request().is_some() {
            number += 1;
            peer.send(if number % 3 == 0 { ok("ok") } else { BROKEN.to_owned() });
        }
    });
    let weir = Setup::new()
        .backend_with("stable", &[mixed.address], "outlier_detection: { consecutive_5xx: 3 }")
        .start();
    assert_eq!(good(&weir, 60), 20);
    assert_eq!(weir.count("weir_backend_version_suspect", ""), 0);
}

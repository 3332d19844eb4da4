//! Gates over real sockets, with what a Prometheus 2.42 answers.

use super::*;
use crate::rollout::outside::stub::{Answer as Says, Stub};

fn query(text: &str, server: Option<String>) -> Check {
    Check::Prometheus(PrometheusQuery {
        query: text.to_owned(),
        server,
        max: Some(3.0),
        min: None,
        every: Duration::from_secs(30),
        timeout: Duration::from_secs(20),
    })
}

fn webhook(url: String, pointer: Option<&str>) -> Check {
    Check::Webhook(WebhookCheck {
        url,
        pointer: pointer.map(str::to_owned),
        max: Some(3.0),
        min: None,
        every: Duration::from_secs(30),
        timeout: Duration::from_secs(20),
    })
}

fn unreachable(text: &str) -> Answer {
    Answer::Unreachable(text.to_owned())
}

#[tokio::test]
async fn prometheus_is_asked_at_its_own_path() {
    let stub = Stub::answering(
        200,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1764547200.123,"2"]}}"#,
    )
    .await;
    let server = stub.url("/prom/");
    let text = r#"sum(rate(orders_failed_total{version="canary"}[1m]))"#;
    assert_eq!(ask(&Client::new(), &query(text, None), Some(&server)).await, Answer::Value(2.0));
    let own = query("vector(1)", Some(stub.url("/own")));
    assert_eq!(ask(&Client::new(), &own, Some("http://127.0.0.1:1/")).await, Answer::Value(2.0));
    let asked = stub.asked();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].target.as_str()),
        (
            "GET",
            "/prom/api/v1/query?query=sum%28rate%28orders_failed_total%7Bversion%3D%22canary%22%7D%5B1m%5D%29%29&timeout=20000ms"
        )
    );
    assert_eq!(asked[1].target, "/own/api/v1/query?query=vector%281%29&timeout=20000ms");
}

#[tokio::test]
async fn only_one_number_is_a_value() {
    let series = r#"{"metric":{"__name__":"up","instance":"a:1"},"value":[1764547200.1,"1"]}"#;
    let vector = |result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
    };
    let valued = |value: &str| vector(&format!(r#"{{"metric":{{}},"value":[1764547200.1,"{value}"]}}"#));
    for (status, body, expected) in [
        (200, valued("0.25"), Answer::Value(0.25)),
        (200, valued("1e-05"), Answer::Value(0.000_01)),
        (200, valued("+Inf"), Answer::Value(f64::INFINITY)),
        (200, valued("NaN"), Answer::Nothing),
        (200, vector(""), Answer::Nothing),
        (200, vector(&format!("{series},{series}")), unreachable("the query gives 2 series, where one is needed: aggregate them")),
        (
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned(),
            unreachable("the query gives a matrix, where a number is needed"),
        ),
        (
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1764547200.1,"a"]}}"#.to_owned(),
            unreachable("the query gives a string, where a number is needed"),
        ),
        (
            200,
            vector(r#"{"metric":{},"histogram":[1764547200.1,{"count":"1"}]}"#),
            unreachable("the query gives no number"),
        ),
        (
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unclosed left parenthesis"}"#.to_owned(),
            unreachable("bad_data: invalid parameter \"query\": 1:4: parse error: unclosed left parenthesis"),
        ),
        (502, "Bad Gateway".to_owned(), unreachable("502: Bad Gateway")),
        (200, "<html>".to_owned(), unreachable("the answer is not one of Prometheus")),
        (200, " ".repeat(70_000), unreachable("the answer is too large: aggregate the query to one number")),
    ] {
        let stub = Stub::answering(status, &body).await;
        assert_eq!(ask(&Client::new(), &query("up", Some(stub.url(""))), None).await, expected, "{body:.200}");
    }
}

#[tokio::test]
async fn a_web_service_says_yes_or_no_or_a_number() {
    let said = |good, text: &str| Answer::Said { good, text: text.to_owned() };
    let number = Some("/kpi/errors");
    for (status, body, pointer, expected) in [
        (200, "fine", None, said(true, "200: fine")),
        (204, "", None, said(true, "204")),
        (503, "orders are failing", None, said(false, "503: orders are failing")),
        (404, "", None, said(false, "404")),
        (502, "", None, unreachable("502")),
        (504, "", None, unreachable("504")),
        (429, "", None, unreachable("429")),
        (307, "", None, unreachable("307, a redirect, which is not followed")),
        (200, r#"{"kpi":{"errors":0.5}}"#, number, Answer::Value(0.5)),
        (200, r#"{"kpi":{"errors":7}}"#, number, Answer::Value(7.0)),
        (200, r#"{"kpi":{"errors":false}}"#, number, said(false, "false at /kpi/errors")),
        (200, r#"{"kpi":{"errors":null}}"#, number, Answer::Nothing),
        (204, "", number, Answer::Nothing),
        (200, r#"{"kpi":{"errors":"7"}}"#, number, unreachable("the answer has no number at /kpi/errors")),
        (200, r#"{"kpi":{}}"#, number, unreachable("the answer has nothing at /kpi/errors")),
        (200, "fine", number, unreachable("the answer is not JSON")),
        (500, r#"{"kpi":{"errors":0}}"#, number, unreachable(r#"500: {"kpi":{"errors":0}}"#)),
        (200, "12.5", Some(""), Answer::Value(12.5)),
    ] {
        let stub = Stub::answering(status, body).await;
        let answer = ask(&Client::new(), &webhook(stub.url("/kpi"), pointer), None).await;
        assert_eq!(answer, expected, "{status} {body}");
        assert_eq!((stub.asked()[0].method.as_str(), stub.asked()[0].target.as_str()), ("GET", "/kpi"));
    }
}

#[tokio::test]
async fn whoever_cannot_be_asked_has_said_nothing() {
    let nobody = ask(&Client::new(), &query("up", None), None).await;
    assert_eq!(nobody, unreachable("neither the gate nor the analysis names a Prometheus server"));
    let hangs = Stub::start(|_| Says::Never).await;
    let mut check = webhook(hangs.url("/"), None);
    if let Check::Webhook(check) = &mut check {
        check.timeout = Duration::from_millis(50);
    }
    let Answer::Unreachable(why) = ask(&Client::new(), &check, None).await else { panic!("it was asked") };
    assert_eq!(why, format!("no answer from {} within 50ms", hangs.address));
}

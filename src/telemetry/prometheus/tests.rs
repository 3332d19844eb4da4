//! The export: valid exposition, the values in it, and docs/metrics.md naming exactly what is exported.

use std::collections::BTreeSet;

use super::*;
use crate::{
    telemetry::{
        label::{AdminResult, Refusal},
        stats::Outcome,
    },
    types::clock,
};

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// An exporter with one of everything.
fn exporter() -> Exporter {
    let registry = Arc::new(Registry::with_cap(2, 5));
    let (shop, v1, v2) = (name("shop"), name("v1"), name("v2"));
    let start = clock::now();
    let windows = Arc::new(Windows::new(start));
    let good = Outcome {
        status: 200,
        method: MethodLabel::Get,
        duration: Duration::from_millis(4),
        upstream: Some(Duration::from_micros(3_500)),
        error: None,
    };
    let bad = Outcome {
        status: 502,
        method: MethodLabel::Other,
        duration: Duration::from_secs(100),
        upstream: None,
        error: Some(ErrorKind::Connect),
    };
    let shards = registry.route_backend(&shop, &v1);
    (0..3).for_each(|_| shards.worker(0).record(&good));
    shards.worker(1).record(&bad);
    shards.worker(1).started();
    shards.worker(1).assigned(Reason::Draw);
    registry.route_backend(&shop, &v2).worker(0).record(&good);
    registry.route(&shop).worker(0).matched();
    registry.route(&shop).worker(0).answered(PolicyLabel::Access);
    registry.route(&shop).worker(0).fault(crate::telemetry::FaultLabel::Abort);
    let ended = Some((200, Duration::from_millis(3)));
    registry.route(&shop).worker(0).mirrored(ended, ended);
    registry.route(&shop).worker(0).mirror_dropped();
    registry.route(&shop).worker(0).token(crate::telemetry::TokenLabel::Known);
    registry.route(&shop).worker(0).overhead(Duration::from_micros(7));
    registry.endpoint(&v1, "[::1]:80").worker(1).record(Duration::from_millis(4));
    registry.listener(&name("web")).worker(0).opened();
    registry.listener(&name("web")).worker(0).refused(Refusal::NoRoute);
    registry.listener(&name("web")).worker(0).handshake(crate::telemetry::Handshake::Full);
    let _ = registry.route(&name("one-too-many"));
    windows.tick(&registry, start + Duration::from_secs(1));
    let control = Arc::new(ControlStats::default());
    control.change(ChangeSource::File, ChangeResult::Refused);
    control.admin("set_weights", AdminResult::of(200));
    Exporter::new(registry, windows, control, Arc::default())
}

fn gauges() -> Gauges {
    Gauges {
        revision: Revision(7),
        store_healthy: true,
        weight_ratios: [((name("shop"), name("v1")), 0.95)].into(),
        endpoints_healthy: [((name("v1"), "[::1]:80".into()), true)].into(),
        kill_switches: [(name("shop"), false)].into(),
        forgotten_keys: [(name("shop"), 3)].into(),
        certificates: [("/tls/shop.crt".into(), Duration::from_secs(1_900_000_000))].into(),
        certificates_good: true,
        names: [("canary.internal".into(), NameGauges { addresses: 2, answered: 7, failed: 1, good: true })]
            .into(),
        admin_tokens: Some(AdminTokens { tokens: 3, good: true }),
        token_keys: [(name("accounts"), KeyGauges { keys: 2, good: false })].into(),
        backends: [(name("v1"), backend_gauges())].into(),
        rollouts: rollout_gauges(),
    }
}

fn rollout_gauges() -> RolloutGauges {
    let gates = [("error_rate".to_owned(), "pass")].into();
    RolloutGauges {
        phases: vec!["progressing", "promoted"],
        verdicts: vec!["pass", "fail"],
        newest: [(name("shop"), NewestRollout { phase: "progressing", step: 2, gates })].into(),
        outcomes: [((name("shop"), "rolled_back"), 3)].into(),
    }
}

fn backend_gauges() -> BackendGauges {
    let ejections = EjectionGauges { ejected: true, by_cause: vec![("consecutive_5xx", 3)] };
    BackendGauges {
        version_suspect: Some(true),
        panic: Some(false),
        limits: vec![("requests", true, 4)],
        ejections: [("[::1]:80".into(), ejections)].into(),
    }
}

fn render() -> String {
    exporter().render(&gauges()).expect("renders")
}

/// A parsed line: the sample's name, its labels and its value.
struct Line<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

fn parse(line: &str) -> Line<'_> {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series
        .split_once('{')
        .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect("closed labels")));
    let pair = |pair| {
        let (key, value): (&str, &str) = str::split_once(pair, '=').expect("a label's value");
        (key, value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("quotes"))
    };
    let labels = labels.split(',').filter(|text| !text.is_empty()).map(pair).collect();
    Line { name, labels, value: value.parse().expect("a number") }
}

/// The series that one histogram's bucket lines must satisfy: rising, and `+Inf` equal to the count.
#[derive(Default)]
struct Cumulative {
    last_bound: f64,
    last_count: f64,
    infinite: Option<f64>,
    count: Option<f64>,
    sum: bool,
}

fn check_histograms(family: &str, lines: &[Line<'_>]) {
    let mut all: BTreeMap<Vec<(&str, &str)>, Cumulative> = BTreeMap::new();
    for line in lines {
        let mut labels = line.labels.clone();
        let bound = labels.iter().position(|(key, _)| *key == "le").map(|place| labels.remove(place).1);
        let seen = all.entry(labels).or_default();
        match line.name.strip_prefix(family).expect("the family's name") {
            "_sum" => seen.sum = true,
            "_count" => seen.count = Some(line.value),
            "_bucket" => {
                let bound = bound.expect("a bucket has a bound").replace("+Inf", "inf");
                let bound: f64 = bound.parse().expect("a number");
                assert!(bound > seen.last_bound && line.value >= seen.last_count, "{family} {bound}");
                (seen.last_bound, seen.last_count) = (bound, line.value);
                seen.infinite = bound.is_infinite().then_some(line.value);
            }
            other => panic!("{family}{other}"),
        }
    }
    for (labels, seen) in all {
        assert!(seen.sum && seen.count.is_some() && seen.infinite == seen.count, "{family} {labels:?}");
    }
}

#[test]
fn the_exposition_is_valid() {
    let text = render();
    let mut families = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (family, words) =
            help.strip_prefix("# HELP ").expect("HELP first").split_once(' ').expect("help");
        assert!(!words.is_empty() && families.insert(family), "{family} once");
        let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("TYPE second");
        let (named, kind) = kind.split_once(' ').expect("a type");
        assert_eq!(named, family);
        assert_eq!(kind == "counter", family.ends_with("_total"), "{family} is a {kind}");
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(parse(line));
        }
        assert!(!samples.is_empty(), "{family}");
        if kind == "histogram" {
            check_histograms(family, &samples);
            continue;
        }
        let unique: BTreeSet<_> = samples.iter().map(|line| &line.labels).collect();
        assert_eq!(unique.len(), samples.len(), "{family}: each label set once");
        assert!(samples.iter().all(|line| line.name == family && line.value >= 0.0), "{family}");
    }
    assert!(text.ends_with('\n'));
}

#[test]
fn the_values_are_those_recorded() {
    let text = render();
    for line in [
        r#"weir_requests_total{route="shop",backend="v1",code="200",method="GET"} 3"#,
        r#"weir_requests_total{route="shop",backend="v1",code="502",method="_OTHER"} 1"#,
        r#"weir_request_duration_seconds_bucket{route="shop",backend="v1",code_class="2xx",le="0.003"} 0"#,
        r#"weir_request_duration_seconds_bucket{route="shop",backend="v1",code_class="2xx",le="0.005"} 3"#,
        r#"weir_request_duration_seconds_sum{route="shop",backend="v1",code_class="2xx"} 0.012"#,
        r#"weir_request_duration_seconds_bucket{route="shop",backend="v1",code_class="5xx",le="10"} 0"#,
        r#"weir_request_duration_seconds_bucket{route="shop",backend="v1",code_class="5xx",le="+Inf"} 1"#,
        r#"weir_upstream_duration_seconds_count{route="shop",backend="v1"} 3"#,
        r#"weir_overhead_seconds_bucket{route="shop",le="0.00001"} 1"#,
        r#"weir_endpoint_request_duration_seconds_count{backend="v1",endpoint="[::1]:80"} 1"#,
        r#"weir_requests_in_flight{route="shop",backend="v1"} 1"#,
        r#"weir_upstream_errors_total{route="shop",backend="v1",kind="connect"} 1"#,
        r#"weir_assignments_total{route="shop",backend="v1",reason="draw"} 1"#,
        r#"weir_backend_weight_ratio{route="shop",backend="v1"} 0.95"#,
        r#"weir_backend_observed_ratio{route="shop",backend="v1"} 0.8"#,
        r#"weir_endpoint_healthy{backend="v1",endpoint="[::1]:80"} 1"#,
        r#"weir_kill_switch_active{route="shop"} 0"#,
        r#"weir_rollout_phase{route="shop",phase="progressing"} 1"#,
        r#"weir_rollout_phase{route="shop",phase="promoted"} 0"#,
        r#"weir_rollout_step{route="shop"} 2"#,
        r#"weir_rollout_gate{route="shop",gate="error_rate",verdict="pass"} 1"#,
        r#"weir_rollout_gate{route="shop",gate="error_rate",verdict="fail"} 0"#,
        r#"weir_rollouts_total{route="shop",outcome="rolled_back"} 3"#,
        r#"weir_config_reloads_total{source="file",result="refused"} 1"#,
        r#"weir_config_last_reload_successful 0"#,
        r#"weir_config_revision 7"#,
        r#"weir_store_healthy 1"#,
        r#"weir_connections{listener="web"} 1"#,
        r#"weir_requests_refused_total{listener="web",reason="no_route"} 1"#,
        r#"weir_admin_requests_total{operation="set_weights",result="ok"} 1"#,
        r#"weir_series_dropped_total 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_document_names_what_is_exported() {
    let document = include_str!("../../../docs/metrics.md");
    let cell = |line: &'static str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name);
    let metrics = |name: &&str| name.starts_with("weir_") || name.starts_with("process_");
    let documented: BTreeSet<&str> = document.lines().filter_map(cell).filter(metrics).collect();
    let families = exporter().families(&gauges());
    let exported: BTreeSet<&str> = families.iter().map(MetricFamily::name).collect();
    assert_eq!(documented, exported);
}

#[test]
fn the_document_names_the_labels_of_each_metric() {
    let document = include_str!("../../../docs/metrics.md");
    for family in exporter().families(&gauges()) {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{}`", family.name())));
        let labels = row.and_then(|row| row.split('|').nth(3)).expect("a column of labels");
        let documented: Vec<&str> = labels.split(',').map(str::trim).filter(|label| *label != "–").collect();
        let exported: Vec<&str> = family.get_metric()[0].get_label().iter().map(|pair| pair.name()).collect();
        assert_eq!(documented, exported, "{}", family.name());
    }
}

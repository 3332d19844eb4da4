//! What the demo says: the head, the live block, a line for each step, the summary. Texts only, no terminal.

use super::{
    load::USER_HEADER,
    place::{Ports, ROUTE},
    report::{Report, StepReport},
    screen::Style,
    stats::Tally,
    version::Version,
};

/// Characters of the bar that shows a share.
const BAR: u32 = 16;
/// Where the command line looks for the admin API unless told otherwise.
const USUAL_ADMIN_PORT: u16 = 9900;

/// The first line, and what of the wishes could not be had.
pub(super) fn head(style: Style, ports: Ports, wanted: (u16, u16)) -> Vec<String> {
    let Ports { proxy, admin } = ports;
    let mut lines = vec![format!(
        "{}   proxy http://{proxy}   admin API http://{admin}   Ctrl-C stops",
        style.bold("weir demo")
    )];
    for (what, wanted, port) in [("proxy", wanted.0, proxy.port()), ("admin API", wanted.1, admin.port())] {
        if wanted != 0 && wanted != port {
            lines.push(format!("port {wanted} is taken: the {what} is on {port} instead"));
        }
    }
    lines
}

/// The name of a step: `[2/4] v1 → v2   25 %`.
pub(super) fn title(style: Style, number: usize, of: usize, weight: u32) -> String {
    format!("[{number}/{of}] v1 {} v2  {weight:>3} %", style.either("→", "->"))
}

/// The live block: what each version gets and how it does. `target` is the share of v2, 0 to 1.
pub(super) fn live(style: Style, title: &str, target: f64, tally: &Tally) -> Vec<String> {
    let mut lines = vec![
        style.bold(title),
        style.bold("BACKEND  SHARE             TARGET  OBSERVED  REQUESTS  FAILED      P50      P99"),
    ];
    for version in Version::ALL {
        let target = if version == Version::V2 { target } else { 1.0 - target };
        let share = tally.share(version);
        lines.push(format!(
            "{:<7}  {}  {:>6}  {:>8}  {:>8}  {:>6}  {:>7}  {:>7}",
            version.as_str(),
            bar(style, share.unwrap_or(0.0)),
            percent(target, 0),
            share.map_or_else(dash, |share| percent(share, 1)),
            count(tally.requests(version)),
            count(tally.failed(version)),
            tally.quantile_ms(version, 0.50).map_or_else(dash, millis),
            tally.quantile_ms(version, 0.99).map_or_else(dash, millis),
        ));
    }
    if tally.lost() > 0 {
        lines.push(format!("{} requests failed without an answer", count(tally.lost())));
    }
    lines
}

/// A step that is over.
pub(super) fn step(style: Style, title: &str, step: &StepReport) -> String {
    let times = |p50: Option<f64>, p99: Option<f64>| match (p50, p99) {
        (Some(p50), Some(p99)) => format!("{p50:.1}/{p99:.1} ms"),
        _ => dash(),
    };
    format!(
        "{title}  {}  observed {:>7}  {} requests  {} failed  p50/p99 v1 {}, v2 {}  {}",
        style.mark(step.ok()),
        step.observed_share.map_or_else(dash, |share| percent(share, 1)),
        count(step.requests.v1 + step.requests.v2),
        count(step.failed),
        times(step.p50_ms.v1, step.p99_ms.v1),
        times(step.p50_ms.v2, step.p99_ms.v2),
        step.new_weight_in_force_ms
            .map_or_else(|| "never in force".to_owned(), |took| format!("in force in {}", millis(took))),
    )
}

/// What was proved, or what was not.
pub(super) fn summary(style: Style, report: &Report) -> Vec<String> {
    let Report { requests, failed, users_moved, switched_back, .. } = report;
    let dot = style.either("·", "-");
    let back = if *switched_back == 0 { "none back".to_owned() } else { format!("{switched_back} back") };
    let in_force = report.new_weight_in_force_ms.map_or_else(
        || "a new weight did not come into force".to_owned(),
        |max| format!("new weights in force within {}", millis(max)),
    );
    let mut lines = vec![format!(
        "{} {} of {} requests failed {dot} {users_moved} users moved to v2, {back} {dot} {in_force}",
        style.mark(report.ok),
        count(*failed),
        count(*requests),
    )];
    lines.extend(report.problems.iter().map(|problem| format!("   {} {problem}", style.mark(false))));
    lines
}

/// Three commands to try, with the real ports. `program` is how this binary is called.
pub(super) fn invitation(style: Style, program: &str, ports: Ports) -> Vec<String> {
    let server = match ports.admin.port() {
        USUAL_ADMIN_PORT => String::new(),
        _ => format!(" --server http://{}", ports.admin),
    };
    vec![
        style.bold("Try in another terminal, while this keeps serving:"),
        format!("  curl -i http://{}/ -H '{USER_HEADER}: 42'", ports.proxy),
        format!("  {program} explain {ROUTE} -H '{USER_HEADER}: 42'{server}"),
        format!("  {program} set-weight {ROUTE} v1=80 v2=20{server}"),
    ]
}

fn bar(style: Style, share: f64) -> String {
    let full = (1..=BAR).filter(|cell| f64::from(*cell) - 0.5 <= share * f64::from(BAR)).count();
    let empty = BAR as usize - full;
    style.either("█", "#").repeat(full) + &style.either("░", ".").repeat(empty)
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", share * 100.0)
}

fn millis(millis: f64) -> String {
    format!("{millis:.1} ms")
}

fn dash() -> String {
    "-".to_owned()
}

/// A count with its thousands apart: `1,204`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;
    use crate::demo::{
        report::Totals,
        stats::{LoadStats, Outcome},
    };

    const PLAIN: Style = Style { redraw: true, colour: false, unicode: false };
    const FANCY: Style = Style { redraw: true, colour: false, unicode: true };

    fn tally() -> Tally {
        let stats = LoadStats::new(1);
        for number in 0..1200 {
            let version = if number % 4 == 0 { Version::V2 } else { Version::V1 };
            let took = Duration::from_micros(4000 + number);
            stats.count(Outcome { phase: 0, version: Some(version), ok: number != 8, took });
        }
        stats.total()
    }

    fn ports(proxy: u16, admin: u16) -> Ports {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ports { proxy: address(proxy), admin: address(admin) }
    }

    #[test]
    fn a_step_is_shown_live() {
        let shown = live(FANCY, &title(FANCY, 2, 4, 25), 0.25, &tally()).join("\n");
        insta::assert_snapshot!(shown);
        let shown = live(PLAIN, &title(PLAIN, 1, 4, 5), 0.05, &Tally::default()).join("\n");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_run_is_told_in_lines() {
        let one = StepReport::new(25, 3.0, Some(2.25), &tally());
        let totals = Totals {
            requests: 1204,
            failed: 1,
            users_moved: 123,
            reasons: vec!["status 502".to_owned()],
            ..Totals::default()
        };
        let report = Report::new(1, vec![one.clone()], totals);
        let mut lines = head(FANCY, ports(8081, 9900), (8080, 9900));
        lines.push(step(FANCY, &title(FANCY, 2, 4, 25), &one));
        lines.extend(summary(FANCY, &report));
        lines.extend(invitation(FANCY, "weir", ports(8081, 9900)));
        lines.extend(invitation(PLAIN, "target/demo/weir", ports(8080, 9902)));
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), expected);
        }
    }
}

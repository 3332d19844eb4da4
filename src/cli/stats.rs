//! `weir stats`: what each route and backend did in the last window.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    Exit, Failure,
    client::segment,
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
    routes,
    table::{Cell, Column, Table},
    watch::Watch,
};
use crate::admin::api::types::{self, Traffic};

const EXAMPLES: &str = "\
Numbers are of the last window, some seconds long; `--output wide` and json say how long.

Examples:
  weir stats
  weir stats shop --watch 1
  weir stats --watch --output json >> stats.ndjson";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    /// Only this route
    route: Option<String>,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [Column; 11] = [
    Column::left("ROUTE").grouped().shrinks(),
    Column::left("BACKEND").shrinks(),
    Column::right("REQUESTS").rank(5),
    Column::right("RPS"),
    Column::right("SHARE").rank(3),
    Column::right("ERRORS").rank(4),
    Column::right("ERR%"),
    Column::right("P50").rank(2),
    Column::right("P95").rank(1),
    Column::right("P99"),
    Column::right("WINDOW").wide(),
];

/// The stats of all routes: what the API says of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct OfRoutes(types::Routes);

/// The stats of one route.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct OfRoute(types::Route);

// === impl Stats ===

impl Stats {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match &self.route {
            Some(route) => {
                self.watch.show::<OfRoute>(&self.remote, &format!("/v1/routes/{}", segment(route)))
            }
            None => self.watch.show::<OfRoutes>(&self.remote, "/v1/routes"),
        }
    }
}

impl Answer for OfRoutes {
    fn screen(&self, _: &View) -> Screen {
        Screen::default().table(table(&self.0.routes))
    }

    fn names(&self) -> Vec<String> {
        routes::names(&self.0.routes)
    }
}

impl Answer for OfRoute {
    fn screen(&self, _: &View) -> Screen {
        Screen::default().table(table(std::slice::from_ref(&self.0)))
    }

    fn names(&self) -> Vec<String> {
        self.0.backends.iter().map(|backend| backend.name.to_string()).collect()
    }
}

pub(super) fn table(routes: &[types::Route]) -> Table {
    let mut table = Table::new(&COLUMNS);
    for route in routes {
        for backend in &route.backends {
            table.row(row(route, backend.name.as_str(), &backend.traffic));
        }
        if route.backends.len() > 1 {
            table.row(row(route, "(all)", &sum(route)));
        }
    }
    table
}

/// A route's traffic as a whole. Quantiles cannot be summed, so there are none.
fn sum(route: &types::Route) -> Traffic {
    let mut sum = Traffic::default();
    for types::RouteBackend { traffic, .. } in &route.backends {
        sum.window_seconds = sum.window_seconds.max(traffic.window_seconds);
        sum.requests += traffic.requests;
        sum.errors += traffic.errors;
        sum.requests_per_second += traffic.requests_per_second;
    }
    #[allow(clippy::cast_precision_loss, reason = "requests of some seconds are far below 2^52")]
    let ratio = |part: u64| (sum.requests > 0).then(|| part as f64 / sum.requests as f64);
    Traffic { observed_ratio: ratio(sum.requests), error_ratio: ratio(sum.errors), ..sum }
}

fn row(route: &types::Route, backend: &str, traffic: &Traffic) -> [Cell; 11] {
    [
        route.name.as_str().into(),
        backend.into(),
        traffic.requests.to_string().into(),
        output::rate(traffic.requests_per_second).into(),
        output::or_dash(traffic.observed_ratio, output::percent).into(),
        traffic.errors.to_string().into(),
        output::or_dash(traffic.error_ratio, |ratio| format!("{:.2}", ratio * 100.0)).into(),
        output::or_dash(traffic.p50_seconds, output::latency).into(),
        output::or_dash(traffic.p95_seconds, output::latency).into(),
        output::or_dash(traffic.p99_seconds, output::latency).into(),
        format!("{}s", traffic.window_seconds).into(),
    ]
}

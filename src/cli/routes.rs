//! `weir routes`: routes and their splits.

use clap::Args;

use super::{
    Exit, Failure,
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
    rollout,
    table::{Cell, Column, Table},
    watch::Watch,
};
use crate::{
    admin::api::types::{self, RouteBackend},
    types::BackendState,
};

const EXAMPLES: &str = "\
Examples:
  weir routes
  weir routes --output wide            every column
  weir routes --output name            one name a line";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Routes {
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [Column; 15] = [
    Column::left("ROUTE").grouped().shrinks(),
    Column::left("BACKEND").shrinks(),
    Column::right("WEIGHT").rank(4),
    Column::right("FILE").wide(),
    Column::right("TARGET"),
    Column::right("OBSERVED").rank(3),
    Column::right("HEALTH").rank(1),
    Column::right("RPS").rank(2),
    Column::right("ERR%").rank(1),
    Column::right("P50").rank(7),
    Column::right("P95").rank(6),
    Column::right("P99").rank(5),
    Column::left("STICKY").wide(),
    Column::left("STATE").shrinks(),
    Column::left("ROLLOUT").rank(1).shrinks(),
];

// === impl Routes ===

impl Routes {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.watch.show::<types::Routes>(&self.remote, "/v1/routes")
    }
}

impl Answer for types::Routes {
    fn screen(&self, view: &View) -> Screen {
        Screen::default().table(table(&self.routes, view))
    }

    fn names(&self) -> Vec<String> {
        names(&self.routes)
    }
}

/// The names of routes, in order.
pub(super) fn names(routes: &[types::Route]) -> Vec<String> {
    routes.iter().map(|route| route.name.to_string()).collect()
}

/// Every backend of every route, with what it should get and what it gets.
pub(super) fn table(routes: &[types::Route], view: &View) -> Table {
    let mut table = Table::new(&COLUMNS);
    for route in routes {
        for backend in &route.backends {
            let traffic = &backend.traffic;
            let healthy = backend.healthy > 0;
            let health = format!("{}/{} {}", backend.healthy, backend.endpoints, view.look.mark(healthy));
            table.row([
                route.name.as_str().into(),
                backend.name.as_str().into(),
                backend.weight.to_string().into(),
                backend.file_weight.to_string().into(),
                output::percent(backend.target_ratio).into(),
                output::or_dash(traffic.observed_ratio, output::percent).into(),
                Cell::verdict(healthy, health),
                output::rate(traffic.requests_per_second).into(),
                output::or_dash(traffic.error_ratio, |ratio| format!("{:.2}", ratio * 100.0)).into(),
                output::or_dash(traffic.p50_seconds, output::latency).into(),
                output::or_dash(traffic.p95_seconds, output::latency).into(),
                output::or_dash(traffic.p99_seconds, output::latency).into(),
                route.sticky.as_str().into(),
                state(route, backend),
                rollout(route, backend, view),
            ]);
        }
    }
    table
}

/// The rollout, beside the backend that is to get the traffic.
fn rollout(route: &types::Route, backend: &RouteBackend, view: &View) -> Cell {
    let of_canary = route.rollout.as_ref().filter(|rollout| rollout.canary == backend.name);
    of_canary.map_or_else(Cell::default, |rollout| rollout::short(rollout, view.look).into())
}

fn state(route: &types::Route, backend: &RouteBackend) -> Cell {
    match (&route.kill_switch, backend.state) {
        (Some(killed), _) if *killed == backend.name => Cell::verdict(false, "KILL SWITCH: takes all"),
        (Some(_), _) => Cell::verdict(false, "KILL SWITCH: cut off"),
        (None, BackendState::Active) => Cell::default(),
        (None, state) => state.as_str().into(),
    }
}

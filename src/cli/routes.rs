//! `weir routes`: routes and their splits.

use clap::Args;

use super::{
    Exit, Failure, Format, Remote,
    client::block_on,
    output::{self, Align, Look, Table},
};
use crate::{
    admin::api::types::{self, RouteBackend},
    types::BackendState,
};

#[derive(Debug, Args)]
pub(super) struct Routes {
    #[command(flatten)]
    remote: Remote,
}

// === impl Routes ===

impl Routes {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.remote.client()?;
        let routes: types::Routes = block_on(client.get("/v1/routes"))?;
        match self.remote.output {
            Format::Json => output::print_json(&routes)?,
            Format::Table => output::print(&table(&routes.routes).render(Look::of_stdout()))?,
        }
        Ok(Exit::Done)
    }
}

/// Every backend of every route, with what it should get and what it gets.
pub(super) fn table(routes: &[types::Route]) -> Table {
    use Align::{Left, Right};
    let look = Look::of_stdout();
    let mut table = Table::new(&[
        ("ROUTE", Left),
        ("BACKEND", Left),
        ("WEIGHT", Right),
        ("TARGET", Right),
        ("OBSERVED", Right),
        ("HEALTH", Right),
        ("RPS", Right),
        ("ERR%", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("STATE", Left),
    ]);
    for route in routes {
        for (index, backend) in route.backends.iter().enumerate() {
            let traffic = &backend.traffic;
            let healthy = backend.healthy > 0;
            table.row([
                if index == 0 { route.name.to_string() } else { String::new() },
                backend.name.to_string(),
                backend.weight.to_string(),
                output::percent(backend.target_ratio),
                output::or_dash(traffic.observed_ratio, output::percent),
                format!("{}/{} {}", backend.healthy, backend.endpoints, look.mark(healthy)),
                output::count(traffic.requests_per_second),
                output::or_dash(traffic.error_ratio, |ratio| format!("{:.2}", ratio * 100.0)),
                output::or_dash(traffic.p50_seconds, output::latency),
                output::or_dash(traffic.p95_seconds, output::latency),
                output::or_dash(traffic.p99_seconds, output::latency),
                state(route, backend),
            ]);
        }
    }
    table
}

fn state(route: &types::Route, backend: &RouteBackend) -> String {
    match (&route.kill_switch, backend.state) {
        (Some(killed), _) if *killed == backend.name => "KILL SWITCH: takes all".to_owned(),
        (Some(_), _) => "KILL SWITCH: cut off".to_owned(),
        (None, BackendState::Active) => String::new(),
        (None, state) => state.as_str().to_owned(),
    }
}

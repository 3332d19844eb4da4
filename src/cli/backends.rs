//! `weir backends`: backends, their endpoints and their health.

use clap::Args;

use super::{
    Exit, Failure,
    format::{Answer, Screen},
    output::View,
    remote::Remote,
    table::{Cell, Column, Table},
    watch::Watch,
};
use crate::{admin::api::types, types::Name};

const EXAMPLES: &str = "\
Examples:
  weir backends
  weir backends --output json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Backends {
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [Column; 7] = [
    Column::left("BACKEND").grouped().shrinks(),
    Column::left("ENDPOINT"),
    Column::right("WEIGHT").rank(3),
    Column::left("HEALTH").shrinks(),
    Column::right("IN FLIGHT").rank(1),
    Column::left("LAST CHECK").rank(2).shrinks(),
    Column::left("ROUTES").wide(),
];

// === impl Backends ===

impl Backends {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.watch.show::<types::Backends>(&self.remote, "/v1/backends")
    }
}

impl Answer for types::Backends {
    fn screen(&self, view: &View) -> Screen {
        Screen::default().table(table(&self.backends, view)).tail(conditions(&self.backends))
    }

    fn names(&self) -> Vec<String> {
        self.backends.iter().map(|backend| backend.name.to_string()).collect()
    }
}

fn table(backends: &[types::Backend], view: &View) -> Table {
    let mut table = Table::new(&COLUMNS);
    for backend in backends {
        let routes: Vec<_> = backend.routes.iter().map(Name::as_str).collect();
        for endpoint in &backend.endpoints {
            let health = if backend.health_checked { endpoint.health.as_str() } else { "not checked" };
            let health = match &endpoint.ejection {
                Some(ejection) => format!("ejected {:.0}s ({})", ejection.seconds_left, ejection.cause),
                None => match endpoint.warmth {
                    Some(warmth) => format!("{health}, starts slowly ({:.0} %)", warmth * 100.0),
                    None => health.to_owned(),
                },
            };
            table.row([
                backend.name.as_str().into(),
                endpoint.address.as_str().into(),
                endpoint.weight.to_string().into(),
                Cell::verdict(endpoint.available, format!("{} {health}", view.look.mark(endpoint.available))),
                endpoint.in_flight.to_string().into(),
                endpoint.detail.as_str().into(),
                routes.join(",").into(),
            ]);
        }
    }
    table
}

/// A line for each thing that is wrong with a backend as a whole.
pub(super) fn conditions(backends: &[types::Backend]) -> Vec<String> {
    let mut lines = Vec::new();
    for types::Backend { name, condition, .. } in backends {
        if condition.version_suspect {
            lines.push(format!(
                "backend {name}: most endpoints answer badly at once, so the version is suspect and none is ejected"
            ));
        }
        if condition.panic {
            lines.push(format!("backend {name}: panic: few endpoints are available, so all are used"));
        }
        for limit in condition.circuit_breaker.iter().filter(|limit| limit.open) {
            let types::LimitUsage { limit, used, allowed, refused, .. } = limit;
            lines.push(format!(
                "backend {name}: circuit breaker open: {used} of {allowed} {limit}, {refused} refused so far"
            ));
        }
    }
    lines
}

//! `weir backends`: backends, their endpoints and their health.

use clap::Args;

use super::{
    Exit, Failure, Format, Remote,
    client::block_on,
    output::{self, Align, Look, Table},
};
use crate::admin::api::types;

#[derive(Debug, Args)]
pub(super) struct Backends {
    #[command(flatten)]
    remote: Remote,
}

// === impl Backends ===

impl Backends {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.remote.client()?;
        let backends: types::Backends = block_on(client.get("/v1/backends"))?;
        match self.remote.output {
            Format::Json => output::print_json(&backends)?,
            Format::Table => {
                let text = table(&backends.backends).render(Look::of_stdout());
                output::print(&(text + &conditions(&backends.backends)))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn table(backends: &[types::Backend]) -> Table {
    use Align::{Left, Right};
    let look = Look::of_stdout();
    let headings = [
        ("BACKEND", Left),
        ("ENDPOINT", Left),
        ("WEIGHT", Right),
        ("HEALTH", Left),
        ("IN FLIGHT", Right),
        ("LAST CHECK", Left),
    ];
    let mut table = Table::new(&headings);
    for backend in backends {
        for (index, endpoint) in backend.endpoints.iter().enumerate() {
            let health = if backend.health_checked { endpoint.health.as_str() } else { "not checked" };
            let health = match &endpoint.ejection {
                Some(ejection) => format!("ejected {:.0}s ({})", ejection.seconds_left, ejection.cause),
                None => match endpoint.warmth {
                    Some(warmth) => format!("{health}, starts slowly ({:.0} %)", warmth * 100.0),
                    None => health.to_owned(),
                },
            };
            table.row([
                if index == 0 { backend.name.to_string() } else { String::new() },
                endpoint.address.clone(),
                endpoint.weight.to_string(),
                format!("{} {health}", look.mark(endpoint.available)),
                endpoint.in_flight.to_string(),
                endpoint.detail.clone(),
            ]);
        }
    }
    table
}

/// A line for each thing that is wrong with a backend as a whole.
pub(super) fn conditions(backends: &[types::Backend]) -> String {
    let mut text = String::new();
    for types::Backend { name, condition, .. } in backends {
        if condition.version_suspect {
            text += &format!(
                "backend {name}: most endpoints answer badly at once, so the version is suspect and none is ejected\n"
            );
        }
        if condition.panic {
            text += &format!("backend {name}: panic: few endpoints are available, so all are used\n");
        }
        for limit in condition.circuit_breaker.iter().filter(|limit| limit.open) {
            let types::LimitUsage { limit, used, allowed, refused, .. } = limit;
            text += &format!(
                "backend {name}: circuit breaker open: {used} of {allowed} {limit}, {refused} refused so far\n"
            );
        }
    }
    text
}

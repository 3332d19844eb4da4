//! What is seen of both versions while a rollout is under way.

use super::super::{
    output::{self, View},
    table::{Cell, Column, Table},
};
use crate::{
    admin::api::types::rollout::{LiveRoute, Measured},
    types::Name,
};

const COLUMNS: [Column; 8] = [
    Column::left("ROUTE").grouped().shrinks(),
    Column::left("BACKEND").shrinks(),
    Column::right("REQUESTS"),
    Column::right("FAILED"),
    Column::right("ERR%"),
    Column::right("P50").rank(3),
    Column::right("P95").rank(2),
    Column::right("P99").rank(1),
];

/// The numbers of both versions since the traffic last changed.
pub(super) fn table(live: &[LiveRoute], _: &View) -> Table {
    let mut table = Table::new(&COLUMNS);
    for of in live {
        table.row(row(&of.route, &of.baseline));
        table.row(row(&of.route, &of.canary));
    }
    table
}

#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn row(route: &Name, measured: &Measured) -> [Cell; 8] {
    [
        route.as_str().into(),
        measured.backend.as_str().into(),
        output::count(measured.requests as f64).into(),
        output::count(measured.errors as f64).into(),
        output::or_dash(measured.error_ratio, |ratio| format!("{:.2}", ratio * 100.0)).into(),
        output::or_dash(measured.p50_seconds, output::latency).into(),
        output::or_dash(measured.p95_seconds, output::latency).into(),
        output::or_dash(measured.p99_seconds, output::latency).into(),
    ]
}

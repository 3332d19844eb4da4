//! `weir audit`: who changed what, and whether the record is whole.

use clap::{Args, Subcommand};

use super::{
    Exit, Failure, change,
    format::{Answer, Screen},
    output::View,
    pages,
    remote::Remote,
    table::{Cell, Column, Table},
};
use crate::{
    admin::api::types::history::{Audit as Page, AuditEntry, Verification},
    types::clock,
};

const EXAMPLES: &str = "\
Times are RFC 3339, such as 2026-01-31T12:00:00Z, or how long ago: 30m, 12h, 7d.

Examples:
  weir audit
  weir audit --route shop --since 12h
  weir audit --actor alice --output json
  weir audit verify";

const VERIFY_EXAMPLES: &str = "\
Every row holds the hash of the one before, so a row that was changed or taken away is found; exit code 1 then. The head, noted
elsewhere, shows later whether the end was cut off.

Examples:
  weir audit verify
  weir audit verify --output json | jq -r .head";

/// How many rows are shown unless somebody says.
const LIMIT: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only what this actor did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only what was about this route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only this action, such as set_weights, kill, reload, denied
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only what came at this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// Only what came before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
    /// How many rows at most, the newest first; 20 by default
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that no row was changed or is missing; exit code 1 otherwise
    Verify(Verify),
}

#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
struct Verify {
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [Column; 11] = [
    Column::right("SEQ").rank(5),
    Column::left("TIME (UTC)"),
    Column::left("ACTION"),
    Column::left("RESULT").rank(2),
    Column::left("ROUTE").shrinks().rank(3),
    Column::left("BY").shrinks(),
    Column::left("CHANNEL").rank(4),
    Column::right("REV").rank(6),
    Column::left("CHANGE").shrinks().rank(1),
    Column::left("REASON").shrinks().rank(1),
    Column::left("REQUEST").wide(),
];

// === impl Audit ===

impl Audit {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let filters = [
            ("actor", &self.actor),
            ("route", &self.route),
            ("action", &self.action),
            ("since", &self.since),
            ("until", &self.until),
        ];
        if let Some(Command::Verify(verify)) = self.command {
            if self.limit.is_some() || filters.iter().any(|(_, value)| value.is_some()) {
                let text = "`weir audit verify` looks at every row, and takes no filter";
                return Err(Failure::text(Exit::Usage, text));
            }
            let verification: Verification =
                verify.remote.run(async |client| client.get("/v1/audit/verify").await)?;
            verify.remote.output.print(&verification)?;
            return Ok(if verification.ok { Exit::Done } else { Exit::Error });
        }
        let limit = self.limit.unwrap_or(LIMIT);
        let given = filters.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let query: String = given.map(|(name, value)| format!("{name}={}&", pages::encode(value))).collect();
        let page = self.remote.run(async |client| {
            let mut all = Page { rows: Vec::new(), next: None };
            pages::collect(client, &format!("/v1/audit?{query}"), limit, |page: Page| {
                all.rows.extend(page.rows);
                page.next
            })
            .await?;
            all.rows.truncate(limit);
            Ok(all)
        })?;
        self.remote.output.print(&page)
    }
}

/// A time as the API takes it; `12h` is twelve hours ago.
fn time(text: &str) -> Result<String, String> {
    let unit = |unit: char| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let ago = text.char_indices().last().and_then(|(at, last)| {
        let number: u64 = text[..at].parse().ok()?;
        number.checked_mul(unit(last)?)
    });
    if let Some(ago) = ago {
        let at = clock::unix_now().saturating_sub(std::time::Duration::from_secs(ago));
        return Ok(crate::server::rfc3339(at));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "`{text}` is no time: write it as 2026-01-31T12:00:00Z, or how long ago, such as 12h"
        )),
    }
}

impl Answer for Page {
    fn screen(&self, view: &View) -> Screen {
        let mut table = Table::new(&COLUMNS);
        for row in &self.rows {
            table.row(cells(row, view));
        }
        Screen::default().table(table)
    }

    fn names(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.seq.to_string()).collect()
    }
}

fn cells(row: &AuditEntry, view: &View) -> [Cell; 11] {
    let arrow = if view.look.unicode { "→" } else { "->" };
    let change = match (row.from.is_null(), row.to.is_null()) {
        (true, true) => String::new(),
        (true, false) => change::value(&row.to),
        _ => format!("{} {arrow} {}", change::value(&row.from), change::value(&row.to)),
    };
    let result = serde_json::to_value(row.result).map(|word| change::value(&word)).unwrap_or_default();
    let result = if result == "applied" { Cell::from(result) } else { Cell::verdict(false, result) };
    [
        row.seq.to_string().into(),
        change::time(&row.time).into(),
        row.action.as_str().into(),
        result,
        row.route.as_ref().map_or("", |route| route.as_str()).into(),
        row.origin.actor.as_str().into(),
        row.origin.channel.as_str().into(),
        row.revision.0.to_string().into(),
        change.into(),
        row.origin.reason.as_deref().unwrap_or_default().into(),
        row.origin.request_id.as_deref().unwrap_or_default().into(),
    ]
}

impl Answer for Verification {
    fn screen(&self, view: &View) -> Screen {
        let mark = view.look.mark(self.ok);
        if self.ok {
            let (rows, head) = (self.rows.unwrap_or_default(), self.head.as_deref().unwrap_or("-"));
            return Screen::of([format!("{mark} the audit is whole: {rows} rows, head {head}")]);
        }
        let problem = self.problem.as_deref().unwrap_or("it does not say why");
        let text = format!("{mark} the audit is not whole: {}", super::output::clean(problem));
        Screen::of([view.look.verdict(false, &text)])
    }

    fn names(&self) -> Vec<String> {
        self.head.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_points_or_ages() {
        assert_eq!(time("2026-01-31T12:00:00Z").unwrap(), "2026-01-31T12:00:00Z");
        for (text, good) in
            [("12h", true), ("30m", true), ("7d", true), ("h", false), ("yesterday", false), ("", false)]
        {
            assert_eq!(time(text).is_ok(), good, "{text}");
        }
    }
}

//! `weir revisions`: what was changed, and going back.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    Exit, Failure,
    change::{self, Conditional},
    format::{Answer, Screen},
    output::{self, View},
    pages,
    remote::Remote,
    table::{Column, Table},
};
use crate::{
    admin::api::types::history::{
        Diff, Difference, Restored, RevisionDetail, RevisionSummary, Revisions as Page,
    },
    types::Revision,
};

const EXAMPLES: &str = "\
Without a command it lists the newest ones.

Examples:
  weir revisions
  weir revisions list --limit 100
  weir revisions diff 41                       what did revision 41 change?
  weir revisions diff 41 --against current     what is different since?
  weir revisions restore 40 --dry-run          who would move?
  weir revisions restore 40 --reason 'back to what was good'";

const LIST_EXAMPLES: &str = "\
Examples:
  weir revisions list --limit 100
  weir revisions list --output name";

const SHOW_EXAMPLES: &str = "\
Examples:
  weir revisions show 41
  weir revisions show 41 --output json | jq -r .file_text";

const DIFF_EXAMPLES: &str = "\
Examples:
  weir revisions diff 41                       what did revision 41 change?
  weir revisions diff 41 --against current     what is different since?
  weir revisions diff 41 --against 38";

const RESTORE_EXAMPLES: &str = "\
Weights, kill switches, drains and overrides come back by a new revision. The control file is not written.

Examples:
  weir revisions restore 40 --dry-run          who would move?
  weir revisions restore 40 --reason 'back to what was good'";

/// How many are listed unless somebody says.
const LIMIT: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Revisions {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List accepted changes, the newest first
    List(List),
    /// Show one, with the control file and the overlay that ran since
    Show(Show),
    /// Show what is different since a revision
    Diff(Between),
    /// Bring back what was in force
    Restore(Restore),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
struct List {
    /// How many at most
    #[arg(long, default_value_t = LIMIT, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    /// Its number
    #[arg(value_parser = super::revision)]
    revision: Revision,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = DIFF_EXAMPLES)]
struct Between {
    /// Its number
    #[arg(value_parser = super::revision)]
    revision: Revision,
    /// Another number, or `current`; the one before it by default
    #[arg(long, value_name = "N")]
    against: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
struct Restore {
    /// Its number
    #[arg(value_parser = super::revision)]
    revision: Revision,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [Column; 8] = [
    Column::right("REV"),
    Column::left("TIME (UTC)").rank(2),
    Column::left("ACTION"),
    Column::left("ROUTE").shrinks().rank(3),
    Column::left("BY").shrinks(),
    Column::left("CHANNEL").rank(4),
    Column::left("CHANGE").shrinks().rank(1),
    Column::left("REASON").shrinks().rank(1),
];

const DIFFERENCES: [Column; 3] =
    [Column::left("WHERE").shrinks(), Column::left("BEFORE").shrinks(), Column::left("AFTER").shrinks()];

// === impl Revisions ===

impl Revisions {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command.unwrap_or(Command::List(List { limit: LIMIT, remote: self.remote })) {
            Command::List(list) => {
                let page = list.remote.run(async |client| {
                    let mut all = Page { revisions: Vec::new(), next: None };
                    pages::collect(client, "/v1/revisions?", list.limit, |page: Page| {
                        all.revisions.extend(page.revisions);
                        page.next
                    })
                    .await?;
                    all.revisions.truncate(list.limit);
                    Ok(all)
                })?;
                list.remote.output.print(&page)
            }
            Command::Show(show) => {
                show.remote.show::<RevisionDetail>(&format!("/v1/revisions/{}", show.revision.0))
            }
            Command::Diff(diff) => {
                let against =
                    diff.against.as_deref().map(|other| format!("?against={}", pages::encode(other)));
                let path = format!("/v1/revisions/{}/diff{}", diff.revision.0, against.unwrap_or_default());
                diff.remote.show::<Diff>(&path)
            }
            Command::Restore(restore) => {
                let path = format!("/v1/revisions/{}/restore", restore.revision.0);
                let call = restore.conditional.call(Method::POST, path, &[]);
                let restored: Restored = restore.remote.send(call)?;
                output::warn(&restored.outcome.warnings);
                restore.remote.output.print(&restored)
            }
        }
    }
}

impl Answer for Page {
    fn screen(&self, view: &View) -> Screen {
        let mut table = Table::new(&COLUMNS);
        for revision in &self.revisions {
            table.row(row(revision, view));
        }
        Screen::default().table(table)
    }

    fn names(&self) -> Vec<String> {
        self.revisions.iter().map(|revision| revision.revision.0.to_string()).collect()
    }
}

fn row(revision: &RevisionSummary, view: &View) -> [super::table::Cell; 8] {
    let arrow = if view.look.unicode { "→" } else { "->" };
    let change = match (revision.from.is_null(), revision.to.is_null()) {
        (true, true) => String::new(),
        _ => format!("{} {arrow} {}", change::value(&revision.from), change::value(&revision.to)),
    };
    [
        revision.revision.0.to_string().into(),
        change::time(&revision.at).into(),
        revision.action.as_str().into(),
        revision.route.as_ref().map_or("", |route| route.as_str()).into(),
        revision.origin.actor.as_str().into(),
        revision.origin.channel.as_str().into(),
        change.into(),
        revision.origin.reason.as_deref().unwrap_or_default().into(),
    ]
}

impl Answer for RevisionDetail {
    fn screen(&self, view: &View) -> Screen {
        let mut table = Table::new(&COLUMNS);
        table.row(row(&self.summary, view));
        let overlay = super::format::yaml(&self.overlay).unwrap_or_default();
        let indented = |text: &str| -> Vec<String> {
            text.lines().map(|line| format!("  {}", output::clean(&line.replace('\t', "    ")))).collect()
        };
        let head = |text: &str| vec![String::new(), view.look.bold(text)];
        let overlay = [head("Set by API on top of the control file"), indented(&overlay)].concat();
        let file = [head("Control file"), indented(&self.file_text)].concat();
        Screen::default().table(table).tail([overlay, file].concat())
    }

    fn names(&self) -> Vec<String> {
        vec![self.summary.revision.0.to_string()]
    }
}

fn table(differences: &[Difference]) -> Table {
    let mut table = Table::new(&DIFFERENCES);
    for difference in differences {
        let text =
            |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "-".to_owned(), change::value);
        let path = difference.path.as_str();
        table.row([path.into(), text(&difference.from).into(), text(&difference.to).into()]);
    }
    table
}

impl Answer for Diff {
    fn screen(&self, view: &View) -> Screen {
        let arrow = if view.look.unicode { "→" } else { "->" };
        let head = format!("rev {} {arrow} rev {}", self.from.0, self.to.0);
        if self.differences.is_empty() {
            return Screen::of([format!("{head}: nothing is different")]);
        }
        Screen::of([head]).table(table(&self.differences))
    }

    fn names(&self) -> Vec<String> {
        self.differences.iter().map(|difference| difference.path.clone()).collect()
    }
}

impl Answer for Restored {
    fn screen(&self, _: &View) -> Screen {
        let replayed = self.replayed.map(|earlier| format!("; done already as rev {}", earlier.0));
        let outcome = change::outcome(&self.outcome);
        let verb = if self.outcome.dry_run { "would be back" } else { "is back" };
        let head = format!(
            "what rev {} had in force {verb}   ({outcome}{})",
            self.restored.0,
            replayed.unwrap_or_default()
        );
        let screen = Screen::of([head]);
        if self.differences.is_empty() { screen } else { screen.table(table(&self.differences)) }
    }

    fn names(&self) -> Vec<String> {
        vec![self.outcome.revision.0.to_string()]
    }
}

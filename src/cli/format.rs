//! The forms in which a command answers: `--output`.
//!
//! Every answer is an [`Answer`]: what the API said (for json and yaml), a screen (for people), and names (for scripts).

use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use serde::Serialize;

use super::{
    Exit, Failure,
    output::{self, View},
    table::Table,
};
use crate::config;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[value(alias = "text")]
    Table,
    /// For people: every column
    Wide,
    /// What the API answered
    Json,
    /// The same as YAML
    Yaml,
    /// Names only, one a line, for scripts
    Name,
    /// For code scanning tools (SARIF 2.1.0)
    Sarif,
}

/// What a command answers.
pub(super) trait Answer: Serialize {
    /// For people.
    fn screen(&self, view: &View) -> Screen;

    /// The names in it.
    fn names(&self) -> Vec<String>;
}

/// An answer as people read it: lines, a table, lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Screen {
    /// What stands above the table.
    pub(super) head: Vec<String>,
    /// The table.
    pub(super) table: Option<Table>,
    /// What stands below it.
    pub(super) tail: Vec<String>,
}

// === impl Format ===

impl Format {
    /// What a client of the API can print.
    pub(super) const CLIENT: &[Self] = &[Self::Table, Self::Wide, Self::Json, Self::Yaml, Self::Name];
    /// What `weir check` can print.
    pub(super) const CHECK: &[Self] = &[Self::Table, Self::Json, Self::Yaml, Self::Sarif];

    /// Reads one of these.
    pub(super) fn parser(some: &'static [Self]) -> impl TypedValueParser<Value = Self> {
        let values = some.iter().filter_map(Self::to_possible_value).collect::<Vec<PossibleValue>>();
        PossibleValuesParser::new(values).try_map(|text| Self::from_str(&text, false))
    }

    /// Prints an answer.
    pub(super) fn print(self, answer: &impl Answer) -> Result<Exit, Failure> {
        match self {
            Self::Table | Self::Wide => {
                let view = View::of_stdout(self == Self::Wide);
                output::print(&answer.screen(&view).render(&view))?;
            }
            Self::Name => output::print(&lines(&answer.names()))?,
            _ => self.print_document(answer)?,
        }
        Ok(Exit::Done)
    }

    /// Prints a value that has no form for people.
    pub(super) fn print_document(self, value: &impl Serialize) -> Result<(), Failure> {
        match self {
            Self::Json => Ok(output::print_json(value)?),
            Self::Yaml => Ok(output::print(&yaml(value)?)?),
            Self::Table | Self::Wide | Self::Name | Self::Sarif => {
                let name =
                    self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
                Err(Failure::text(Exit::Usage, format!("this command has no output `{name}`"))
                    .hint("use json or yaml"))
            }
        }
    }
}

/// `value` as YAML, its keys in the order in which JSON has them.
pub(super) fn yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(config::json_to_yaml(&serde_json::to_string(value)?)?)
}

// === impl Screen ===

impl Screen {
    /// A screen of lines.
    pub(super) fn of(head: impl IntoIterator<Item = String>) -> Self {
        Self { head: head.into_iter().collect(), ..Self::default() }
    }

    /// Adds the table.
    pub(super) fn table(self, table: Table) -> Self {
        Self { table: Some(table), ..self }
    }

    /// Adds lines below.
    pub(super) fn tail(self, tail: Vec<String>) -> Self {
        Self { tail, ..self }
    }

    /// The whole screen as text.
    pub(super) fn render(&self, view: &View) -> String {
        let table = self.table.as_ref().map_or_else(String::new, |table| table.render(view));
        lines(&self.head) + &table + &lines(&self.tail)
    }

    /// Each line with all that it is about, for a log; the heading of the table when `heading` says so.
    pub(super) fn lines(&self, view: &View, heading: bool) -> Vec<String> {
        let table = self.table.as_ref().map_or_else(Vec::new, |table| table.lines(view, heading));
        [self.head.clone(), table, self.tail.clone()].concat()
    }
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

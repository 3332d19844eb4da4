//! Diagnostics for people (source line and caret), for scripts (JSON) and for code scanning tools (SARIF 2.1.0).

use codespan_reporting::{
    diagnostic::{Diagnostic as Shown, Label, LabelStyle, Severity as Level},
    files::SimpleFile,
    term::{
        self, Styles, StylesWriter,
        termcolor::{Ansi, NoColor, WriteColor},
    },
};
use serde_json::{Value, json};

use super::{
    code::Code,
    diagnostic::{Diagnostic, Diagnostics, Severity},
};

/// How a report is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Colour by ANSI escapes; the caller knows the terminal and `NO_COLOR`.
    pub colour: bool,
    /// Lines of ASCII instead of box drawing characters.
    pub ascii: bool,
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Each with its place, source line, caret and help, and a last line that counts them.
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        let bytes = if look.colour {
            let mut out = Ansi::new(Vec::new());
            self.draw(&mut out, look);
            out.into_inner()
        } else {
            let mut out = NoColor::new(Vec::new());
            self.draw(&mut out, look);
            out.into_inner()
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn draw<W: WriteColor>(&self, out: &mut W, look: Look) {
        let config = term::Config {
            chars: if look.ascii { term::Chars::ascii() } else { term::Chars::box_drawing() },
            ..term::Config::default()
        };
        let styles = Styles::default();
        let file = SimpleFile::new(self.source().name(), self.source().text());
        for item in self.iter() {
            let mut writer = StylesWriter::new(&mut *out, &styles);
            let drawn = term::emit_to_write_style(&mut writer, &config, &file, &shown(item));
            debug_assert!(drawn.is_ok(), "spans lie in the text: {item:?}");
        }
        if self.dropped() > 0 {
            put(out, &format!("and {} more\n", self.dropped()));
        }
        if !self.is_empty() {
            put(out, &format!("{}\n", self.summary()));
        }
    }

    /// One object per diagnostic: `severity`, `code`, `message`, `file`, `pointer`, `line`, `column`, `end_line`,
    /// `end_column`, `label`, `help`, `secondary`. Absent things are null, lines and columns count from 1.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Array(self.iter().map(|item| self.item_json(item)).collect())
    }

    fn item_json(&self, item: &Diagnostic) -> Value {
        let place = self.position(item);
        let secondary: Vec<Value> = item
            .secondary
            .iter()
            .map(|(span, label)| {
                let at = self.source().position(span.start);
                json!({"line": at.line, "column": at.column, "label": label})
            })
            .collect();
        json!({
            "severity": item.severity().as_str(),
            "code": item.code.as_str(),
            "message": item.message,
            "file": self.source().name(),
            "pointer": item.pointer,
            "line": place.map(|(start, _)| start.line),
            "column": place.map(|(start, _)| start.column),
            "end_line": place.map(|(_, end)| end.line),
            "end_column": place.map(|(_, end)| end.column),
            "label": (!item.label.is_empty()).then_some(&item.label),
            "help": item.help,
            "secondary": secondary,
        })
    }

    /// A SARIF 2.1.0 log with one run.
    #[must_use]
    pub fn to_sarif(&self) -> Value {
        let rules: Vec<Value> = Code::ALL
            .iter()
            .map(|code| {
                json!({
                    "id": code.as_str(),
                    "shortDescription": {"text": code.meaning()},
                    "defaultConfiguration": {"level": if code.is_warning() { "warning" } else { "error" }},
                })
            })
            .collect();
        let results: Vec<Value> = self.iter().map(|item| self.item_sarif(item)).collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "weir",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                }},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        })
    }

    fn item_sarif(&self, item: &Diagnostic) -> Value {
        let text = match &item.help {
            Some(help) => format!("{}. {help}", item.message),
            None => item.message.clone(),
        };
        let mut location = json!({"artifactLocation": {"uri": self.source().name()}});
        if let Some((start, end)) = self.position(item) {
            location["region"] = json!({
                "startLine": start.line, "startColumn": start.column,
                "endLine": end.line, "endColumn": end.column,
            });
        }
        let index = Code::ALL.iter().position(|code| *code == item.code);
        json!({
            "ruleId": item.code.as_str(),
            "ruleIndex": index,
            "level": item.severity().as_str(),
            "message": {"text": text},
            "locations": [{"physicalLocation": location}],
        })
    }
}

fn put<W: WriteColor>(out: &mut W, text: &str) {
    // The writers hold a Vec, which takes everything.
    let written = out.write_all(text.as_bytes());
    debug_assert!(written.is_ok());
}

fn shown(item: &Diagnostic) -> Shown<()> {
    let level = match item.severity() {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
    };
    let mut labels = Vec::new();
    if let Some(span) = item.span {
        labels.push(Label::new(LabelStyle::Primary, (), span.start..span.end).with_message(&item.label));
    }
    for (span, label) in &item.secondary {
        labels.push(Label::new(LabelStyle::Secondary, (), span.start..span.end).with_message(label));
    }
    let notes = item.help.iter().map(|help| format!("help: {help}")).collect();
    Shown::new(level)
        .with_code(item.code.as_str())
        .with_message(&item.message)
        .with_labels(labels)
        .with_notes(notes)
}

//! Errors and warnings about a control file: each with a code, a place and, where there is one, a way out.

use std::{fmt, sync::Arc};

use super::{
    code::Code,
    source::{Position, Source, Span},
};

/// How many are kept; a file that is wrong in a thousand places is not read by anyone in one go.
pub const MAX_DIAGNOSTICS: usize = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file works, but hardly as it was meant.
    Warning,
}

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// Where, by JSON pointer; empty for the whole file.
    pub pointer: String,
    /// Where in the text; `None` when there is no text to point to.
    pub span: Option<Span>,
    /// What stands at that place, when it helps to say.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to it, each with what they are.
    pub secondary: Vec<(Span, String)>,
}

/// Everything that is wrong with a file, in the order of the text.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    source: Arc<Source>,
    items: Vec<Diagnostic>,
    dropped: usize,
}

/// Takes diagnostics while a file is read; keeps the first [`MAX_DIAGNOSTICS`].
#[derive(Debug, Default)]
pub(super) struct Sink {
    items: Vec<Diagnostic>,
    dropped: usize,
    errors: usize,
}

// === impl Severity ===

impl Severity {
    /// The word in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    pub(super) fn new(code: Code, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            pointer: pointer.to_owned(),
            span: None,
            label: String::new(),
            help: None,
            secondary: Vec::new(),
        }
    }

    pub(super) fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn and(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// How bad it is; the code decides.
    #[must_use]
    pub fn severity(&self) -> Severity {
        if self.code.is_warning() { Severity::Warning } else { Severity::Error }
    }
}

// === impl Sink ===

impl Sink {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity() == Severity::Error {
            self.errors += 1;
        }
        if self.items.len() < MAX_DIAGNOSTICS {
            self.items.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Whether an error was pushed.
    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether nothing more is kept, so that costly help (suggestions) need not be computed.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= MAX_DIAGNOSTICS
    }

    /// Everything in the order of the text.
    pub(super) fn finish(mut self, source: Arc<Source>) -> Diagnostics {
        self.items.sort_by_key(|item| item.span.map(|span| span.start));
        Diagnostics { source, items: self.items, dropped: self.dropped }
    }
}

// === impl Diagnostics ===

impl Diagnostics {
    /// A single error about a file that could not even be read as text.
    pub(super) fn single(name: &str, text: &str, diagnostic: Diagnostic) -> Self {
        Self { source: Arc::new(Source::new(name, text)), items: vec![diagnostic], dropped: 0 }
    }

    /// One by one, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many there are, those over [`MAX_DIAGNOSTICS`] included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len() + self.dropped
    }

    /// How many were not kept.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The text that the places are in.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The line and column where `diagnostic` begins and ends; `None` when it has no place.
    #[must_use]
    pub fn position(&self, diagnostic: &Diagnostic) -> Option<(Position, Position)> {
        let span = diagnostic.span?;
        Some((self.source.position(span.start), self.source.position(span.end.max(span.start))))
    }

    /// The last line of a report, e.g. `2 errors; nothing loaded`.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = self.items.iter().filter(|item| item.severity() == Severity::Error).count();
        let warnings = self.items.len() - errors;
        let count = |n: usize, word: &str| match n {
            1 => format!("1 {word}"),
            n => format!("{n} {word}s"),
        };
        match (errors, warnings) {
            (0, warnings) => count(warnings, "warning"),
            (errors, _) => format!("{}; nothing loaded", count(errors + self.dropped, "error")),
        }
    }
}

impl fmt::Display for Diagnostics {
    /// Without colour and source lines: one line each, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.source.name())?;
            if let Some((start, _)) = self.position(item) {
                write!(f, ":{}:{}", start.line, start.column)?;
            }
            write!(f, ": {}[{}]: {}", item.severity().as_str(), item.code.as_str(), item.message)?;
            if let Some(help) = &item.help {
                write!(f, " ({help})")?;
            }
        }
        if self.dropped > 0 {
            write!(f, "\nand {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

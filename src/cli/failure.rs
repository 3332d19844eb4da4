//! Exit codes, and errors that carry one.

use std::{fmt, process::ExitCode};

use serde_json::{Value, json};

use super::output::clean_lines;
use crate::admin::api::problem::Problem;

/// How a command ends. docs/cli.md lists them; scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error that is none of those below; or what was compared is different.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The rollout was rolled back, aborted or superseded.
    RolledBack = 3,
    /// Another change came first.
    Conflict = 4,
    /// No answer in time.
    Timeout = 5,
    /// The server cannot be reached.
    Unreachable = 6,
    /// The server does not allow it.
    NotAllowed = 7,
    /// The rollout waits for somebody to agree.
    AwaitsApproval = 8,
    /// The control file has errors, or there is none (`EX_CONFIG` of sysexits.h).
    BadConfig = 78,
}

/// What went wrong, and the exit code that says so.
#[derive(Debug)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    pub(super) error: anyhow::Error,
    hint: Option<String>,
    /// What the server answered.
    problem: Option<Box<Problem>>,
}

// === impl Exit ===

impl Exit {
    /// Every way to end, with what it means; in order.
    pub(super) const ALL: [(Self, &'static str); 10] = [
        (Self::Done, "done; of a rollout that was waited for: promoted"),
        (Self::Error, "an error that is none of those below; `diff`: something is different"),
        (Self::Usage, "the command line is wrong"),
        (Self::RolledBack, "the rollout that was waited for was rolled back, aborted or superseded"),
        (Self::Conflict, "another change came first (--if-rev)"),
        (Self::Timeout, "no answer in time"),
        (Self::Unreachable, "the server cannot be reached"),
        (Self::NotAllowed, "the server does not allow it"),
        (Self::AwaitsApproval, "the rollout that was waited for waits for somebody to agree"),
        (Self::BadConfig, "the control file has errors, or there is none"),
    ];

    /// The last part of the problem's type, where the API has no say.
    fn as_str(self) -> &'static str {
        match self {
            Self::Done | Self::Error => "error",
            Self::Usage => "usage",
            Self::RolledBack => "rolled-back",
            Self::AwaitsApproval => "awaits-approval",
            Self::Conflict => "revision-conflict",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::NotAllowed => "not-allowed",
            Self::BadConfig => "invalid-config",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with this exit code.
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), hint: None, problem: None }
    }

    /// A failure with this exit code and text.
    pub(super) fn text(exit: Exit, text: impl fmt::Display) -> Self {
        Self::new(exit, anyhow::anyhow!("{text}"))
    }

    /// What to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    pub(super) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Whether nobody answered, which may be different soon.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.exit, Exit::Unreachable | Exit::Timeout)
    }

    /// Whether the server refused it as this kind of problem.
    pub(super) fn is_about(&self, kind: &str) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.kind.ends_with(&format!(":{kind}")))
    }

    /// What the server refused.
    pub(super) fn problem(problem: Problem) -> Self {
        let exit = match problem.status {
            412 => Exit::Conflict,
            401 | 403 => Exit::NotAllowed,
            504 => Exit::Timeout,
            _ => Exit::Error,
        };
        // What is wrong with a file or a plan is wrong at several places, most often.
        let places = problem.errors.iter().filter(|_| !problem.diagnostics.is_empty());
        let places: String = places.map(|fault| format!("\n  {}: {}", fault.pointer, fault.detail)).collect();
        let failure = Self::text(exit, format!("{}{places}", problem.detail));
        if problem.status == 428 {
            let hint = "look first (`weir status` has the revision), then say what you saw: --if-rev N";
            return Self { problem: Some(Box::new(problem)), ..failure }.hint(hint);
        }
        Self { hint: problem.hint.clone(), problem: Some(Box::new(problem)), ..failure }
    }

    /// As a problem object (RFC 9457) with the exit code beside it; what the API answered, where it did.
    pub(super) fn to_json(&self) -> Value {
        let exit = self.exit as u8;
        let problem = self.problem.as_ref().and_then(|problem| serde_json::to_value(problem).ok());
        if let Some(Value::Object(mut problem)) = problem {
            problem.insert("exit".to_owned(), exit.into());
            return Value::Object(problem);
        }
        let word = self.exit.as_str();
        let title = Exit::ALL.iter().find(|(other, _)| *other == self.exit).map_or("", |(_, title)| title);
        let title = if self.exit == Exit::Error { "error" } else { title };
        json!({
            "type": format!("urn:weir:cli:{word}"),
            "title": title,
            "detail": format!("{:#}", self.error),
            "hint": self.hint,
            "exit": exit,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The causes in one line: `cannot reach http://...: connection refused`.
        let text = format!("{:#}", self.error);
        // A rendered control file has colours of our own.
        if self.exit == Exit::BadConfig {
            f.write_str(&text)?
        } else {
            f.write_str(&clean_lines(&text))?
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {}", clean_lines(hint)),
            None => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Error, error)
    }
}

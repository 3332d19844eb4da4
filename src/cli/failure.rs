//! Exit codes, and errors that carry one.

use std::{fmt, process::ExitCode};

use crate::admin::api::problem::Problem;

/// How a command ends. docs/cli.md lists them; scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error that is none of those below.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Another change came first.
    Conflict = 4,
    /// The server cannot be reached.
    Unreachable = 6,
    /// The server does not allow it.
    NotAllowed = 7,
    /// The control file has errors, or there is none (`EX_CONFIG` of sysexits.h).
    BadConfig = 78,
}

/// What went wrong, and the exit code that says so.
#[derive(Debug)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    pub(super) error: anyhow::Error,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with this exit code.
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// A failure with this exit code and text.
    pub(super) fn text(exit: Exit, text: impl fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{text}") }
    }

    /// What the server refused.
    pub(super) fn problem(problem: &Problem) -> Self {
        let exit = match problem.status {
            412 => Exit::Conflict,
            401 | 403 => Exit::NotAllowed,
            _ => Exit::Error,
        };
        let mut text = problem.detail.clone();
        if let Some(hint) = &problem.hint {
            text.push_str("\n  hint: ");
            text.push_str(hint);
        }
        Self::text(exit, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The causes in one line: `cannot reach http://...: connection refused`.
        write!(f, "{:#}", self.error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Error, error }
    }
}

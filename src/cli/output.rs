//! How answers look: tables, durations, colour, and symbols with a plain fallback.

use std::{
    env,
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use rustix::termios::tcgetwinsize;
use serde::Serialize;

use crate::types::clock;

/// What the terminal can show. Colour never says anything alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Colour by ANSI escapes.
    pub(super) colour: bool,
    /// Symbols beyond ASCII.
    pub(super) unicode: bool,
}

/// How a screen is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// What can be shown.
    pub(super) look: Look,
    /// The terminal's width in columns; none where it is no terminal.
    pub(super) width: Option<usize>,
    /// Whether everything is shown, however wide.
    pub(super) wide: bool,
    /// The wall-clock time since the Unix epoch.
    pub(super) now: Duration,
}

// === impl Look ===

impl Look {
    /// Symbols without colour.
    pub(super) const PLAIN: Self = Self { colour: false, unicode: true };

    /// What standard output can show.
    pub(super) fn of_stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    /// What standard error can show.
    pub(super) fn of_stderr() -> Self {
        Self::of(io::stderr().is_terminal())
    }

    /// From the environment: NO_COLOR (no-color.org), TERM, and the locale's character set.
    fn of(terminal: bool) -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_none_or(|term| term == "dumb");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        // A container often has no locale at all, and a terminal that knows UTF-8; "C" and "POSIX" are said on purpose.
        let ascii = locale.is_some_and(|locale| !locale.to_ascii_lowercase().contains("utf"));
        Self { colour: terminal && !plain, unicode: !ascii }
    }

    /// A mark for good or bad.
    pub(super) fn mark(self, good: bool) -> &'static str {
        match (good, self.unicode) {
            (true, true) => "✔",
            (true, false) => "ok",
            (false, true) => "✖",
            (false, false) => "!!",
        }
    }

    /// `text` in bold.
    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` in the colour of good or bad news.
    pub(super) fn verdict(self, good: bool, text: &str) -> String {
        self.paint(if good { "32" } else { "31" }, text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

// === impl View ===

impl View {
    /// Of standard output.
    pub(super) fn of_stdout(wide: bool) -> Self {
        Self {
            look: Look::of_stdout(),
            width: terminal_size().map(|(width, _)| width),
            wide,
            now: clock::unix_now(),
        }
    }

    /// Without colour, as wide as it comes.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { look: Look::PLAIN, width: None, wide: false, now: Duration::ZERO };
}

/// Columns and rows of the terminal that standard output is; none when it is something else.
pub(super) fn terminal_size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(stdout).ok()?;
    // A serial line does not know its size and says 0.
    (size.ws_col > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// `text` without what a terminal would obey: escapes, line ends. Servers send texts of others, such as a backend's words.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// The same for a text that may have lines.
pub(super) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Writes `text` to standard output. A reader that has gone away (`weir status | head`) is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes `text` to standard output, and says when nobody reads it.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes `value` as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Tells the user something that is not the answer.
pub(super) fn note(text: &str) {
    // Where standard error is closed, nobody reads it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells the user what the server warned of.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        note(&format!("warning: {}", clean(warning)));
    }
}

/// A ratio as a percentage with so many digits as tell small shares apart: `5 %`, `0.02 %`.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let text =
        if percent != 0.0 && percent < 0.1 { format!("{percent:.3}") } else { format!("{percent:.1}") };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{} %", if text.is_empty() { "0" } else { text })
}

/// Seconds in the unit that fits: `850us`, `11ms`, `1.2s`.
pub(super) fn latency(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0}us", seconds * 1e6)
    } else if seconds < 0.01 {
        format!("{:.1}ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0}ms", seconds * 1e3)
    } else {
        format!("{seconds:.1}s")
    }
}

/// A long time in its two largest units: `12s`, `3m05s`, `3h12m`, `4d2h`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A count with its thousands apart: `1,204`.
pub(super) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Events per second; slow ones with a digit more: `1,204`, `0.4`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 { format!("{per_second:.1}") } else { count(per_second) }
}

/// A value, or a dash where there is none.
pub(super) fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

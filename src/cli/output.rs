//! How answers look: tables, durations, colour, and symbols with a plain fallback.

use std::{
    env,
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use serde::Serialize;

/// What the terminal can show. Colour never says anything alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Colour by ANSI escapes.
    pub(super) colour: bool,
    /// Symbols beyond ASCII.
    pub(super) unicode: bool,
}

/// Which side of a column its texts are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

// === impl Look ===

impl Look {
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

// === impl Table ===

impl Table {
    pub(super) fn new(headings: &[(&'static str, Align)]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has a cell for every heading.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.headings.len());
        self.rows.push(cells.into());
    }

    /// The table as text; columns as wide as their widest cell, two spaces between them.
    pub(super) fn render(&self, look: Look) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.headings[column].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.zip(&widths).zip(&self.headings) {
                match align {
                    Align::Left => line += &format!("{cell:<width$}  "),
                    Align::Right => line += &format!("{cell:>width$}  "),
                }
            }
            line.trim_end().to_owned()
        };
        let heading = line(&mut self.headings.iter().map(|(heading, _)| *heading));
        let mut text = look.bold(&heading) + "\n";
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
            text.push('\n');
        }
        text
    }
}

/// Writes `text` to standard output. A reader that has gone away (`weir status | head`) is no error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
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

/// A value, or a dash where there is none.
pub(super) fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

//! `--watch`: the same answer again and again.
//!
//! On a terminal the screen is redrawn where it stands, and what was above it stays. Elsewhere lines are appended, each with
//! its time and all that it is about, so that `grep` finds its way; with json, one document a line.
//! A server that goes away is waited for: whoever watches wants to see it come back.

use std::{io, time::Duration};

use clap::Args;
use serde::de::DeserializeOwned;
use unicode_width::UnicodeWidthChar as _;

use super::{
    Exit, Failure,
    client::block_on,
    format::{Answer, Format, yaml},
    output::{self, View, terminal_size},
    remote::Remote,
};
use crate::{server::rfc3339, types::clock};

#[derive(Debug, Clone, Args)]
pub(super) struct Watch {
    /// Ask again every so many seconds (2 without a number), until Ctrl-C: redrawn in place on a terminal, else lines with a time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
}

/// Where the answers are drawn.
struct Canvas {
    format: Format,
    every: Duration,
    /// Lines that stand on the terminal.
    drawn: usize,
    /// What they were.
    last: Vec<String>,
    /// Whether anything was printed.
    begun: bool,
    /// Since when the server does not answer.
    gone: Option<Duration>,
}

// === impl Watch ===

impl Watch {
    /// Asks for `path` and prints the answer, once or for ever.
    pub(super) fn show<T: DeserializeOwned + Answer>(
        &self,
        remote: &Remote,
        path: &str,
    ) -> Result<Exit, Failure> {
        let Some(every) = self.watch else { return remote.show::<T>(path) };
        let client = remote.at.client()?;
        let mut canvas = Canvas::new(remote.output, every);
        remote.at.hinted(block_on(async {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let drawn = match client.get::<T>(path).await {
                    Ok(answer) => canvas.draw(&answer)?,
                    Err(failure) if canvas.begun && failure.is_absence() => canvas.absent(&failure),
                    Err(failure) => return Err(failure),
                };
                match drawn {
                    // The reader has what it wanted: `weir stats --watch | head`.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
                    drawn => drawn.map_err(anyhow::Error::from)?,
                }
            }
        }))
    }
}

/// From a tenth of a second to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let number = number.filter(|number| (0.1..=86_400.0).contains(number));
    number
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no number of seconds from 0.1 to 86400"))
}

// === impl Canvas ===

impl Canvas {
    fn new(format: Format, every: Duration) -> Self {
        Self { format, every, drawn: 0, last: Vec::new(), begun: false, gone: None }
    }

    /// Draws an answer. The outer error is one of the format, the inner one of the stream.
    fn draw(&mut self, answer: &impl Answer) -> Result<io::Result<()>, Failure> {
        let view = View::of_stdout(self.format == Format::Wide);
        let returned = self.gone.take().is_some();
        let heading = !std::mem::replace(&mut self.begun, true);
        let text = match self.format {
            Format::Table | Format::Wide if view.width.is_some() => {
                let screen = answer.screen(&view).render(&view);
                self.last = screen.lines().map(str::to_owned).collect();
                let footer = format!("{}  every {}s, Ctrl-C ends", time(view.now), self.every.as_secs_f64());
                return Ok(self.redraw(&footer));
            }
            Format::Table | Format::Wide => {
                if returned {
                    output::note("weir: the server answers again");
                }
                let at = rfc3339(view.now);
                let lines = answer.screen(&view).lines(&view, heading);
                lines.iter().map(|line| format!("{at}  {line}\n")).collect()
            }
            Format::Name => answer.names().iter().map(|name| format!("{name}\n")).collect(),
            Format::Yaml => format!("---\n{}", yaml(answer)?),
            Format::Json | Format::Sarif => {
                serde_json::to_string(answer).map_err(anyhow::Error::from)? + "\n"
            }
        };
        Ok(output::write(&text))
    }

    /// Says that the server does not answer; on a terminal, below what it said last.
    fn absent(&mut self, failure: &Failure) -> io::Result<()> {
        let now = clock::unix_now();
        let since = *self.gone.get_or_insert(now);
        if terminal_size().is_some() && matches!(self.format, Format::Table | Format::Wide) {
            let since = output::age(now.saturating_sub(since));
            let text = failure.to_string();
            let line = text.lines().next().unwrap_or_default();
            return self.redraw(&format!("STALE for {since}: {line}; trying again"));
        }
        if since == now {
            output::note(&format!("weir: {failure}\n  trying again"));
        }
        Ok(())
    }

    /// Puts the last screen over the one before.
    fn redraw(&mut self, footer: &str) -> io::Result<()> {
        let (columns, rows) = terminal_size().unwrap_or((usize::MAX, usize::MAX));
        let rows = rows.max(3);
        let room = rows - 2;
        let mut lines = self.last.clone();
        if lines.len() > room {
            let more = lines.len() - room + 1;
            lines.truncate(room.saturating_sub(1));
            lines.push(format!("({more} more lines)"));
        }
        lines.push(footer.to_owned());
        // Without wrapping, a line of text is a row of the screen, so that the way back up is known.
        let mut text = String::from("\x1b[?7l");
        if self.drawn > 0 {
            text += &format!("\x1b[{}A\r", self.drawn);
        }
        for line in &lines {
            text += &format!("{}\x1b[K\n", fit(line, columns));
        }
        text += "\x1b[J\x1b[?7h";
        self.drawn = lines.len();
        output::write(&text)
    }
}

/// As much of `line` as fits; what gives it its colour takes no room.
fn fit(line: &str, columns: usize) -> String {
    let mut fitting = String::new();
    let (mut used, mut escape) = (0, false);
    for letter in line.chars() {
        escape |= letter == '\x1b';
        used += if escape { 0 } else { letter.width().unwrap_or(0) };
        if escape || used <= columns {
            fitting.push(letter);
        }
        escape &= letter != 'm';
    }
    fitting
}

/// The time of day, in UTC.
fn time(now: Duration) -> String {
    let seconds = now.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_numbers_of_seconds() {
        for (text, good) in [
            ("2", true),
            ("0.5", true),
            ("2s", true),
            ("0", false),
            ("-1", false),
            ("NaN", false),
            ("x", false),
        ] {
            assert_eq!(seconds(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn lines_are_cut_between_their_colours() {
        assert_eq!(fit("\x1b[1mROUTE\x1b[0m RPS", 7), "\x1b[1mROUTE\x1b[0m R");
        assert_eq!(fit("\x1b[1mROUTE\x1b[0m", 3), "\x1b[1mROU\x1b[0m");
        assert_eq!(fit("カナリア", 5), "カナ");
    }

    #[test]
    fn times_of_day_are_utc() {
        assert_eq!(time(Duration::from_secs(86_400 + 3_723)), "01:02:03Z");
    }
}

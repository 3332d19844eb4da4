//! The terminal: lines that stay, and a block beneath them that is drawn over and over in its place.

use std::io::{self, Write};

/// What the terminal can show. Colour never says anything alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// It is a terminal that can move its cursor: the live block is shown.
    pub redraw: bool,
    /// Colour by ANSI escapes.
    pub colour: bool,
    /// Symbols beyond ASCII.
    pub unicode: bool,
}

/// Writes to a terminal or anything else.
pub(super) struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    style: Style,
    /// Lines of the live block, above the cursor.
    live: usize,
}

/// Lines longer than the terminal is wide would break the block: they are cut instead of wrapped (DECAWM).
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// Erases from the cursor to the end of the line.
const CLEAR_LINE: &str = "\x1b[K";
/// Erases from the cursor to the end of the screen.
const CLEAR_BELOW: &str = "\x1b[J";

// === impl Screen ===

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), style: Style) -> Self {
        Self { out, style, live: 0 }
    }

    /// What it can show.
    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Writes a line that stays, in place of the live block.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        let home = self.home();
        let clear = if self.live > 0 { CLEAR_BELOW } else { "" };
        self.live = 0;
        writeln!(self.out, "{home}{clear}{line}")?;
        self.out.flush()
    }

    /// Draws the live block over the last one. Nothing happens where that is not possible.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn live(&mut self, lines: &[String]) -> io::Result<()> {
        if !self.style.redraw {
            return Ok(());
        }
        // One write, so that the terminal never shows half a block.
        let mut text = self.home() + NO_WRAP;
        for line in lines {
            text += &format!("{line}{CLEAR_LINE}\n");
        }
        text += CLEAR_BELOW;
        text += WRAP;
        self.live = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Moves to where the live block begins.
    fn home(&self) -> String {
        if self.live > 0 { format!("\x1b[{}F", self.live) } else { String::new() }
    }
}

// === impl Style ===

impl Style {
    /// `text` in bold.
    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A mark for good or bad, in its colour.
    pub(super) fn mark(self, good: bool) -> String {
        match (good, self.unicode) {
            (true, true) => self.paint("32", "✔"),
            (true, false) => self.paint("32", "ok"),
            (false, true) => self.paint("31", "✖"),
            (false, false) => self.paint("31", "!!"),
        }
    }

    /// `unicode` where it can be shown, else `ascii`.
    pub(super) fn either<'s>(self, unicode: &'s str, ascii: &'s str) -> &'s str {
        if self.unicode { unicode } else { ascii }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(redraw: bool) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, Style { redraw, ..Style::default() });
        let block = |text: &str| [text.to_owned(), "-".to_owned()];
        screen.line("head").unwrap();
        screen.live(&block("one")).unwrap();
        screen.live(&block("two")).unwrap();
        screen.line("done").unwrap();
        screen.line("end").unwrap();
        String::from_utf8(out).unwrap().replace('\x1b', "^")
    }

    #[test]
    fn elsewhere_there_are_only_lines() {
        assert_eq!(drawn(false), "head\ndone\nend\n");
    }

    #[test]
    fn a_terminal_is_drawn_over_in_place() {
        insta::assert_snapshot!(drawn(true), @r"
        head
        ^[?7lone^[K
        -^[K
        ^[J^[?7h^[2F^[?7ltwo^[K
        -^[K
        ^[J^[?7h^[2F^[Jdone
        end
        ");
    }
}

//! Tables that fit the terminal.
//!
//! A column says what it is worth. Where the terminal is too narrow, empty columns go first, then columns that may shrink
//! are cut (`…`), then the least important ones are left out, until the rest fits. A table that goes to a file or a pipe is
//! never narrowed, for nobody looks at it; neither is `--output wide`.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::output::{Look, View, clean};

/// Between two columns.
const GAP: usize = 2;
/// What is left of a cut text at least, so that it can still be told from others.
const LEAST: usize = 8;

/// A column, its heading and what it is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    heading: &'static str,
    right: bool,
    /// The larger, the sooner it is left out; 0 is never left out.
    rank: u8,
    /// Whether its texts may be cut.
    shrinks: bool,
    /// Whether a text is left blank that is the same as above.
    grouped: bool,
    /// Whether it is shown with `--output wide` only.
    wide: bool,
}

/// What a cell says beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Good news.
    Good,
    /// Bad news.
    Bad,
}

/// A text of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// Rows under headings.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column as it is shown.
struct Shown {
    index: usize,
    width: usize,
}

// === impl Column ===

impl Column {
    /// A column of texts.
    pub(super) const fn left(heading: &'static str) -> Self {
        Self { heading, right: false, rank: 0, shrinks: false, grouped: false, wide: false }
    }

    /// A column of numbers.
    pub(super) const fn right(heading: &'static str) -> Self {
        Self { right: true, ..Self::left(heading) }
    }

    /// It is left out before those of a lower rank.
    pub(super) const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Its texts may be cut.
    pub(super) const fn shrinks(self) -> Self {
        Self { shrinks: true, ..self }
    }

    /// A text that is the same as above is left blank.
    pub(super) const fn grouped(self) -> Self {
        Self { grouped: true, ..self }
    }

    /// Only with `--output wide`.
    pub(super) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

// === impl Cell ===

impl Cell {
    /// Good or bad news.
    pub(super) fn verdict(good: bool, text: impl Into<String>) -> Self {
        Self { tone: if good { Tone::Good } else { Tone::Bad }, ..Self::from(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: clean(&text), tone: Tone::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: clean(text), tone: Tone::Plain }
    }
}

// === impl Table ===

impl Table {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has a cell for every column.
    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(cells.into());
    }

    /// The table as people read it: headings, then rows.
    pub(super) fn render(&self, view: &View) -> String {
        let shown = self.fit(view);
        let heading = self.heading(&shown);
        let mut text = view.look.bold(&heading) + "\n";
        for (at, row) in self.rows.iter().enumerate() {
            let above = at.checked_sub(1).map(|above| &self.rows[above]);
            text += &self.line(&shown, row, above, view.look);
            text.push('\n');
        }
        text
    }

    /// Each row with all that it is about, for a log; the heading when `heading` says so.
    pub(super) fn lines(&self, view: &View, heading: bool) -> Vec<String> {
        let shown = self.fit(&View { width: None, ..*view });
        let heading = heading.then(|| self.heading(&shown));
        let rows = self.rows.iter().map(|row| self.line(&shown, row, None, view.look));
        heading.into_iter().chain(rows).collect()
    }

    fn heading(&self, shown: &[Shown]) -> String {
        let cells: Vec<Cell> = self.columns.iter().map(|column| column.heading.into()).collect();
        self.line(shown, &cells, None, Look::PLAIN)
    }

    fn line(&self, shown: &[Shown], row: &[Cell], above: Option<&Vec<Cell>>, look: Look) -> String {
        let mut line = String::new();
        // Everything to the left must be the same too: another group may have a member of the same name.
        let mut same = true;
        for Shown { index, width } in shown {
            let (column, cell) = (self.columns[*index], &row[*index]);
            same &= column.grouped && above.is_some_and(|above| above[*index].text == cell.text);
            let text = if same { String::new() } else { cut(&cell.text, *width, look) };
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let text = match cell.tone {
                Tone::Plain => text,
                Tone::Good => look.verdict(true, &text),
                Tone::Bad => look.verdict(false, &text),
            };
            let gap = if line.is_empty() { "" } else { &" ".repeat(GAP) };
            line +=
                &if column.right { format!("{gap}{padding}{text}") } else { format!("{gap}{text}{padding}") };
        }
        line.trim_end().to_owned()
    }

    /// The columns that are shown, and how wide.
    fn fit(&self, view: &View) -> Vec<Shown> {
        let natural = |index: usize| {
            let cells = self.rows.iter().map(|row| row[index].text.width());
            cells.chain([self.columns[index].heading.width()]).max().unwrap_or(0)
        };
        let all = (0..self.columns.len()).filter(|index| view.wide || !self.columns[*index].wide);
        let mut shown: Vec<Shown> = all.map(|index| Shown { index, width: natural(index) }).collect();
        let Some(limit) = view.width.filter(|_| !view.wide) else { return shown };
        if total(&shown) > limit {
            shown.retain(|Shown { index, .. }| !self.is_empty(*index));
        }
        while total(&shown) > limit {
            let least = |Shown { index, width }: &Shown| {
                if self.columns[*index].shrinks { (*width).min(LEAST) } else { *width }
            };
            let smallest = shown.iter().map(|shown| least(shown) + GAP).sum::<usize>().saturating_sub(GAP);
            if smallest <= limit {
                self.shrink(&mut shown, limit);
                break;
            }
            let dropped = shown.iter().enumerate().max_by_key(|(_, shown)| self.columns[shown.index].rank);
            match dropped {
                Some((at, Shown { index, .. })) if self.columns[*index].rank > 0 => drop(shown.remove(at)),
                _ => {
                    self.shrink(&mut shown, limit);
                    break;
                }
            }
        }
        shown
    }

    fn is_empty(&self, index: usize) -> bool {
        self.columns[index].rank > 0 && self.rows.iter().all(|row| row[index].text.is_empty())
    }

    /// Takes from the widest column that may shrink, again and again.
    fn shrink(&self, shown: &mut [Shown], limit: usize) {
        while total(shown) > limit {
            let shrinking = shown.iter_mut().filter(|shown| self.columns[shown.index].shrinks);
            match shrinking.max_by_key(|shown| shown.width) {
                Some(widest) if widest.width > LEAST => widest.width -= 1,
                _ => break,
            }
        }
    }
}

fn total(shown: &[Shown]) -> usize {
    shown.iter().map(|shown| shown.width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// `text` within `width` columns; what is cut off leaves a mark.
pub(super) fn cut(text: &str, width: usize, look: Look) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if look.unicode { "…" } else { "~" };
    let room = width.saturating_sub(mark.width());
    let mut used = 0;
    let mut kept = String::new();
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > room {
            break;
        }
        kept.push(letter);
    }
    kept + mark
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::left("ROUTE").grouped().shrinks(),
        Column::left("BACKEND").shrinks(),
        Column::right("RPS").rank(1),
        Column::left("STATE").rank(2).shrinks(),
        Column::left("ID").wide(),
    ];

    fn table(state: &str) -> Table {
        let mut table = Table::new(&COLUMNS);
        table.row(["checkout-of-the-shop".into(), "stable".into(), "1,204".into(), state.into(), "1".into()]);
        table.row(["checkout-of-the-shop".into(), "カナリア".into(), "62".into(), "".into(), "2".into()]);
        table.row(["static".into(), "カナリア".into(), "0".into(), "".into(), "3".into()]);
        table
    }

    fn shown(table: &Table, width: Option<usize>, wide: bool) -> String {
        table.render(&View { width, wide, ..View::PLAIN })
    }

    #[test]
    fn what_does_not_fit_is_cut_and_then_left_out() {
        insta::assert_snapshot!(shown(&table("drained by an operator"), None, false), @r"
        ROUTE                 BACKEND     RPS  STATE
        checkout-of-the-shop  stable    1,204  drained by an operator
                              カナリア     62
        static                カナリア      0
        ");
        insta::assert_snapshot!(shown(&table("drained by an operator"), Some(44), false), @r"
        ROUTE          BACKEND     RPS  STATE
        checkout-of-…  stable    1,204  drained by …
                       カナリア     62
        static         カナリア      0
        ");
        insta::assert_snapshot!(shown(&table("drained by an operator"), Some(30), false), @r"
        ROUTE          BACKEND     RPS
        checkout-of-…  stable    1,204
                       カナリア     62
        static         カナリア      0
        ");
        insta::assert_snapshot!(shown(&table("drained by an operator"), Some(10), false), @r"
        ROUTE     BACKEND
        checkou…  stable
                  カナリア
        static    カナリア
        ");
    }

    #[test]
    fn an_empty_column_is_left_out_before_anything_is_cut() {
        assert!(shown(&table(""), None, false).contains("STATE"));
        assert!(!shown(&table(""), Some(40), false).contains("STATE"));
    }

    #[test]
    fn wide_tables_have_every_column_however_narrow_the_terminal_is() {
        insta::assert_snapshot!(shown(&table("drained"), Some(20), true), @r"
        ROUTE                 BACKEND     RPS  STATE    ID
        checkout-of-the-shop  stable    1,204  drained  1
                              カナリア     62           2
        static                カナリア      0           3
        ");
    }

    #[test]
    fn lines_of_a_log_say_everything() {
        let lines = table("").lines(&View::PLAIN, false);
        assert_eq!(lines[1], "checkout-of-the-shop  カナリア     62");
    }

    #[test]
    fn texts_cannot_move_the_cursor() {
        let mut table = Table::new(&[Column::left("TEXT")]);
        table.row(["a\x1b[2Jb\nc".into()]);
        assert_eq!(shown(&table, None, false), "TEXT\na?[2Jb?c\n");
    }
}

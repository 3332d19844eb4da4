//! The text of a control file, and where in it each value stands.
//!
//! Places are found by JSON pointer (RFC 6901) in the canonical form of the file, the one that [`Config`](super::Config)
//! serializes to: `/routes/0/match/0/hosts` is right even where the file has `match: {hosts: …}` without a list. The
//! pointers of the file as it is written work too. A pointer without a place of its own (a default, say) has the place
//! of the nearest value around it, so that every pointer leads somewhere.

use std::collections::HashMap;

/// A range of bytes in the text; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// A line and a column, both counted from 1; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A control file's text and its places.
#[derive(Debug, Clone, Default)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
    places: Places,
}

/// Places by pointer: the value's, and its key's where it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(HashMap<String, Place>);

#[derive(Debug, Clone, Copy)]
struct Place {
    key: Option<Span>,
    value: Span,
}

// === impl Source ===

impl Source {
    /// A text without places yet. A byte order mark is dropped.
    pub(super) fn new(name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.to_owned(), text, line_starts, places: Places::default() }
    }

    pub(super) fn set_places(&mut self, places: Places) {
        self.places = places;
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the value at `pointer` stands; the nearest value around it when it has no place of its own.
    #[must_use]
    pub fn span(&self, pointer: &str) -> Span {
        self.nearest(pointer).map_or(Span::default(), |(place, _)| self.first_line(place.value))
    }

    /// Where the key of the value at `pointer` stands; the value's place when it has no key.
    #[must_use]
    pub fn key_span(&self, pointer: &str) -> Span {
        self.nearest(pointer).map_or(Span::default(), |(place, exact)| match place.key {
            Some(key) if exact => key,
            _ => self.first_line(place.value),
        })
    }

    /// Whether the value at `pointer` is written in the file, and no default.
    pub(super) fn has(&self, pointer: &str) -> bool {
        self.places.0.contains_key(pointer)
    }

    fn nearest(&self, pointer: &str) -> Option<(Place, bool)> {
        let mut at = pointer;
        loop {
            if let Some(place) = self.places.0.get(at) {
                return Some((*place, at.len() == pointer.len()));
            }
            at = &at[..at.rfind('/')?];
        }
    }

    /// The line and column of a byte.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = floor_char(&self.text, offset);
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }

    /// `span` up to the end of its first line, so that a pointed message shows one line and not a page.
    pub(super) fn first_line(&self, span: Span) -> Span {
        let start = floor_char(&self.text, span.start);
        let rest = &self.text[start..floor_char(&self.text, span.end.max(start))];
        let line = rest.split('\n').next().unwrap_or_default();
        Span { start, end: start + line.trim_end().len() }
    }

    /// The text of the line that holds `offset`, and where it starts.
    pub(super) fn line_at(&self, offset: usize) -> (usize, &str) {
        let line = self.position(offset).line;
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        (start, self.text[start..].lines().next().unwrap_or_default())
    }
}

/// The start of the character that `offset` is in, at most the text's end.
fn floor_char(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

// === impl Places ===

impl Places {
    /// Notes where a value stands. The first note of a pointer counts.
    pub(super) fn note(&mut self, pointer: &str, key: Option<Span>, value: Span) {
        if !self.0.contains_key(pointer) {
            self.0.insert(pointer.to_owned(), Place { key, value });
        }
    }
}

/// `pointer` one step further, with the step escaped (RFC 6901, section 3).
pub(super) fn join(pointer: &str, step: &str) -> String {
    if step.contains(['~', '/']) {
        format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
    } else {
        format!("{pointer}/{step}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_without_a_place_lead_to_the_nearest_one() {
        let mut source = Source::new("f", "a:\n  b: 1\n");
        let mut places = Places::default();
        places.note("", None, Span { start: 0, end: 10 });
        places.note("/a", Some(Span { start: 0, end: 1 }), Span { start: 5, end: 9 });
        source.set_places(places);
        assert_eq!(source.span("/a/b/c"), Span { start: 5, end: 9 });
        assert_eq!(source.key_span("/a"), Span { start: 0, end: 1 });
        assert_eq!(source.key_span("/a/b"), Span { start: 5, end: 9 });
        assert_eq!(source.span("/x"), Span { start: 0, end: 2 });
    }

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("f", "\u{feff}ä: 1\nb: 2");
        for (offset, line, column) in [(0, 1, 1), (1, 1, 1), (2, 1, 2), (6, 2, 1), (99, 2, 5)] {
            assert_eq!(source.position(offset), Position { line, column }, "{offset}");
        }
    }

    #[test]
    fn steps_are_escaped() {
        assert_eq!(join("/a", "b/c~d"), "/a/b~1c~0d");
    }
}

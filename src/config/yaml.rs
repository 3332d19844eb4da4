//! YAML text to a tree of nodes with their places.
//!
//! The tree is built from the parser's events rather than by its loader, for three reasons: every duplicate key is
//! reported with both places, nesting and aliases are bounded before anything is built, and scalars keep the text as it
//! was written, so that `1.0` where a text is expected can be quoted back to its author.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::{
    code::Code,
    diagnostic::{Diagnostic, Sink},
    source::{Source, Span},
};

/// Nesting of maps and lists; the deepest useful file has about ten levels, segments of segments of segments.
pub(super) const MAX_DEPTH: usize = 32;

/// Nodes that anchors and aliases may stand for, all together.
const MAX_ALIASED: usize = 10_000;

/// What to say where somebody wrote `${NAME}`.
pub(super) const VARIABLE: &str = "variables such as `${PORT}` are not substituted: write the value itself";

/// A value in the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A plain (unquoted, so perhaps a number) or quoted scalar.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A map, in file order, keys unique.
    Map(Vec<(MapKey, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(super) struct MapKey {
    pub(super) text: String,
    pub(super) span: Span,
}

/// What a plain scalar is by the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Integer,
    Float,
    Text,
}

/// Reads one document. What is wrong goes to `sink`; `None` when nothing can be made of the text.
pub(super) fn read(source: &Source, sink: &mut Sink) -> Option<Node> {
    let mut builder = Builder::new(source, sink);
    for event in Parser::new_from_iter(source.text().chars()).keep_tags(false) {
        match event {
            Ok((event, span)) => {
                let span = builder.offsets.span(span);
                if !builder.take(event, span) {
                    return None;
                }
            }
            Err(error) => {
                builder.syntax(&error);
                return None;
            }
        }
    }
    let root = builder.root;
    match root {
        Some(Node { value: Value::Scalar { text, plain: true }, .. }) if classify(&text) == Plain::Null => {
            empty(sink)
        }
        None => empty(sink),
        root => root,
    }
}

fn empty(sink: &mut Sink) -> Option<Node> {
    sink.push(
        Diagnostic::new(Code::Empty, "", "the file holds nothing")
            .at(Span::default())
            .help("the smallest useful file has a listener, a backend and a route: see config/minimal.yaml"),
    );
    None
}

/// What a plain scalar of this text is.
pub(super) fn classify(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float,
        _ => {}
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits(unsigned) {
        return Plain::Integer;
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return if digits(octal) { Plain::Integer } else { Plain::Text };
    }
    if let Some(hex) = text.strip_prefix("0x") {
        let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return if is_hex { Plain::Integer } else { Plain::Text };
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Plain::Float;
    }
    // What is left of a float must look like one: `inf` and `nan` are texts to YAML.
    let float = unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.parse::<f64>().is_ok();
    if float { Plain::Float } else { Plain::Text }
}

// === impl Node ===

impl Node {
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }

    fn depth(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
        }
    }

    /// What the node is, for a message: "the number 5", "a list".
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Scalar { text, plain } => {
                let text = shorten(text);
                match if *plain { classify(&text) } else { Plain::Text } {
                    Plain::Null => "nothing".to_owned(),
                    Plain::Bool(value) => format!("`{value}`"),
                    Plain::Integer | Plain::Float => format!("the number {text}"),
                    Plain::Text => format!("the text `{text}`"),
                }
            }
        }
    }
}

/// At most 40 characters of a text, on one line.
pub(super) fn shorten(text: &str) -> String {
    let clean: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 40 { clean + "…" } else { clean }
}

/// Markers count characters; texts are cut by bytes.
struct Offsets(Option<Vec<usize>>, usize);

impl Offsets {
    fn new(text: &str) -> Self {
        let table = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self(table, text.len())
    }

    fn byte(&self, index: usize) -> usize {
        match &self.0 {
            Some(table) => table.get(index).copied().unwrap_or(self.1),
            None => index.min(self.1),
        }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        Span { start, end: self.byte(span.end.index()).max(start) }
    }
}

/// A map or list that is not at its end yet.
struct Frame {
    anchor: usize,
    start: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map { entries: Vec<(MapKey, Node)>, seen: HashMap<String, Span>, key: Option<MapKey> },
}

struct Builder<'a> {
    source: &'a Source,
    sink: &'a mut Sink,
    offsets: Offsets,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    documents: usize,
    root: Option<Node>,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn new(source: &'a Source, sink: &'a mut Sink) -> Self {
        Self {
            source,
            sink,
            offsets: Offsets::new(source.text()),
            stack: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            documents: 0,
            root: None,
        }
    }

    /// Takes an event; `false` stops reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::DocumentStart(_) => return self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                self.refuse_tag(tag.is_some(), span);
                return self
                    .add(Node { span, value: Value::Scalar { text: text.into_owned(), plain } }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                return self.open(anchor, span, FrameKind::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let kind = FrameKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                return self.open(anchor, span, kind);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else { return false };
                let value = match frame.kind {
                    FrameKind::List(items) => Value::List(items),
                    FrameKind::Map { entries, .. } => Value::Map(entries),
                };
                let end = span.end.max(frame.start);
                return self.add(Node { span: Span { start: frame.start, end }, value }, frame.anchor);
            }
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn document(&mut self, span: Span) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            self.error(
                Diagnostic::new(Code::SeveralDocuments, "", "a second YAML document begins here")
                    .help("a control file is one document: merge the two, or remove the `---`"),
                span,
            );
        }
        self.documents == 1
    }

    fn open(&mut self, anchor: usize, span: Span, kind: FrameKind) -> bool {
        self.stack.push(Frame { anchor, start: span.start, kind });
        self.check_depth(0, span)
    }

    fn check_depth(&mut self, further: usize, span: Span) -> bool {
        let fits = self.stack.len() + further <= MAX_DEPTH;
        if !fits {
            let message = format!("maps and lists are nested more than {MAX_DEPTH} deep");
            self.error(Diagnostic::new(Code::TooDeep, "", message), span);
        }
        fits
    }

    fn alias(&mut self, anchor: usize, span: Span) -> bool {
        let Some(node) = self.anchors.get(&anchor) else {
            self.error(
                Diagnostic::new(Code::AliasLimit, "", "an alias stands inside of what it names"),
                span,
            );
            return false;
        };
        let (count, depth) = (node.count(), node.depth());
        if !self.spend(count, span) || !self.check_depth(depth, span) {
            return false;
        }
        let Some(node) = self.anchors.get(&anchor).cloned() else { return false };
        // Places inside stay those of the anchor, where the text is.
        self.add(Node { span, ..node }, 0)
    }

    /// Counts nodes that exist because of anchors.
    fn spend(&mut self, nodes: usize, span: Span) -> bool {
        self.aliased = self.aliased.saturating_add(nodes);
        if self.aliased > MAX_ALIASED {
            let message = format!("anchors and aliases stand for more than {MAX_ALIASED} nodes");
            self.error(Diagnostic::new(Code::AliasLimit, "", message), span);
        }
        self.aliased <= MAX_ALIASED
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> bool {
        if anchor > 0 {
            let count = node.count();
            if !self.spend(count, node.span) {
                return false;
            }
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return true;
        };
        match &mut frame.kind {
            FrameKind::List(items) => items.push(node),
            FrameKind::Map { entries, seen, key } => match key.take() {
                Some(key) => {
                    // A duplicate is reported when its key is seen; the first value counts.
                    if seen.get(&key.text).is_some_and(|first| *first == key.span) {
                        entries.push((key, node));
                    }
                }
                None => self.key(node),
            },
        }
        true
    }

    fn key(&mut self, node: Node) {
        let span = node.span;
        let (text, taken) = match node.value {
            Value::Scalar { text, plain } => {
                let merge = plain && text == "<<";
                if merge {
                    let merge = Diagnostic::new(Code::YamlFeature, "", "merge keys are not supported");
                    self.error(merge.help("write the keys out, or use an alias for the whole value"), span);
                }
                (text, !merge)
            }
            _ => {
                self.error(Diagnostic::new(Code::YamlFeature, "", "a key must be plain text"), span);
                (String::new(), false)
            }
        };
        let Some(Frame { kind: FrameKind::Map { seen, key, .. }, .. }) = self.stack.last_mut() else {
            return;
        };
        if !taken {
            // A key that is not in `seen` loses its value in `add`.
            *key = Some(MapKey { text, span });
            return;
        }
        let first = *seen.entry(text.clone()).or_insert(span);
        *key = Some(MapKey { text, span });
        if first != span {
            let name = key.as_ref().map(|key| shorten(&key.text)).unwrap_or_default();
            let twice = Diagnostic::new(Code::DuplicateKey, "", format!("the key `{name}` stands twice"))
                .and(self.source.first_line(first), "first here");
            self.error(twice, span);
        }
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let message = "YAML tags (`!…`) are not supported";
            self.error(Diagnostic::new(Code::YamlFeature, "", message), span);
        }
    }

    fn error(&mut self, diagnostic: Diagnostic, span: Span) {
        self.sink.push(diagnostic.at(self.source.first_line(span)));
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = self.offsets.byte(error.marker().index());
        let (start, line) = self.source.line_at(at);
        // A line with a tab can be taken for more of a text on the line before, and complained about there.
        let tab = tab_in_indent(start, line).or_else(|| {
            let next = start + self.source.text()[start..].find('\n')? + 1;
            let (start, line) = self.source.line_at(next);
            tab_in_indent(start, line)
        });
        if let Some(tab) = tab {
            let diagnostic = Diagnostic::new(Code::Tab, "", "a tab indents this line");
            self.error(diagnostic.help("tabs are not allowed for indentation: YAML takes spaces only"), tab);
            return;
        }
        let mut diagnostic = Diagnostic::new(Code::Syntax, "", format!("not YAML: {}", error.info()));
        if line.contains("*.") {
            diagnostic = diagnostic.help("a text that begins with `*` needs quotes: `\"*.example.com\"`");
        } else if line.contains("[:") {
            diagnostic = diagnostic.help("an IPv6 address needs quotes: `\"[::1]:8080\"`");
        } else if line.contains("${") {
            diagnostic = diagnostic.help(VARIABLE);
        }
        let end = self.source.text()[at..].chars().next().map_or(at, |c| at + c.len_utf8());
        self.error(diagnostic, Span { start: at, end });
    }
}

/// The first tab before the text of a line that begins at `start`.
fn tab_in_indent(start: usize, line: &str) -> Option<Span> {
    let indent = &line[..line.len() - line.trim_start().len()];
    let tab = start + indent.find('\t').filter(|_| indent.len() < line.len())?;
    Some(Span { start: tab, end: tab + 1 })
}

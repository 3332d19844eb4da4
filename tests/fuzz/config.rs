//! Control files: whatever the text, a config or errors at places inside it; and what is taken survives the way back to a file.

use proptest::{prelude::*, sample::Index};
use weir::config::{self, Diagnostics, Look};

use super::engine::{Target, Verdict, hash_of};

const FULL: &str = include_str!("../../config/full.yaml");
const MINIMAL: &str = include_str!("../../config/minimal.yaml");
const PIECES: &[&str] = &[
    ":",
    ": ",
    "\n",
    "  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\t",
    "#",
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "\\",
    "${HOME}",
    "~",
    "null",
    "true",
    "-1",
    "0",
    "1e9",
    "99999999999999999999",
    "0s",
    "10ms",
    "1d",
    "100%",
    "0.00001%",
    "4GiB",
    "/",
    "*.",
    "::1",
    "10.0.0.0/33",
    "\u{feff}",
    "\u{0}",
    "\u{2028}",
    "ä",
    "<<: ",
    "? ",
    "---\n",
    "...\n",
    "name: ",
    "weight: ",
    "match: ",
    "any: ",
    "not: ",
    "segment: early",
    "split: ",
    "backend: stable",
    "tls: ",
    "regex: \"(a|\"",
    "listeners:\n",
];

#[test]
fn config() {
    Target { name: "config", grammar: grammar(), pieces: PIECES, judge: Box::new(judge) }.run();
}

/// The full example with lines lost, doubled, moved or indented otherwise; now and then anything at all.
fn grammar() -> BoxedStrategy<Vec<u8>> {
    let edits = prop::collection::vec((0..5_u8, any::<Index>(), any::<Index>()), 0..6);
    let lines = (any::<bool>(), edits).prop_map(|(full, edits)| {
        let text = if full { FULL } else { MINIMAL };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (kind, at, other) in edits {
            edit(&mut lines, kind, at, other);
        }
        lines.join("\n").into_bytes()
    });
    prop_oneof![8 => lines, 1 => any::<String>().prop_map(String::into_bytes)].boxed()
}

fn edit(lines: &mut Vec<String>, kind: u8, at: Index, other: Index) {
    if lines.is_empty() {
        return;
    }
    let (at, to) = (at.index(lines.len()), other.index(lines.len()));
    match kind {
        0 => drop(lines.remove(at)),
        1 => lines.insert(to, lines[at].clone()),
        2 => lines.swap(at, to),
        3 => lines[at].insert_str(0, "  "),
        _ => {
            let cut = lines[at].len() - lines[at].trim_start_matches("  ").len();
            lines[at].drain(..cut.min(2));
        }
    }
}

fn judge(bytes: &[u8]) -> Verdict {
    match config::parse_bytes(bytes, "any.yaml") {
        Ok(loaded) => {
            pointed(&loaded.warnings)?;
            let written = loaded.config.to_yaml();
            match config::parse(&written, "again.yaml") {
                Ok(again) if again.config == loaded.config => {}
                Ok(_) => return Err(format!("another config after the way back:\n{written}")),
                Err(errors) => {
                    return Err(format!(
                        "what it wrote is refused: {}\n{written}",
                        errors.render(Look::default())
                    ));
                }
            }
            Ok(hash_of(&("taken", codes(&loaded.warnings), written.lines().count() / 8)))
        }
        Err(errors) if errors.is_empty() => Err("refused without an error".to_owned()),
        Err(errors) => {
            pointed(&errors)?;
            Ok(hash_of(&codes(&errors)))
        }
    }
}

/// Every place is inside the text, and every form of the report can be made.
fn pointed(found: &Diagnostics) -> Result<(), String> {
    let text = found.source().text();
    for one in found.iter() {
        let spans = one.span.iter().chain(one.secondary.iter().map(|(span, _)| span));
        for span in spans {
            if span.start > span.end || span.end > text.len() {
                return Err(format!("{one:?} is not within {} bytes", text.len()));
            }
            if !text.is_char_boundary(span.start) || !text.is_char_boundary(span.end) {
                return Err(format!("{one:?} is within a character"));
            }
        }
        if let Some((start, end)) = found.position(one)
            && (start.line < 1 || start.column < 1 || end < start || start.line > text.lines().count() + 1)
        {
            return Err(format!("{one:?} is at {start:?}"));
        }
    }
    if found.is_empty() != found.render(Look { colour: true, ascii: true }).is_empty() {
        return Err("the drawing and the list differ".to_owned());
    }
    drop((found.to_json().to_string(), found.to_sarif().to_string(), found.summary()));
    Ok(())
}

fn codes(found: &Diagnostics) -> Vec<String> {
    let mut codes: Vec<String> = found.iter().map(|one| format!("{:?}", one.code)).collect();
    codes.sort();
    codes.dedup();
    codes
}

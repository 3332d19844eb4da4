//! Segments that use segments: no circles, and not too deep.
//!
//! Done without recursion over segments, so that a file of a hundred thousand segments in a chain is an error and no
//! overflow; after this check everyone else may recurse.

use std::collections::BTreeMap;

use crate::{
    config::{
        code::Code,
        decode::{Context, Referent},
        diagnostic::Diagnostic,
        model::{Condition, Config},
        source::{Span, join},
        yaml::MAX_DEPTH,
    },
    types::Name,
};

/// Circles that are reported at once; each costs a walk over all segments.
const MAX_CIRCLES: usize = 8;

/// The segments that a condition names, in order, some perhaps twice. Nesting of conditions is bounded by the reader.
pub(super) fn used_by(condition: &Condition) -> Vec<&Name> {
    match condition {
        Condition::All(inner) | Condition::Any(inner) => inner.iter().flat_map(used_by).collect(),
        Condition::Not(inner) => used_by(inner),
        Condition::Segment(name) => vec![name],
        _ => Vec::new(),
    }
}

pub(super) fn check(config: &Config, cx: &mut Context) {
    let mut open: BTreeMap<&Name, Vec<&Name>> = config
        .segments
        .iter()
        .map(|(name, condition)| {
            let mut used = used_by(condition);
            used.retain(|name| config.segments.contains_key(*name));
            (name, used)
        })
        .collect();
    let mut depth: BTreeMap<&Name, usize> = BTreeMap::new();
    for _ in 0..MAX_CIRCLES {
        settle(&mut open, &mut depth, cx);
        let Some(circle) = circle(&open) else { return };
        report(&circle, cx);
        for name in circle {
            open.remove(name);
            depth.insert(name, 0);
        }
    }
}

/// Takes out of `open` every segment whose own segments are all settled (Kahn 1962), and notes how deep it is.
fn settle<'c>(
    open: &mut BTreeMap<&'c Name, Vec<&'c Name>>,
    depth: &mut BTreeMap<&'c Name, usize>,
    cx: &mut Context,
) {
    let mut users: BTreeMap<&Name, Vec<&'c Name>> = BTreeMap::new();
    let mut waiting: BTreeMap<&'c Name, usize> = BTreeMap::new();
    let mut ready: Vec<&'c Name> = Vec::new();
    for (name, used) in open.iter() {
        let unsettled: Vec<_> = used.iter().filter(|used| open.contains_key(*used)).collect();
        unsettled.iter().for_each(|used| users.entry(used).or_default().push(name));
        waiting.insert(name, unsettled.len());
        if unsettled.is_empty() {
            ready.push(name);
        }
    }
    while let Some(name) = ready.pop() {
        let used = open.remove(name).unwrap_or_default();
        let deep = used.iter().filter_map(|used| depth.get(used)).max().map_or(0, |deepest| deepest + 1);
        depth.insert(name, deep);
        // Only the first one beyond the limit; those above it follow from it.
        if deep == MAX_DEPTH + 1 {
            let pointer = join("/segments", name.as_str());
            let message = format!("segment `{name}` uses others more than {MAX_DEPTH} deep");
            let span = cx.source.key_span(&pointer);
            cx.complain_at(Diagnostic::new(Code::SegmentDepth, &pointer, message), span);
        }
        for user in users.remove(name).unwrap_or_default() {
            if let Some(left) = waiting.get_mut(user) {
                *left -= 1;
                if *left == 0 {
                    ready.push(user);
                }
            }
        }
    }
}

/// A circle among segments of which each has at least one that is not settled.
fn circle<'c>(open: &BTreeMap<&'c Name, Vec<&'c Name>>) -> Option<Vec<&'c Name>> {
    let mut at: &'c Name = open.keys().next().copied()?;
    let mut path: Vec<&'c Name> = Vec::new();
    let mut seen: BTreeMap<&'c Name, usize> = BTreeMap::new();
    loop {
        if let Some(start) = seen.get(at) {
            return Some(path.split_off(*start));
        }
        seen.insert(at, path.len());
        path.push(at);
        at = open.get(at)?.iter().copied().find(|used| open.contains_key(*used))?;
    }
}

fn report(circle: &[&Name], cx: &mut Context) {
    let [first, ..] = circle else { return };
    let message = if circle.len() == 1 {
        format!("segment `{first}` uses itself")
    } else {
        let shown: Vec<String> = circle.iter().take(8).map(|name| format!("`{name}`")).collect();
        let dots = if circle.len() > 8 { " → …" } else { "" };
        format!("segments use each other in a circle: {}{dots} → `{first}`", shown.join(" → "))
    };
    let mut links = circle.iter().zip(circle.iter().cycle().skip(1)).take(8);
    let Some((from, to)) = links.next() else { return };
    let pointer = join("/segments", from.as_str());
    let span = link(cx, from, to);
    let mut diagnostic = Diagnostic::new(Code::SegmentCycle, &pointer, message);
    for (from, to) in links {
        let span = cx.source.first_line(link(cx, from, to));
        diagnostic = diagnostic.and(span, format!("`{from}` uses `{to}`"));
    }
    cx.complain_at(diagnostic.label(format!("`{from}` uses `{to}`")), span);
}

/// Where `from` names `to`.
fn link(cx: &Context, from: &Name, to: &Name) -> Span {
    let inside = join("/segments", from.as_str()) + "/";
    cx.references
        .iter()
        .find(|found| {
            found.to == Referent::Segment && found.name == *to && found.pointer.starts_with(&inside)
        })
        .map_or_else(|| cx.source.key_span(inside.trim_end_matches('/')), |found| found.span)
}

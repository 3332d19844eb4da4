//! Routes whose requests another route takes.
//!
//! A route's matches are taken apart into atoms: one host, one path, the same fields. Two atoms that are equal but for
//! the methods have the same precedence, so the one of the earlier route wins where it has all methods of the other. (A
//! match with methods beats one without, so those do not hide each other.) That finds what people do by copying a
//! route, and never claims what is not so: whether a regular expression covers another is not asked.

use std::collections::{BTreeSet, HashMap};

use crate::config::{
    code::Code,
    decode::Context,
    diagnostic::{Diagnostic, Severity},
    model::{Config, NamedMatch, Route},
};

/// Routes that are compared per equal atom, so that a file of twenty thousand copies stays quick to refuse.
const MAX_COMPARED: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Atom {
    what: String,
    methods: BTreeSet<String>,
}

pub(super) fn check(config: &Config, cx: &mut Context) {
    let mut before: HashMap<String, Vec<(usize, BTreeSet<String>)>> = HashMap::new();
    let atoms: Vec<BTreeSet<Atom>> = config.routes.iter().map(atoms).collect();
    for (index, mine) in atoms.iter().enumerate() {
        let takers: Vec<Option<usize>> = mine
            .iter()
            .map(|atom| {
                let earlier = before.get(&atom.what)?;
                earlier.iter().find(|(_, methods)| covers(methods, &atom.methods)).map(|(route, _)| *route)
            })
            .collect();
        if let Some(takers) = takers.into_iter().collect::<Option<BTreeSet<usize>>>() {
            report(config, index, &takers, &atoms, cx);
        }
        for atom in mine {
            let earlier = before.entry(atom.what.clone()).or_default();
            if earlier.len() < MAX_COMPARED {
                earlier.push((index, atom.methods.clone()));
            }
        }
    }
}

fn covers(earlier: &BTreeSet<String>, later: &BTreeSet<String>) -> bool {
    earlier.is_empty() == later.is_empty() && earlier.is_superset(later)
}

fn report(
    config: &Config,
    index: usize,
    takers: &BTreeSet<usize>,
    atoms: &[BTreeSet<Atom>],
    cx: &mut Context,
) {
    let place = |index: usize| format!("/routes/{index}/match");
    let name = |index: usize| config.routes.get(index).map(|route| route.name.as_str()).unwrap_or_default();
    let same = takers.iter().copied().find(|taker| atoms.get(*taker) == atoms.get(index));
    let diagnostic = match same {
        Some(other) => {
            let message =
                format!("routes `{}` and `{}` match exactly the same requests", name(other), name(index));
            Diagnostic::new(Code::SameMatch, &place(index), message)
                .help("make one of them match less, or remove it")
        }
        None => {
            let message = format!("route `{}` gets no requests: routes before it take them all", name(index));
            Diagnostic::new(Code::ShadowedRoute, &place(index), message)
        }
    };
    if diagnostic.severity() == Severity::Warning && cx.sink.has_errors() {
        return;
    }
    let others = same.map_or_else(|| takers.iter().copied().take(4).collect(), |other| vec![other]);
    let diagnostic = others.into_iter().fold(diagnostic, |diagnostic, other| {
        diagnostic.and(cx.source.span(&place(other)), format!("taken by `{}`", name(other)))
    });
    cx.complain(diagnostic);
}

fn atoms(route: &Route) -> BTreeSet<Atom> {
    let mut atoms = BTreeSet::new();
    for one in &route.matches {
        let fields: Vec<BTreeSet<String>> =
            [(&one.headers, true), (&one.query, false), (&one.cookies, false)]
                .into_iter()
                .map(|(named, any_case)| named.iter().map(|named| field(named, any_case)).collect())
                .collect();
        let hosts: Vec<Option<&String>> =
            if one.hosts.is_empty() { vec![None] } else { one.hosts.iter().map(Some).collect() };
        for host in hosts {
            atoms.insert(Atom {
                what: format!("{:?} {host:?} {:?} {fields:?}", one.scheme, one.path),
                methods: one.methods.iter().cloned().collect(),
            });
        }
    }
    atoms
}

fn field(named: &NamedMatch, any_case: bool) -> String {
    let name = if any_case { named.name.to_ascii_lowercase() } else { named.name.clone() };
    format!("{name:?} {:?}", named.value)
}

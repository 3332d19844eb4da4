//! What the file as a whole must mean: names that exist, splits that can be drawn, matches that do not collide.
//!
//! Errors come first, over everything at once; warnings only about a file without errors, since what looks unused may be
//! used by the part that could not be read.

mod admin;
mod cors;
mod gates;
mod jwt;
mod overlap;
mod policy;
mod protocols;
mod resilience;
mod rollout;
mod segments;
mod sockets;
mod splits;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use super::{
    code::Code,
    decode::{Context, Referent},
    diagnostic::Diagnostic,
    model::{Condition, Config, PathMatch, RolloutPlan, Route},
    source::Span,
    suggest,
};
use crate::types::{Address, Fraction, Name};

/// Checks the whole of `config`.
pub(super) fn check(config: &Config, cx: &mut Context) {
    let decoded = !cx.sink.has_errors();
    references(cx);
    names(config, cx);
    addresses(config, cx);
    admin::check(config, cx);
    segments::check(config, cx);
    splits::check(config, cx);
    resilience::check(config, cx);
    protocols::check(config, cx);
    sockets::check(config, cx);
    policy::check(config, cx);
    cors::check(config, cx);
    jwt::check(config, cx);
    rollout::check(config, cx);
    // Replacements of what could not be read look alike; only a file that was read whole has real overlaps.
    if decoded {
        overlap::check(config, cx);
    }
    if !cx.sink.has_errors() {
        unused(config, cx);
        resilience::shields(config, cx);
        cors::preflights(config, cx);
        unreachable_rules(config, cx);
        protocols::warn(config, cx);
        rollout::warn(config, cx);
    }
}

/// Checks a plan that stands alone.
pub(super) fn plan((plan, route): (&RolloutPlan, &Route), config: &Config, cx: &mut Context) {
    references(cx);
    rollout::plan((plan, route), "", cx);
    rollout::alone((plan, route), config, cx);
    if !cx.sink.has_errors() {
        rollout::odd(plan, "", cx);
    }
}

impl Context {
    /// Reports about the value at `diagnostic.pointer`, unless something was reported there already.
    fn complain(&mut self, diagnostic: Diagnostic) {
        let span = self.source.span(&diagnostic.pointer);
        self.complain_at(diagnostic, span);
    }

    fn complain_at(&mut self, diagnostic: Diagnostic, span: Span) {
        if !self.is_wrong(&diagnostic.pointer) {
            self.sink.push(diagnostic.at(self.source.first_line(span)));
        }
    }
}

fn references(cx: &mut Context) {
    for reference in std::mem::take(&mut cx.references) {
        let (known, code, what, all) = match reference.to {
            Referent::Backend => (&cx.backends, Code::UnknownBackend, "backend", "/backends"),
            Referent::Segment => (&cx.segments, Code::UnknownSegment, "segment", "/segments"),
            Referent::JwtProvider => (&cx.jwt_providers, Code::UnknownJwtProvider, "jwt provider", "/jwt"),
            Referent::Notification => {
                (&cx.notifications, Code::UnknownNotification, "notification", "/notifications")
            }
        };
        // Without a readable list of names no name can be called unknown.
        if !known.contains(reference.name.as_str()) && !cx.is_wrong(all) {
            let mut diagnostic =
                Diagnostic::new(code, &reference.pointer, format!("there is no {what} `{}`", reference.name));
            if !cx.sink.is_full() {
                let near = suggest::nearest(reference.name.as_str(), known.iter().map(String::as_str));
                diagnostic.help = near.map(|near| format!("did you mean `{near}`?"));
            }
            cx.complain_at(diagnostic, reference.span);
        }
        cx.references.push(reference);
    }
}

/// Reports every key that was seen before, pointing to both places.
fn unique<K: Eq + Hash>(cx: &mut Context, code: Code, items: impl Iterator<Item = (K, String, String)>) {
    let mut seen: HashMap<K, String> = HashMap::new();
    for (key, pointer, message) in items {
        match seen.get(&key) {
            Some(first) if !cx.is_wrong(first) => {
                let mut twice = Diagnostic::new(code, &pointer, message);
                if cx.source.has(first) {
                    twice = twice.label("again here").and(cx.source.span(first), "first here");
                }
                cx.complain(twice);
            }
            Some(_) => {}
            None => {
                seen.insert(key, pointer);
            }
        }
    }
}

fn names(config: &Config, cx: &mut Context) {
    let listeners = config.listeners.iter().enumerate().map(|(index, listener)| {
        let name = &listener.name;
        (name, format!("/listeners/{index}/name"), format!("two listeners are called `{name}`"))
    });
    unique(cx, Code::DuplicateName, listeners);
    let routes = config.routes.iter().enumerate().map(|(index, route)| {
        (&route.name, format!("/routes/{index}/name"), format!("two routes are called `{}`", route.name))
    });
    unique(cx, Code::DuplicateName, routes);
    for (index, route) in config.routes.iter().enumerate() {
        let rules = route.rules.iter().enumerate().map(|(at, rule)| {
            let name = &rule.name;
            let message = format!("two rules of route `{}` are called `{name}`", route.name);
            (name, format!("/routes/{index}/rules/{at}/name"), message)
        });
        unique(cx, Code::DuplicateName, rules);
    }
}

fn addresses(config: &Config, cx: &mut Context) {
    let admin = config.admin.bind;
    let binds = config.listeners.iter().enumerate();
    let binds = binds.map(|(index, listener)| (listener.bind.clone(), format!("/listeners/{index}/bind")));
    let all = std::iter::once((Address::Tcp(admin), "/admin/bind".to_owned())).chain(binds);
    let is_default = !cx.source.has("/admin/bind");
    // Port 0 takes a free port each time.
    let fixed = all.filter(|(bind, _)| bind.tcp().is_none_or(|address| address.port() != 0));
    let fixed = fixed.map(|(bind, pointer)| {
        let message = if bind == Address::Tcp(admin) && is_default {
            format!("the admin API binds {bind} too, which is the default of `admin.bind`")
        } else if bind == Address::Tcp(admin) {
            format!("the admin API binds {bind} too")
        } else {
            format!("two listeners bind {bind}")
        };
        (bind, pointer, message)
    });
    unique(cx, Code::DuplicateBind, fixed);
    for (name, backend) in &config.backends {
        let endpoints = backend.endpoints.iter().enumerate().map(|(index, endpoint)| {
            let target = &endpoint.target;
            let pointer = format!("/backends/{name}/endpoints/{index}/{}", target.key());
            (target, pointer, format!("backend `{name}` has the endpoint {target} twice"))
        });
        unique(cx, Code::DuplicateEndpoint, endpoints);
    }
}

// === warnings ===

fn unused(config: &Config, cx: &mut Context) {
    let used = |to: Referent| -> BTreeSet<Name> {
        cx.references
            .iter()
            .filter(|reference| reference.to == to)
            .map(|reference| reference.name.clone())
            .collect()
    };
    let (backends, segments) = (used(Referent::Backend), used(Referent::Segment));
    let providers = used(Referent::JwtProvider);
    let notifications = used(Referent::Notification);
    for name in config.notifications.keys().filter(|name| !notifications.contains(*name)) {
        warn(
            cx,
            Code::UnusedNotification,
            &format!("/notifications/{name}"),
            format!("no rollout notifies `{name}`"),
        );
    }
    for name in config.backends.keys().filter(|name| !backends.contains(*name)) {
        warn(
            cx,
            Code::UnusedBackend,
            &format!("/backends/{name}"),
            format!("no route uses the backend `{name}`"),
        );
    }
    for name in config.jwt.keys().filter(|name| !providers.contains(*name)) {
        warn(
            cx,
            Code::UnusedJwtProvider,
            &format!("/jwt/{name}"),
            format!("no route verifies tokens of `{name}`"),
        );
    }
    for name in config.segments.keys().filter(|name| !segments.contains(*name)) {
        warn(
            cx,
            Code::UnusedSegment,
            &format!("/segments/{name}"),
            format!("nothing uses the segment `{name}`"),
        );
    }
}

fn warn(cx: &mut Context, code: Code, pointer: &str, message: String) {
    let span = cx.source.key_span(pointer);
    cx.complain_at(Diagnostic::new(code, pointer, message), span);
}

fn unreachable_rules(config: &Config, cx: &mut Context) {
    let always = always_true(config);
    for (index, route) in config.routes.iter().enumerate() {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut catch_all = None;
        for (at, rule) in route.rules.iter().enumerate() {
            let pointer = format!("/routes/{index}/rules/{at}");
            let same = seen.get(&format!("{:?}", rule.condition)).copied();
            if let Some(before) = catch_all.or(same) {
                let message = format!("rule `{}` is never reached", rule.name);
                let why =
                    if catch_all.is_some() { "this rule always applies" } else { "this rule applies first" };
                let before = cx.source.span(&format!("/routes/{index}/rules/{before}/match"));
                let unreachable = Diagnostic::new(Code::UnreachableRule, &pointer, message);
                let span = cx.source.span(&format!("{pointer}/match"));
                cx.complain_at(unreachable.and(before, why), span);
                continue;
            }
            seen.insert(format!("{:?}", rule.condition), at);
            if holds(&rule.condition, &always) == Some(true) {
                catch_all = Some(at);
            }
        }
    }
}

/// For each segment whether it always or never holds, where that can be told. Segments are few levels deep and have no
/// cycles here: both are errors.
fn always_true(config: &Config) -> BTreeMap<&Name, Option<bool>> {
    let mut known = BTreeMap::new();
    for name in config.segments.keys() {
        settle(name, config, &mut known);
    }
    known
}

fn settle<'c>(name: &'c Name, config: &'c Config, known: &mut BTreeMap<&'c Name, Option<bool>>) {
    if known.contains_key(name) {
        return;
    }
    let Some(condition) = config.segments.get(name) else { return };
    for inner in segments::used_by(condition) {
        settle(inner, config, known);
    }
    let value = holds(condition, known);
    known.insert(name, value);
}

/// Whether `condition` holds for every request, or for none; `None` when it depends.
fn holds(condition: &Condition, segments: &BTreeMap<&Name, Option<bool>>) -> Option<bool> {
    let each = |inner: &[Condition]| inner.iter().map(|c| holds(c, segments)).collect::<Vec<_>>();
    match condition {
        Condition::All(inner) => match each(inner) {
            each if each.contains(&Some(false)) => Some(false),
            each if each.iter().all(|value| *value == Some(true)) => Some(true),
            _ => None,
        },
        Condition::Any(inner) => match each(inner) {
            each if each.contains(&Some(true)) => Some(true),
            each if each.iter().all(|value| *value == Some(false)) => Some(false),
            _ => None,
        },
        Condition::Not(inner) => holds(inner, segments).map(|value| !value),
        Condition::Path(PathMatch::Prefix(prefix)) if prefix == "/" => Some(true),
        Condition::Segment(name) => segments.get(name).copied().flatten(),
        Condition::ClientIp(nets) => {
            let all = |v4: bool| nets.iter().any(|net| net.prefix_len() == 0 && net.addr().is_ipv4() == v4);
            (all(true) && all(false)).then_some(true)
        }
        Condition::Fraction { share, .. } if share.buckets() == 0 => Some(false),
        Condition::Fraction { share, .. } if Fraction::from_percent(100.0) == Some(*share) => Some(true),
        _ => None,
    }
}

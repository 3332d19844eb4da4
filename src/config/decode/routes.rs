//! Routes, rules and splits.

use super::{
    Context, Referent,
    conditions::{any_of, contradiction, named_matches, path_match},
    jwt::route_jwt,
    policy::{policy, scheme},
    reader::{self, Object, Place},
    resilience, rollout,
    value::FromValue,
};
use crate::{
    config::{
        keys::{KEY_SOURCE, Kind, SHARE, SPLIT, SPLIT_BACKEND, STICKY, STICKY_COOKIE, Scalar, TIMEOUTS},
        model::{
            KeySource, Route, RouteMatch, Rule, SameSite, Split, SplitBackend, Sticky, StickyCookie, Target,
            Timeouts,
        },
        source::{Span, join},
        yaml::Value,
    },
    types::{BackendState, Name, OnUnavailable, StickyMode, Weight},
};

pub(super) fn route(mut object: Object<'_>, cx: &mut Context) -> Route {
    let name: Name = object.get(cx, "name");
    let mut matches: Vec<RouteMatch> =
        object.objects(cx, "match").into_iter().map(|object| route_match(object, cx)).collect();
    if matches.is_empty() {
        matches.push(RouteMatch::default());
    }
    let rules = object.objects(cx, "rules");
    let rules = rules.into_iter().enumerate().map(|(index, object)| rule(object, index, cx)).collect();
    let backend = object.child(cx, "backend");
    let policy = policy(&mut object, cx);
    let split = match (object.object(cx, "split"), backend) {
        (Some(inner), _) => split(inner, &name, cx),
        (None, Some(backend)) => whole(&backend, &object.pointer, &name, cx),
        (None, None) if policy.answer.is_some() => nobody(&object, &name, cx),
        (None, None) => split(Object::blank(&SPLIT, &join(&object.pointer, "split"), object.span), &name, cx),
    };
    let mut timeouts = object.object_or_default(cx, "timeouts", &TIMEOUTS);
    let jwt = object.object(cx, "jwt").map(|jwt| route_jwt(jwt, cx));
    Route {
        name,
        matches,
        rules,
        split,
        retry: object.object(cx, "retry").map(|retry| resilience::retry(retry, cx)),
        shield: object.get(cx, "shield"),
        timeouts: Timeouts {
            connect: timeouts.get(cx, "connect"),
            response_headers: timeouts.get(cx, "response_headers"),
            stream_idle: timeouts.get(cx, "stream_idle"),
            tunnel_idle: timeouts.get(cx, "tunnel_idle"),
        },
        rollout: object.object(cx, "rollout").map(|plan| Box::new(rollout::plan(plan, cx))),
        policy,
        jwt,
    }
}

fn route_match(mut object: Object<'_>, cx: &mut Context) -> RouteMatch {
    RouteMatch {
        scheme: scheme(&mut object, cx),
        hosts: object.list(cx, "hosts"),
        path: object.object(cx, "path").map(|path| path_match(path, cx)),
        methods: object.list(cx, "method"),
        headers: named_matches(&mut object, cx, "header"),
        query: named_matches(&mut object, cx, "query"),
        cookies: named_matches(&mut object, cx, "cookie"),
    }
}

fn rule(mut object: Object<'_>, index: usize, cx: &mut Context) -> Rule {
    let name = object.opt(cx, "name").unwrap_or_else(|| {
        Name::new(&format!("rule-{}", index + 1)).expect("letters, a dash and digits make a name")
    });
    let condition = any_of(&object.items(cx, "match"), cx);
    let backend = object.opt_reference(cx, "backend", Referent::Backend);
    let target = match (object.child(cx, "split"), backend) {
        (Some(place), _) => Target::Split(
            shares(&place, cx, false).into_iter().map(|share| (share.name, share.weight)).collect(),
        ),
        (None, Some(backend)) => Target::Backend(backend),
        (None, None) => Target::Backend(Name::fallback(object.span.start)),
    };
    Rule { name, condition, target }
}

/// `backend: NAME` in place of a split.
fn whole(place: &Place<'_>, route: &str, name: &Name, cx: &mut Context) -> Split {
    let share = Place { node: place.node, pointer: format!("{route}/split/backends/0/name") };
    for pointer in ["/split", "/split/backends", "/split/backends/0", "/split/backends/0/name"] {
        cx.places.note(&format!("{route}{pointer}"), None, place.node.span);
    }
    let span = place.node.span;
    let backend: Name = reader::scalar(cx, &share, &Kind::Scalar(Scalar::Name));
    cx.refer(Referent::Backend, &backend, &share.pointer, span);
    let mut split = split(Object::blank(&SPLIT, &format!("{route}/split"), span), name, cx);
    split.backends = vec![SplitBackend { name: backend, weight: Weight::of(1), state: BackendState::Active }];
    split.sticky.mode = StickyMode::None;
    split
}

/// The split of a route that answers itself.
fn nobody(object: &Object<'_>, name: &Name, cx: &mut Context) -> Split {
    let mut split = split(Object::blank(&SPLIT, &join(&object.pointer, "split"), object.span), name, cx);
    split.sticky.mode = StickyMode::None;
    split
}

fn split(mut object: Object<'_>, route: &Name, cx: &mut Context) -> Split {
    let key = object.child(cx, "key");
    let none = key
        .as_ref()
        .filter(|place| matches!(&place.node.value, Value::Scalar { text, .. } if text == "none"));
    let sources = match &key {
        Some(place) if none.is_none() => key_sources(place, cx),
        _ => Vec::new(),
    };
    let backends = object.child(cx, "backends").map(|place| shares(&place, cx, true)).unwrap_or_default();
    let sticky = object.object_or_default(cx, "sticky", &STICKY);
    let wants_mode = sticky.has("mode");
    let mut sticky = self::sticky(sticky, cx);
    if let Some(place) = none {
        if wants_mode && sticky.mode != StickyMode::None {
            let message = format!("`key: none` contradicts `mode: {}`", sticky.mode.as_str());
            contradiction(cx, &place.pointer, &message, place.node.span);
        }
        sticky.mode = StickyMode::None;
    }
    Split {
        key: sources,
        salt: object.opt(cx, "salt").unwrap_or_else(|| route.to_string()),
        backends,
        sticky,
        on_unavailable: match object.word(cx, "on_unavailable") {
            "fail" => OnUnavailable::Fail,
            _ => OnUnavailable::Fallback,
        },
    }
}

fn key_sources(place: &Place<'_>, cx: &mut Context) -> Vec<KeySource> {
    let Some(Kind::Either([_, list])) = SPLIT.key("key").map(|key| &key.kind) else { return Vec::new() };
    let places = reader::items(cx, place, list);
    places.iter().filter_map(|place| key_source(place, cx)).collect()
}

fn key_source(place: &Place<'_>, cx: &mut Context) -> Option<KeySource> {
    match &place.node.value {
        Value::Scalar { .. } => {
            reader::word(cx, place, &["client_ip"], ("split", "key")).map(|_| KeySource::ClientIp)
        }
        _ => {
            let mut object = Object::open(cx, place, &KEY_SOURCE);
            let header = object.opt(cx, "header").map(KeySource::Header);
            let cookie = object.opt(cx, "cookie").map(KeySource::Cookie);
            let jwt = object.opt(cx, "jwt").map(KeySource::Jwt);
            header.or(cookie).or(jwt)
        }
    }
}

/// The shares of a split: a list of maps, or a map from backends to weights. Only a route's split has states.
fn shares(place: &Place<'_>, cx: &mut Context, states: bool) -> Vec<SplitBackend> {
    let (owner, key) = if states { (&SPLIT, "backends") } else { (&crate::config::keys::RULE, "split") };
    let Some(Kind::Either(forms @ [map, list])) = owner.key(key).map(|key| &key.kind) else {
        return Vec::new();
    };
    match &place.node.value {
        Value::Map(_) => {
            let entries = reader::entries(cx, place, map);
            let numbered = entries.into_iter().enumerate();
            numbered.map(|(index, (name, inner))| short_share(place, index, (name, inner), cx)).collect()
        }
        Value::List(_) => reader::items(cx, place, list)
            .iter()
            .map(|place| {
                let mut object = Object::open(cx, place, if states { &SPLIT_BACKEND } else { &SHARE });
                SplitBackend {
                    name: object.reference(cx, "name", Referent::Backend),
                    weight: object.get(cx, "weight"),
                    state: if states { state(object.word(cx, "state")) } else { BackendState::Active },
                }
            })
            .collect(),
        Value::Scalar { .. } => {
            reader::wrong_type(cx, place, &Kind::Either(forms));
            Vec::new()
        }
    }
}

/// `stable: 95`: in canonical form `- { name: stable, weight: 95 }`.
fn short_share(
    split: &Place<'_>,
    index: usize,
    (name, share): (Name, Place<'_>),
    cx: &mut Context,
) -> SplitBackend {
    let pointer = format!("{}/{index}", split.pointer);
    let key: Span = match &split.node.value {
        Value::Map(entries) => entries.get(index).map_or(share.node.span, |(key, _)| key.span),
        _ => share.node.span,
    };
    let whole = Span { start: key.start, end: share.node.span.end };
    cx.places.note(&pointer, Some(key), whole);
    let name_pointer = format!("{pointer}/name");
    cx.places.note(&name_pointer, None, key);
    if cx.is_wrong(&share.pointer) {
        cx.mark_wrong(&pointer);
    }
    cx.refer(Referent::Backend, &name, &name_pointer, key);
    let weight = Place { node: share.node, pointer: format!("{pointer}/weight") };
    cx.places.note(&weight.pointer, None, share.node.span);
    let weight = reader::scalar(cx, &weight, &Kind::Scalar(Scalar::Weight));
    SplitBackend { name, weight, state: BackendState::Active }
}

fn state(word: &str) -> BackendState {
    match word {
        "drain" => BackendState::Drain,
        "off" => BackendState::Off,
        _ => BackendState::Active,
    }
}

fn sticky(mut object: Object<'_>, cx: &mut Context) -> Sticky {
    let cookie = match object.child(cx, "cookie") {
        Some(place) if matches!(place.node.value, Value::Scalar { .. }) => {
            reader::word(cx, &place, &["off"], ("sticky", "cookie"));
            None
        }
        Some(place) => Some(sticky_cookie(Object::open(cx, &place, &STICKY_COOKIE), cx)),
        None => {
            let pointer = join(&object.pointer, "cookie");
            Some(sticky_cookie(Object::blank(&STICKY_COOKIE, &pointer, object.span), cx))
        }
    };
    Sticky {
        mode: match object.word(cx, "mode") {
            "pin" => StickyMode::Pin,
            "none" => StickyMode::None,
            _ => StickyMode::Bucket,
        },
        cookie,
        max_age: object.get(cx, "max_age"),
    }
}

fn sticky_cookie(mut object: Object<'_>, cx: &mut Context) -> StickyCookie {
    StickyCookie {
        name: object.get(cx, "name"),
        same_site: match object.word(cx, "same_site") {
            "strict" => SameSite::Strict,
            "none" => SameSite::None,
            _ => SameSite::Lax,
        },
        path: object.get(cx, "path"),
        domain: object.opt(cx, "domain"),
        secure: object.opt(cx, "secure"),
    }
}

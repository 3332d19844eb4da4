//! Conditions, and what they and routes share: named values and paths.

use super::{
    Context, Referent,
    jwt::claim_matches,
    reader::{self, Object, Place},
    value::FromValue,
};
use crate::{
    config::{
        code::Code,
        diagnostic::Diagnostic,
        keys::{CONDITION, FRACTION, Kind, Scalar},
        model::{Condition, NamedMatch, PathMatch, ValueMatch},
        yaml::Value,
    },
    types::Fraction,
};

/// Several keys are all of them; a list within a key is all of it too.
pub(super) fn condition(place: &Place<'_>, cx: &mut Context) -> Condition {
    let mut object = Object::open(cx, place, &CONDITION);
    let mut all = Vec::new();
    for (key, build) in [("all", Condition::All as fn(_) -> _), ("any", Condition::Any)] {
        let given = object.has(key);
        let inner = conditions(&mut object, cx, key);
        if given {
            all.push(build(inner));
        }
    }
    if let Some(inner) = object.child(cx, "not") {
        all.push(Condition::Not(Box::new(condition(&inner, cx))));
    }
    for (key, build) in [
        ("header", Condition::Header as fn(_) -> _),
        ("cookie", Condition::Cookie),
        ("query", Condition::Query),
    ] {
        all.extend(named_matches(&mut object, cx, key).into_iter().map(build));
    }
    all.extend(claim_matches(&mut object, cx, "jwt").into_iter().map(Condition::Jwt));
    if object.has("method") {
        all.push(Condition::Method(object.list(cx, "method")));
    }
    if let Some(path) = object.object(cx, "path") {
        all.push(Condition::Path(path_match(path, cx)));
    }
    if let Some(segment) = object.opt_reference(cx, "segment", Referent::Segment) {
        all.push(Condition::Segment(segment));
    }
    if object.has("region") {
        all.push(Condition::Region(object.list(cx, "region")));
    }
    if object.has("client_ip") {
        all.push(Condition::ClientIp(object.list(cx, "client_ip")));
    }
    if let Some(place) = object.child(cx, "fraction") {
        all.push(fraction(&place, cx));
    }
    // A key that is absent still counts as read.
    for key in ["method", "region", "client_ip"] {
        object.child(cx, key);
    }
    if all.len() == 1 { all.remove(0) } else { Condition::All(all) }
}

fn conditions(object: &mut Object<'_>, cx: &mut Context, key: &str) -> Vec<Condition> {
    object.items(cx, key).iter().map(|place| condition(place, cx)).collect()
}

/// A rule's `match`: one condition, or a list of which any may hold.
pub(super) fn any_of(places: &[Place<'_>], cx: &mut Context) -> Condition {
    match places {
        [one] => condition(one, cx),
        several => Condition::Any(several.iter().map(|place| condition(place, cx)).collect()),
    }
}

fn fraction(place: &Place<'_>, cx: &mut Context) -> Condition {
    match &place.node.value {
        Value::Map(_) => {
            let mut object = Object::open(cx, place, &FRACTION);
            Condition::Fraction { share: object.get(cx, "percent"), salt: object.opt(cx, "salt") }
        }
        Value::Scalar { .. } => {
            // In canonical form the share stands in `percent`.
            let inner = Place { node: place.node, pointer: format!("{}/percent", place.pointer) };
            cx.places.note(&inner.pointer, None, place.node.span);
            Condition::Fraction {
                share: reader::scalar(cx, &inner, &Kind::Scalar(Scalar::Percent)),
                salt: None,
            }
        }
        Value::List(_) => {
            reader::wrong_type(cx, place, &Kind::Scalar(Scalar::Percent));
            Condition::Fraction { share: Fraction::fallback(0), salt: None }
        }
    }
}

pub(super) fn named_matches(object: &mut Object<'_>, cx: &mut Context, key: &str) -> Vec<NamedMatch> {
    object.objects(cx, key).into_iter().map(|named| named_match(named, cx)).collect()
}

fn named_match(mut object: Object<'_>, cx: &mut Context) -> NamedMatch {
    NamedMatch { name: object.get(cx, "name"), value: value_match(&mut object, cx) }
}

pub(super) fn value_match(object: &mut Object<'_>, cx: &mut Context) -> ValueMatch {
    // `present: true` is what there is without any of these.
    let _: Option<bool> = object.opt(cx, "present");
    let exact = object.opt(cx, "exact").map(ValueMatch::Exact);
    let prefix = object.opt(cx, "prefix").map(ValueMatch::Prefix);
    let contains = object.opt(cx, "contains").map(ValueMatch::Contains);
    let regex = object.opt(cx, "regex").map(ValueMatch::Regex);
    let has_list = object.has("in");
    let list = object.list(cx, "in");
    let among = has_list.then_some(ValueMatch::In(list));
    exact.or(among).or(prefix).or(contains).or(regex).unwrap_or(ValueMatch::Present)
}

pub(super) fn path_match(mut object: Object<'_>, cx: &mut Context) -> PathMatch {
    let exact = object.opt(cx, "exact").map(PathMatch::Exact);
    let prefix = object.opt(cx, "prefix").map(PathMatch::Prefix);
    let regex = object.opt(cx, "regex").map(PathMatch::Regex);
    exact.or(prefix).or(regex).unwrap_or_else(|| PathMatch::Prefix("/".to_owned()))
}

/// Complains about keys that contradict each other.
pub(super) fn contradiction(
    cx: &mut Context,
    pointer: &str,
    message: &str,
    span: crate::config::source::Span,
) {
    cx.report(Diagnostic::new(Code::Choice, pointer, message), span);
}

//! Rollout plans: what the file says, on top of what its preset says.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    Context, Referent, gates, notify,
    reader::{self, Object, Place},
    top::number,
};
use crate::config::{
    code::Code,
    diagnostic::Diagnostic,
    keys::{ANALYSIS, APPROVAL, BLAST_RADIUS, Kind, Scalar},
    model::rollout::{Analysis, Approval, BlastRadius, Gate, RolloutPlan, Step},
    rollout_presets,
    source::join,
    yaml::Value,
};
use crate::types::{Fraction, Name, Role};

/// How long a plan may take that says nothing of it.
const DEADLINE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn plan(mut object: Object<'_>, cx: &mut Context) -> RolloutPlan {
    let preset = rollout_presets::preset(object.word(cx, "preset"));
    let written: Vec<Step> =
        object.objects(cx, "steps").into_iter().map(|step| self::step(step, cx)).collect();
    let is_given =
        object.has("steps") || object.has("preset") || object.is_meant("steps") || object.is_meant("preset");
    if !is_given && !cx.is_wrong(&object.pointer) {
        let pointer = join(&object.pointer, "steps");
        let none = Diagnostic::new(Code::NoSteps, &pointer, "the rollout has neither `steps` nor a `preset`");
        cx.report(
            none.help("add `preset: standard`, or steps such as `- { weight: 5, hold: 5m }`"),
            object.span,
        );
    }
    let preset_gates = preset.as_ref().map(|_| rollout_presets::gates());
    let deadline = preset.as_ref().and_then(|preset| preset.deadline);
    let steps =
        if object.has("steps") { written } else { preset.map(|preset| preset.steps).unwrap_or_default() };
    let analysis = object.object_or_default(cx, "analysis", &ANALYSIS);
    let blast_radius = object.object_or_default(cx, "blast_radius", &BLAST_RADIUS);
    RolloutPlan {
        baseline: object.reference(cx, "baseline", Referent::Backend),
        canary: object.reference(cx, "canary", Referent::Backend),
        version: object.opt(cx, "version"),
        start: of_word(object.word(cx, "start")),
        on_new_version: of_word(object.word(cx, "on_new_version")),
        group: object.opt(cx, "group"),
        steps,
        analysis: self::analysis(analysis, preset_gates, cx),
        blast_radius: self::blast_radius(blast_radius, cx),
        on_failure: of_word(object.word(cx, "on_failure")),
        deadline: object.opt(cx, "deadline").or(deadline).unwrap_or(DEADLINE),
        keep_baseline: object.get(cx, "keep_baseline"),
        freeze: object.objects(cx, "freeze").into_iter().map(|freeze| notify::freeze(freeze, cx)).collect(),
        hooks: notify::hooks(object.objects(cx, "hooks"), cx),
        notify: references(&mut object, cx, "notify", Referent::Notification),
    }
}

/// The names of a list, noted as references.
fn references(object: &mut Object<'_>, cx: &mut Context, key: &str, to: Referent) -> Vec<Name> {
    let places = object.items(cx, key);
    let named = places.iter().map(|place| {
        let name: Name = reader::scalar(cx, place, &Kind::Scalar(Scalar::Name));
        cx.refer(to, &name, &place.pointer, place.node.span);
        name
    });
    named.collect()
}

/// What a word of the table means; the words are those by which the model is stored.
pub(super) fn of_word<T: DeserializeOwned + Default>(word: &str) -> T {
    serde_json::from_value(word.into()).unwrap_or_default()
}

fn step(mut object: Object<'_>, cx: &mut Context) -> Step {
    Step {
        weight: object.opt(cx, "weight"),
        segments: references(&mut object, cx, "segment", Referent::Segment),
        regions: object.list(cx, "region"),
        mirror: object.opt(cx, "mirror"),
        hold: object.get(cx, "hold"),
        bake: object.get(cx, "bake"),
        approval: object.child(cx, "approval").map(|place| approval(&place, cx)),
    }
}

fn approval(place: &Place<'_>, cx: &mut Context) -> Approval {
    let mut object = match &place.node.value {
        Value::Scalar { .. } => {
            let _: bool = reader::scalar(cx, place, &Kind::Scalar(Scalar::True));
            Object::blank(&APPROVAL, &place.pointer, place.node.span)
        }
        _ => Object::open(cx, place, &APPROVAL),
    };
    let places = object.items(cx, "roles");
    let words = places
        .iter()
        .filter_map(|place| reader::word(cx, place, &["operator", "admin"], ("approval", "roles")));
    let mut roles: Vec<Role> = words.filter_map(Role::of).collect();
    if roles.is_empty() {
        roles.push(Role::Operator);
    }
    Approval { roles, timeout: object.get(cx, "timeout"), on_timeout: of_word(object.word(cx, "on_timeout")) }
}

fn analysis(mut object: Object<'_>, preset: Option<Vec<Gate>>, cx: &mut Context) -> Analysis {
    let written = gates::gates(object.objects(cx, "gates"), cx);
    let alpha: Fraction = object.get(cx, "alpha");
    Analysis {
        interval: object.get(cx, "interval"),
        window: object.get(cx, "window"),
        threshold: number(object.get(cx, "threshold")),
        consecutive: object.get(cx, "consecutive"),
        min_requests: object.get(cx, "min_requests"),
        on_no_data: of_word(object.word(cx, "on_no_data")),
        on_inconclusive: of_word(object.word(cx, "on_inconclusive")),
        on_baseline_bad: of_word(object.word(cx, "on_baseline_bad")),
        alpha: alpha.as_f64(),
        prometheus: object.opt(cx, "prometheus"),
        gates: if object.has("gates") { written } else { preset.unwrap_or_default() },
    }
}

fn blast_radius(mut object: Object<'_>, cx: &mut Context) -> BlastRadius {
    BlastRadius {
        max_failed_requests: object.opt(cx, "max_failed_requests"),
        max_users: object.opt(cx, "max_users"),
    }
}

/// Names for what has none: what it is, numbered from the second on.
pub(super) fn named(kind: &str, written: Option<Name>, taken: &mut Vec<String>) -> String {
    let name = written.map(String::from).unwrap_or_else(|| {
        let further = (2..).map(|number| format!("{kind}-{number}"));
        let mut free = std::iter::once(kind.to_owned()).chain(further);
        free.find(|name| !taken.contains(name)).unwrap_or_default()
    });
    taken.push(name.clone());
    name
}

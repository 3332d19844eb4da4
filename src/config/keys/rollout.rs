//! The keys of rollouts: the plan, its steps and how the canary is judged.

use super::{Choice, FREEZE, GATE, HOOK, Kind, Scalar, Shape, default, optional, required};
use crate::config::rollout_presets;

pub(super) const ANY_DURATION: Kind = Kind::Scalar(Scalar::Duration { min: 0 });
pub(super) const SECONDS: Kind = Kind::Scalar(Scalar::Duration { min: 1000 });

/// A plan.
pub(in crate::config) static ROLLOUT: Shape = Shape {
    name: "rollout",
    doc: "How a new version gets the traffic of an old one: [rollouts](rollouts.md). It has a `preset`, `steps` or both.",
    choice: Choice::Free,
    keys: &[
        optional(
            "preset",
            Kind::Word(rollout_presets::NAMES),
            "Steps and an analysis that others have proved. What the plan says itself goes first: its `steps`, each key of its \
             `analysis`, its `deadline`.",
        ),
        required(
            "baseline",
            Kind::Scalar(Scalar::Name),
            "The backend of the split that has the traffic now.",
        ),
        required("canary", Kind::Scalar(Scalar::Name), "The backend of the split that is to get it."),
        optional(
            "version",
            Kind::Scalar(Scalar::Word),
            "What the canary runs: `v1.9.0`. Another text than before starts a rollout, unless `start` says otherwise.",
        ),
        default(
            "start",
            Kind::Word(&["version", "command"]),
            "version",
            "What starts a rollout: a reload with another `version` than the one that the file had before, or a `command` only.",
        ),
        default(
            "on_new_version",
            Kind::Word(&["supersede", "wait"]),
            "supersede",
            "What another version does to a rollout that is under way: ends it and starts anew, or waits until it has ended.",
        ),
        optional(
            "group",
            Kind::Scalar(Scalar::Name),
            "Routes with the same group move in step and roll back together; their steps are the same.",
        ),
        optional(
            "steps",
            Kind::List(&Kind::Object(&STEP), 1),
            "The steps, in order. Without it, those of the preset.",
        ),
        optional("analysis", Kind::Object(&ANALYSIS), "How the canary is judged."),
        optional(
            "blast_radius",
            Kind::Object(&BLAST_RADIUS),
            "What a failure may cost, whatever the gates say.",
        ),
        default(
            "on_failure",
            Kind::Word(&["rollback", "pause", "freeze"]),
            "rollback",
            "What a failed gate does: `rollback` takes the canary's traffic away; `pause` does too, and `resume` begins the step \
             again; `freeze` leaves the traffic as it is and pauses.",
        ),
        optional(
            "deadline",
            ANY_DURATION,
            "How long the whole may take; `0s` is without end. Without it, that of the preset, else 24h.",
        ),
        default(
            "keep_baseline",
            ANY_DURATION,
            "1h",
            "How long the baseline stays as a backup after promotion.",
        ),
        optional(
            "freeze",
            Kind::OneOrMore(&Kind::Object(&FREEZE)),
            "When no step forward is made. Steps back always are.",
        ),
        optional("hooks", Kind::List(&Kind::Object(&HOOK), 1), "Who is asked and told on the way."),
        optional(
            "notify",
            Kind::List(&Kind::Scalar(Scalar::Name), 1),
            "Which of the `notifications` are told.",
        ),
    ],
};

/// A step.
pub(in crate::config) static STEP: Shape = Shape {
    name: "step",
    doc: "A step: what traffic the canary gets, and what is waited for.",
    choice: Choice::Free,
    keys: &[
        optional(
            "weight",
            Kind::Scalar(Scalar::Share),
            "The canary's share in percent, of all requests or of the audience: `5`, `0.5` or `5%`. Without it, as before; of an \
             audience, all.",
        ),
        optional(
            "segment",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Name)),
            "The audience: only users in one of these segments.",
        ),
        optional(
            "region",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Name)),
            "The audience: only requests from one of these regions. `ZZ` is the unknown one.",
        ),
        optional(
            "mirror",
            Kind::Scalar(Scalar::Share),
            "The share of requests in percent of which the canary gets a copy. Nobody waits for a copy, and nobody gets its response.",
        ),
        default(
            "hold",
            ANY_DURATION,
            "0s",
            "How long the step lasts at least, with the gates in good order.",
        ),
        default(
            "bake",
            ANY_DURATION,
            "0s",
            "The same of the step that gives the canary everything; the rollout is `baking` meanwhile.",
        ),
        optional(
            "approval",
            Kind::Either(&[Kind::Scalar(Scalar::True), Kind::Object(&APPROVAL)]),
            "A person has to agree before the next step. `true` takes the defaults.",
        ),
    ],
};

/// An agreement.
pub(in crate::config) static APPROVAL: Shape = Shape {
    name: "approval",
    doc: "A person's agreement.",
    choice: Choice::Free,
    keys: &[
        optional(
            "roles",
            Kind::List(&Kind::Word(&["operator", "admin"]), 1),
            "Who may give it: any of these roles or above. Without it, `[operator]`.",
        ),
        default("timeout", ANY_DURATION, "24h", "How long it is waited for; `0s` is without end."),
        default(
            "on_timeout",
            Kind::Word(&["abort", "pause", "promote"]),
            "abort",
            "What happens then: `abort` takes the canary's traffic away, `pause` stays, `promote` makes the next step.",
        ),
    ],
};

/// How the canary is judged.
pub(in crate::config) static ANALYSIS: Shape = Shape {
    name: "analysis",
    doc: "How the canary is judged.",
    choice: Choice::Free,
    keys: &[
        default(
            "interval",
            SECONDS,
            "5s",
            "How often threshold gates are looked at, 1s to 1h. Regressions and hard limits are looked at all the time.",
        ),
        default(
            "window",
            SECONDS,
            "1m",
            "What threshold gates look at, 1s to 1h: the last so much of what came since the traffic last changed.",
        ),
        default(
            "threshold",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1000 }),
            "3",
            "Failed checks before a threshold gate fails.",
        ),
        default(
            "consecutive",
            Kind::Scalar(Scalar::Bool),
            "true",
            "Whether they must be in a row: `true` begins to count again with a check that passes. `false` never does, as Flagger.",
        ),
        default(
            "min_requests",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1_000_000_000 }),
            "50",
            "Requests of the canary in the window; with fewer, a threshold gate says nothing.",
        ),
        default(
            "on_no_data",
            Kind::Word(&["hold", "pass", "fail"]),
            "hold",
            "What too few requests mean: `hold` makes the step last, until the deadline; `pass` and `fail` are as good as that.",
        ),
        default(
            "on_inconclusive",
            Kind::Word(&["promote", "hold", "rollback"]),
            "promote",
            "What is done when the hold time is over, no gate has failed, and a regression could not be ruled out: `promote` makes \
             the next step and says so.",
        ),
        default(
            "on_baseline_bad",
            Kind::Word(&["hold", "rollback"]),
            "hold",
            "What is done when the baseline breaks the same limit: going back would not help, so `hold` tells people.",
        ),
        default(
            "alpha",
            Kind::Scalar(Scalar::Percent),
            "1%",
            "The chance of ever rolling back a canary that keeps its tolerance, over the whole rollout; above 0%, at most 50%. It is \
             shared by the regressions.",
        ),
        optional(
            "prometheus",
            Kind::Scalar(Scalar::Url),
            "The server of Prometheus queries: `http://prometheus:9090`.",
        ),
        optional(
            "gates",
            Kind::List(&Kind::Object(&GATE), 0),
            "The conditions, all of which must hold. Without it, those of the preset; `[]` is none.",
        ),
    ],
};

/// What a failure may cost.
pub(in crate::config) static BLAST_RADIUS: Shape = Shape {
    name: "blast_radius",
    doc: "What a failure may cost; beyond either the canary is withdrawn at once.",
    choice: Choice::Free,
    keys: &[
        optional(
            "max_failed_requests",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1_000_000_000 }),
            "Failed requests of the canary in the whole rollout, beyond what the baseline's rate explains.",
        ),
        optional(
            "max_users",
            Kind::Scalar(Scalar::Percent),
            "The share of users who may have met a failure of the canary.",
        ),
    ],
};

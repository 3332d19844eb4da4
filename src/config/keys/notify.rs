//! The keys of what is outside of a rollout: times without steps, hooks and notifications.

use super::rollout::SECONDS;
use super::{Choice, Kind, Scalar, Shape, default, optional, required};

const FIELDS: Kind = Kind::Map(&Kind::Scalar(Scalar::File));
const OCCASIONS: Kind = Kind::Word(&[
    "started",
    "advanced",
    "approval_needed",
    "paused",
    "held",
    "promoted",
    "rolled_back",
    "aborted",
]);

/// A time without steps.
pub(in crate::config) static FREEZE: Shape = Shape {
    name: "freeze",
    doc: "A time in which no step forward is made: it begins by a cron expression, and lasts.",
    choice: Choice::Free,
    keys: &[
        required(
            "cron",
            Kind::Scalar(Scalar::Word),
            "When it begins: minute, hour, day of the month, month, day of the week. `\"0 16 * * FRI\"`.",
        ),
        required("for", SECONDS, "How long it lasts, 1s to 366d."),
        default("zone", Kind::Scalar(Scalar::Word), "UTC", "The time zone of `cron`: `Europe/Berlin`."),
        optional("reason", Kind::Scalar(Scalar::Word), "Why; said wherever a rollout waits for its end."),
    ],
};

/// A hook.
pub(in crate::config) static HOOK: Shape = Shape {
    name: "hook",
    doc: "A web service that is asked or told by POST; any 2xx agrees.",
    choice: Choice::Free,
    keys: &[
        required(
            "type",
            Kind::Word(&[
                "confirm_rollout",
                "pre_rollout",
                "rollout",
                "confirm_step",
                "confirm_promotion",
                "post_rollout",
                "rollback",
                "event",
            ]),
            "When it is called. Until it agrees: `confirm_rollout`, before the first step; `confirm_step`, after each; \
             `confirm_promotion`, before the step that gives the canary everything. Once: `pre_rollout`, before the first step, and it \
             must succeed; `post_rollout`, after promotion or rollback. Again and again: `rollout`, while steps last, and a failure \
             is a failed check; `rollback`, whose success withdraws the canary. `event`: on every transition, and nobody waits.",
        ),
        required("url", Kind::Scalar(Scalar::Url), "Its address."),
        optional(
            "name",
            Kind::Scalar(Scalar::Name),
            "What it is called; unique in the plan. Without it, its type.",
        ),
        default("timeout", Kind::Scalar(Scalar::Duration { min: 1 }), "30s", "How long an answer may take."),
        default(
            "retries",
            Kind::Scalar(Scalar::Integer { min: 0, max: 100 }),
            "2",
            "Further attempts after one that failed, of those that are called once.",
        ),
        default("every", SECONDS, "10s", "How often those are asked that are asked again and again."),
        default(
            "payload",
            Kind::Word(&["weir", "flagger"]),
            "weir",
            "What the body looks like: `weir`, everything, with the reason; `flagger`, what Flagger sends, for its load testers.",
        ),
        optional("headers", FIELDS, "Header fields, each with the file that holds its value."),
        optional(
            "secret_file",
            Kind::Scalar(Scalar::File),
            "The file with the key that signs the body (HMAC-SHA-256, in `X-Weir-Signature`).",
        ),
        optional(
            "metadata",
            Kind::Map(&Kind::Scalar(Scalar::Text)),
            "Texts that are given on to it as they are.",
        ),
    ],
};

/// A notification.
pub(in crate::config) static NOTIFICATION: Shape = Shape {
    name: "notification",
    doc: "Where people are told of rollouts.",
    choice: Choice::One(&["slack", "webhook", "github"]),
    keys: &[
        optional("on", Kind::OneOrMore(&OCCASIONS), "What is told. Without it, everything."),
        optional("slack", Kind::Object(&SLACK), "A Slack channel."),
        optional("webhook", Kind::Object(&EVENT_SINK), "A web service that takes CloudEvents 1.0."),
        optional("github", Kind::Object(&GITHUB), "Issues of a GitHub repository."),
    ],
};

/// Slack.
pub(in crate::config) static SLACK: Shape = Shape {
    name: "slack",
    doc: "A Slack channel.",
    choice: Choice::Free,
    keys: &[required(
        "url_file",
        Kind::Scalar(Scalar::File),
        "The file with the address of its incoming webhook, which is a secret.",
    )],
};

/// A taker of events.
pub(in crate::config) static EVENT_SINK: Shape = Shape {
    name: "event_sink",
    doc: "A web service that takes CloudEvents 1.0 in structured mode.",
    choice: Choice::Free,
    keys: &[
        required("url", Kind::Scalar(Scalar::Url), "Its address."),
        optional("headers", FIELDS, "Header fields, each with the file that holds its value."),
        optional(
            "secret_file",
            Kind::Scalar(Scalar::File),
            "The file with the key that signs the body (HMAC-SHA-256, in `X-Weir-Signature`).",
        ),
    ],
};

/// GitHub.
pub(in crate::config) static GITHUB: Shape = Shape {
    name: "github",
    doc: "Issues of a GitHub repository.",
    choice: Choice::Free,
    keys: &[
        required("repository", Kind::Scalar(Scalar::Repository), "The repository, `owner/name`."),
        required(
            "token_file",
            Kind::Scalar(Scalar::File),
            "The file with a token that may write issues there.",
        ),
        default(
            "api",
            Kind::Scalar(Scalar::Url),
            "https://api.github.com",
            "The API's address; another one of GitHub Enterprise.",
        ),
        optional("labels", Kind::List(&Kind::Scalar(Scalar::Word), 1), "Labels of the issue."),
    ],
};

//! Times without steps, hooks and notifications in canonical form.

use std::path::{Path, PathBuf};

use super::{Map, Out, duration, rollout::word};
use crate::config::model::rollout::{Freeze, Hook, Notification, Sink};

pub(super) fn freeze(freeze: &Freeze) -> Map {
    Map::default()
        .put("cron", freeze.cron.clone())
        .put("for", duration(freeze.duration))
        .put("zone", freeze.zone.clone())
        .opt("reason", Some(freeze.reason.clone()).filter(|reason| !reason.is_empty()))
}

pub(super) fn hook(hook: &Hook) -> Map {
    let metadata = hook.metadata.iter().map(|(name, text)| (name.clone(), text.clone().into()));
    Map::default()
        .put("type", word(&hook.kind))
        .put("url", hook.url.clone())
        .put("name", hook.name.clone())
        .put("timeout", duration(hook.timeout))
        .put("retries", hook.retries)
        .put("every", duration(hook.every))
        .put("payload", word(&hook.payload))
        .some("headers", fields(&hook.headers))
        .opt("secret_file", hook.secret_file.as_deref().map(file))
        .some("metadata", Out::Map(metadata.collect()))
}

fn fields(fields: &[(String, PathBuf)]) -> Out {
    Out::Map(fields.iter().map(|(name, path)| (name.clone(), file(path).into())).collect())
}

fn file(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn notification(notification: &Notification) -> Out {
    let (key, sink) = match &notification.sink {
        Sink::Slack { url_file } => ("slack", Map::default().put("url_file", file(url_file))),
        Sink::Webhook { url, headers, secret_file } => {
            let sink = Map::default().put("url", url.clone()).some("headers", self::fields(headers));
            ("webhook", sink.opt("secret_file", secret_file.as_deref().map(file)))
        }
        Sink::Github { repository, token_file, api, labels } => {
            let sink =
                Map::default().put("repository", repository.clone()).put("token_file", file(token_file));
            ("github", sink.put("api", api.clone()).some("labels", labels.clone()))
        }
    };
    let on: Vec<Out> = notification.on.iter().map(word).collect();
    Map::default().some("on", on).put(key, sink).into()
}

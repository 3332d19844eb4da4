//! Tells operators what control did: one line on standard error for each change, and the counters of /metrics.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    control::{Channel, Event},
    telemetry::{ChangeResult, ChangeSource, ControlStats},
};

/// Reports until control is gone.
pub(super) async fn report(mut events: Receiver<Event>, stats: Arc<ControlStats>) {
    loop {
        match events.recv().await {
            Ok(event) => note(&event, &stats),
            Err(RecvError::Lagged(missed)) => {
                eprintln!("weir: {missed} changes were too fast to be reported")
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn note(event: &Event, stats: &ControlStats) {
    match event {
        Event::Applied { state, route, .. } => {
            let origin = &state.origin;
            stats.change(source(origin.channel), ChangeResult::Applied);
            let route = route.as_ref().map(|route| format!(" of route {route}")).unwrap_or_default();
            let reason = origin.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            eprintln!(
                "weir: {}{route} by {} ({}) is in force as {}{reason}",
                state.action,
                origin.actor,
                origin.channel.as_str(),
                state.revision
            );
        }
        Event::ReloadRefused(failure) => {
            stats.change(ChangeSource::File, ChangeResult::Refused);
            eprintln!(
                "weir: the control file was refused, what ran before keeps running\n{}",
                failure.rendered
            );
        }
        Event::StoreFailed(error) => eprintln!("weir: {error}"),
    }
}

fn source(channel: Channel) -> ChangeSource {
    match channel {
        Channel::File => ChangeSource::File,
        Channel::Api | Channel::Cli | Channel::Dashboard => ChangeSource::Api,
        Channel::Rollout => ChangeSource::Rollout,
        Channel::Fleet => ChangeSource::Fleet,
    }
}

//! Counts what control did, for /metrics. What it did is told by whoever started Weir, who may listen to the same events.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    control::{Channel, Event},
    telemetry::{ChangeResult, ChangeSource, ControlStats},
};

/// Counts until control is gone.
pub(super) async fn count(mut events: Receiver<Event>, stats: Arc<ControlStats>) {
    loop {
        match events.recv().await {
            Ok(Event::Applied { state, .. }) => {
                stats.change(source(state.origin.channel), ChangeResult::Applied);
            }
            Ok(Event::ReloadRefused(_)) => stats.change(ChangeSource::File, ChangeResult::Refused),
            Ok(Event::StoreFailed(_)) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
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

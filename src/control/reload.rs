//! From a changed control file to a command.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::control::{
    applier::Control,
    command::{Change, Channel, Command, ControlFile, Digest, Origin},
    refusal::Refusal,
    watch::FileEvent,
};

/// How long to wait before trying again what the store refused.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Reads a control file's content: the whole of parsing and validating.
pub type Loader = dyn Fn(&Path, &[u8]) -> Result<ControlFile, ReloadFailure> + Send + Sync;

/// Why a control file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rendered}")]
pub struct ReloadFailure {
    /// All reasons, rendered for a log, without colour.
    pub rendered: String,
    /// How many errors there are; at least one.
    pub errors: usize,
}

/// Takes the control file's changes and sends them to the applier.
pub struct Reloader {
    control: Control,
    load: Arc<Loader>,
    events: mpsc::Receiver<FileEvent>,
}

// === impl ReloadFailure ===

impl ReloadFailure {
    /// A failure with one reason.
    #[must_use]
    pub fn one(rendered: impl Into<String>) -> Self {
        Self { rendered: rendered.into(), errors: 1 }
    }

    /// A file that is valid in itself, but that the applier refused.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let text = match refusal {
            Refusal::Store(error) => format!("{refusal}: {error}"),
            _ => refusal.to_string(),
        };
        Self::one(refusal.hint().map_or(text.clone(), |hint| format!("{text}; {hint}")))
    }
}

// === impl Reloader ===

impl Reloader {
    /// Reads with `load` what `events` says has changed.
    #[must_use]
    pub fn new(control: Control, load: Arc<Loader>, events: mpsc::Receiver<FileEvent>) -> Self {
        Self { control, load, events }
    }

    /// Works until the watcher stops.
    pub async fn run(mut self) {
        let mut next = self.events.recv().await;
        while let Some(event) = next {
            let again = self.reload(&event).await;
            next = if again {
                // A later change of the file makes trying this one again pointless.
                match tokio::time::timeout(STORE_RETRY, self.events.recv()).await {
                    Ok(newer) => newer,
                    Err(_) => Some(event),
                }
            } else {
                self.events.recv().await
            };
        }
    }

    /// Tries the file once; says whether to try again later.
    async fn reload(&self, event: &FileEvent) -> bool {
        let content = match &event.content {
            Ok(content) => content,
            Err(error) => {
                let text = format!("cannot read {}: {error}", event.path.display());
                self.control.reload_failed(ReloadFailure::one(text)).await;
                return false;
            }
        };
        if Digest::of(content) == self.control.state().file.digest {
            self.control.reload_unchanged().await;
            return false;
        }
        let file = match (self.load)(&event.path, content) {
            Ok(file) => Arc::new(file),
            Err(failure) => {
                self.control.reload_failed(failure).await;
                return false;
            }
        };
        let command = Command::new(Change::Reload(file), Origin::new("watcher", Channel::File));
        // The applier has recorded and told why, when it refused.
        matches!(self.control.apply(command).await, Err(Refusal::Store(_)))
    }
}

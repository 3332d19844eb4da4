//! Starting with what the store has.

use std::sync::{Arc, atomic::AtomicBool};

use serde_json::Value;
use tokio::sync::{broadcast, mpsc, watch};

use super::{
    Applier, CompileError, Control, EVENTS, INBOX, Publisher,
    disk::{Backlog, record_of, stored},
    once::UsedKeys,
    pause::Held,
};
use crate::{
    control::{
        audit::AuditResult,
        command::{Channel, ControlFile, Origin},
        history::History,
        journal::Journal,
        state::{self, LastReload, State, StoreState},
        store::{Store, StoreError},
    },
    types::clock,
};

/// Why Weir cannot start with this file and this store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

// === impl Applier ===

impl<P: Publisher> Applier<P> {
    /// Makes `file`, with the overlay that the store has, run. Blocks on the store; meant for the time before anything is
    /// served.
    ///
    /// # Errors
    /// When nothing can be read from the store, a first start cannot be written to it, or the state cannot be compiled.
    pub fn start(
        file: Arc<ControlFile>,
        publisher: P,
        store: Arc<dyn Store>,
    ) -> Result<(Control, Self), StartError> {
        let (control, mut applier) = Self::prepare(file, publisher, store)?;
        applier.record_start()?;
        Ok((control, applier))
    }

    /// The same, but writes nothing yet; [`record_start`](Self::record_start) is to follow before [`run`](Self::run). For a
    /// store that another process still has.
    ///
    /// # Errors
    /// When nothing can be read from the store, or the state cannot be compiled.
    pub fn prepare(
        file: Arc<ControlFile>,
        mut publisher: P,
        store: Arc<dyn Store>,
    ) -> Result<(Control, Self), StartError> {
        let loaded = store.load()?;
        let is_first = loaded.stored.is_none();
        let unchanged = loaded.stored.as_ref().is_some_and(|stored| stored.file == file.digest);
        let (overlay, before) = loaded.stored.map_or_else(Default::default, |s| (s.overlay, s.revision));
        // A change that no disk took has had its number all the same, and people may have seen it.
        let seen = loaded.newest.max(before);
        let unchanged = unchanged && seen == before && !loaded.behind;
        let revision = if unchanged { before } else { seen.next() };
        let (effective, dangling) = state::resolve(&file.config, &overlay);
        let compiled = publisher.compile(&file.config, &effective, revision)?;
        publisher.publish(compiled);
        let at = clock::unix_now();
        let state = Arc::new(State {
            revision,
            at,
            origin: Origin::new("start", Channel::File),
            action: "start",
            file_revision: revision,
            overlay: Arc::new(overlay),
            effective: Arc::new(effective),
            dangling,
            last_reload: LastReload { ok: true, error: None, at },
            store: StoreState {
                directory: store.directory().map(ToOwned::to_owned),
                error: loaded.fault.as_ref().map(ToString::to_string),
                persisted: loaded.fault.is_none() && store.directory().is_some(),
            },
            file,
        });
        let (sender, inbox) = mpsc::channel(INBOX);
        let (events, _) = broadcast::channel(EVENTS);
        let (state, seen) = watch::channel(state);
        let history = History::of(Arc::clone(&store));
        let journal = Journal::of(Arc::clone(&store));
        let standing_still = Arc::<AtomicBool>::default();
        let control = Control {
            inbox: sender,
            state: seen,
            events: events.clone(),
            history,
            journal,
            standing_still: Arc::clone(&standing_still),
        };
        let applier = Self {
            publisher,
            store,
            state,
            inbox,
            events,
            backlog: Backlog::default(),
            used: UsedKeys::new(loaded.used),
            unrecorded: (!unchanged).then_some(is_first),
            held: Held::new(),
            standing_still,
        };
        Ok((control, applier))
    }

    /// Writes the start down, if the file is another one than last time. Blocks on the store. What ran before runs again whatever the disk
    /// says; it is written as soon as the disk takes it.
    ///
    /// # Errors
    /// When it is the first start with this store, and cannot be written: then something is wrong with the directory that was named.
    pub fn record_start(&mut self) -> Result<(), StoreError> {
        let Some(is_first) = self.unrecorded.take() else { return Ok(()) };
        let current = self.current();
        let mut record = record_of(&current, None);
        record.row.result = AuditResult::Applied;
        (record.row.from, record.row.to) = (Value::Null, serde_json::json!(current.file.digest));
        let saved = self.store.write(&record.stored, std::slice::from_ref(&record));
        self.store.mirror(&stored(&current));
        match saved {
            Ok(()) => Ok(()),
            Err(error) if is_first => Err(error),
            Err(error) => {
                self.state.send_modify(|state| Arc::make_mut(state).store.persisted = false);
                self.note_store(Some(error));
                self.keep_for_later(record);
                Ok(())
            }
        }
    }
}

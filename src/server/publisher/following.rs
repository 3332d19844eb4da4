//! Following files beside the control file: what changes on disk comes into force without a change of the control file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::Stage;
use crate::{
    control::{
        command::Digest,
        watch::{self, FileEvent},
    },
    server::note,
    split::GeoDatabase,
    telemetry::prometheus::KeyGauges,
    types::{Name, cause::chain, clock},
};

/// How long a certificate that does not match its key may take to do so, before anybody is told.
const PAIR_PATIENCE: Duration = Duration::from_secs(2);

impl Stage {
    /// Watches the database of the control file, whichever it is, and puts a changed one in force. A damaged one is
    /// reported, and the old one stays.
    pub(in crate::server) async fn follow_database(self) {
        let mut wanted = self.lock().database_path.subscribe();
        loop {
            let path = wanted.borrow_and_update().clone();
            let replace = |event: &FileEvent| self.replace_database(event);
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = follow(path.into_iter().collect(), replace) => return,
            }
        }
    }

    /// The same for the key files of jwt providers.
    pub(in crate::server) async fn follow_token_keys(self) {
        let mut wanted = self.lock().token_key_files.subscribe();
        loop {
            let files = wanted.borrow_and_update().clone();
            let replace = |event: &FileEvent| self.replace_token_keys(event);
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = follow(files, replace) => return,
            }
        }
    }

    fn replace_database(&self, event: &FileEvent) -> Result<(), String> {
        let database =
            GeoDatabase::from_bytes(event.content.clone()?.to_vec()).map_err(|error| chain(&error))?;
        let mut inner = self.lock();
        inner.database = Some((event.path.clone(), Arc::new(database)));
        inner.publish_anew()
    }

    fn replace_token_keys(&self, event: &FileEvent) -> Result<(), String> {
        let mut inner = self.lock();
        let read = inner.token_keys.replace(event);
        // Another file of the same path may be as it should be.
        if read.changed {
            inner.publish_anew()?;
            for line in inner.token_keys.summary(&event.path) {
                note(&line);
            }
        }
        read.problem.map_or(Ok(()), Err)
    }

    /// What is wrong with key files, for people.
    pub(in crate::server) fn token_key_warnings(&self) -> Vec<String> {
        self.lock().token_keys.warnings()
    }

    /// How many keys each jwt provider has, and whether its file was good when it was last read.
    pub(in crate::server) fn token_keys(&self) -> BTreeMap<Name, KeyGauges> {
        self.lock().token_keys.gauges()
    }

    /// Watches the files of TLS, whichever they are, and puts changed ones in force. Established connections go on as they are.
    pub(in crate::server) async fn follow_certificates(self) {
        let mut wanted = self.lock().certificate_files.subscribe();
        loop {
            let files = wanted.borrow_and_update().clone();
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = self.follow_files(files) => return,
            }
        }
    }

    async fn follow_files(&self, files: Vec<(PathBuf, Option<Digest>)>) {
        if files.is_empty() {
            return std::future::pending().await;
        }
        let (watcher, mut events, _rescan) = watch::watch(files, watch::POLL);
        let watching = tokio::spawn(watcher.run());
        let _ends = EndsWith(watching.abort_handle());
        while events.recv().await.is_some() {
            // Files that change together are read together.
            while events.try_recv().is_ok() {}
            let mut problems = self.replace_certificates();
            if !problems.is_empty() {
                tokio::time::sleep(PAIR_PATIENCE).await;
                problems = self.replace_certificates();
            }
            for problem in &problems {
                note(&format!("{problem}; what was read before stays in force"));
            }
            if problems.is_empty() {
                note("the files of TLS were read again");
            }
            self.report_certificates();
        }
    }

    fn replace_certificates(&self) -> Vec<String> {
        let mut inner = self.lock();
        let Some((config, overlay, revision)) = inner.last.clone() else { return Vec::new() };
        let material = inner.certificates.read_again(&config);
        let problems = material.problems().to_vec();
        match inner.compile_with(&config, &overlay, revision, material) {
            Ok(compiled) => inner.publish(compiled),
            Err(error) => return vec![error.to_string()],
        }
        problems
    }

    /// Logs the certificates that do not count, or not for much longer.
    pub(in crate::server) fn report_certificates(&self) {
        for warning in self.lock().certificates.warnings(clock::unix_now()) {
            note(&warning);
        }
    }

    /// What is wrong with the files of TLS, and certificates that do not count, or not for much longer.
    pub(in crate::server) fn certificate_warnings(&self) -> Vec<String> {
        let inner = self.lock();
        let problems = inner.certificates.problems().iter();
        let problems = problems.map(|problem| format!("{problem}; what was read before stays in force"));
        problems.chain(inner.certificates.warnings(clock::unix_now())).collect()
    }

    /// When each certificate ends, since 1970, by its file; and whether all files were good when they were last read.
    pub(in crate::server) fn certificates(&self) -> (BTreeMap<PathBuf, Duration>, bool) {
        let inner = self.lock();
        let ends = inner.certificates.ends().map(|(file, end)| (file.to_owned(), end)).collect();
        (ends, inner.certificates.problems().is_empty())
    }
}

/// Watches files for as long as it is polled. The first event of each tells its content as it is, which may be newer than what was
/// read at the start. What cannot be taken is reported, and what was read before stays.
pub(in crate::server) async fn follow(
    paths: BTreeSet<PathBuf>,
    take: impl Fn(&FileEvent) -> Result<(), String>,
) {
    if paths.is_empty() {
        return std::future::pending().await;
    }
    let paths = paths.into_iter().map(|path| (path, None)).collect();
    let (watcher, mut events, _rescan) = watch::watch(paths, watch::POLL);
    let watching = tokio::spawn(watcher.run());
    let _ends = EndsWith(watching.abort_handle());
    while let Some(event) = events.recv().await {
        if let Err(error) = take(&event) {
            note(&format!("{}: {error}; what was read before stays in force", event.path.display()));
        }
    }
}

/// Ends a task when it is dropped.
struct EndsWith(tokio::task::AbortHandle);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.abort();
    }
}

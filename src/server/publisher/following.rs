//! Following the files of TLS: what changes on disk comes into force without a change of the control file.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::Stage;
use crate::{
    control::{command::Digest, watch},
    server::note,
    types::clock,
};

/// How long a certificate that does not match its key may take to do so, before anybody is told.
const PAIR_PATIENCE: Duration = Duration::from_secs(2);

impl Stage {
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

/// Ends a task when it is dropped.
struct EndsWith(tokio::task::AbortHandle);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! From a changed control file to a command.

use std::{pin::Pin, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    config::{Config, Diagnostics, Look},
    control::{
        applier::Control,
        command::{Change, Channel, Command, ControlFile, Digest, Origin},
        refusal::Refusal,
        watch::FileEvent,
    },
};

/// Why a control file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ReloadFailure {
    /// All reasons, a line for each.
    pub text: String,
    /// All reasons with the lines of the file that they are about, without colour.
    pub rendered: String,
}

/// Gets ready what a new file needs that takes a while, before it is applied; a command of another kind need not wait for it.
pub type Preparation = Box<dyn Fn(Arc<Config>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Takes the control file's changes and sends them to the applier.
pub struct Reloader {
    control: Control,
    events: mpsc::Receiver<FileEvent>,
    preparation: Option<Preparation>,
}

// === impl ReloadFailure ===

impl ReloadFailure {
    fn one(text: String) -> Self {
        Self { rendered: text.clone(), text }
    }

    /// A file that is valid in itself, but that the applier refused.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let text = match refusal {
            Refusal::Store(error) => format!("{refusal}: {error}"),
            _ => refusal.to_string(),
        };
        Self::one(refusal.hint().map_or(text.clone(), |hint| format!("{text}; {hint}")))
    }
}

impl From<Diagnostics> for ReloadFailure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { text: diagnostics.to_string(), rendered: diagnostics.render(Look::default()) }
    }
}

// === impl Reloader ===

impl Reloader {
    /// Sends `control` what `events` says has changed.
    #[must_use]
    pub fn new(control: Control, events: mpsc::Receiver<FileEvent>) -> Self {
        Self { control, events, preparation: None }
    }

    /// The same, with `preparation` before each change.
    #[must_use]
    pub fn preparing(self, preparation: Preparation) -> Self {
        Self { preparation: Some(preparation), ..self }
    }

    /// Works until the watcher stops.
    pub async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            self.reload(&event).await;
        }
    }

    async fn reload(&self, event: &FileEvent) {
        let content = match &event.content {
            Ok(content) => content,
            Err(error) => {
                let text = format!("cannot read {}: {error}", event.path.display());
                self.control.reload_failed(ReloadFailure::one(text)).await;
                return;
            }
        };
        if Digest::of(content) == self.control.state().file.digest {
            self.control.reload_unchanged().await;
            return;
        }
        let file = match ControlFile::parse(&event.path, content) {
            Ok(file) => Arc::new(file),
            Err(diagnostics) => {
                self.control.reload_failed(diagnostics.into()).await;
                return;
            }
        };
        if let Some(prepare) = &self.preparation {
            prepare(Arc::clone(&file.config)).await;
        }
        let command = Command::new(Change::Reload(file), Origin::new("watcher", Channel::File));
        // The applier has recorded and told why, when it refused.
        let _ = self.control.apply(command).await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        control::{
            applier::{Applier, CompileError, Event, Publisher},
            fixtures::{self, FailingStore},
        },
        types::Revision,
    };

    struct Anything;

    impl Publisher for Anything {
        type Compiled = ();
        fn compile(
            &mut self,
            _: &Arc<crate::config::Config>,
            _: &crate::types::Overlay,
            _: Revision,
        ) -> Result<(), CompileError> {
            Ok(())
        }
        fn publish(&mut self, (): ()) {}
    }

    /// A file with the canary at `weight`.
    fn text(weight: &str) -> String {
        fixtures::TEXT.replace("WEIGHT", weight)
    }

    #[tokio::test]
    async fn a_bad_file_is_refused_and_a_good_one_taken() {
        let path = PathBuf::from("weir.yaml");
        let file = Arc::new(ControlFile::parse(&path, text("5").as_bytes()).unwrap());
        let store = Arc::new(FailingStore::default());
        let dynamic: Arc<dyn crate::control::store::Store> = store;
        let (control, applier) = Applier::start(file, Anything, dynamic).unwrap();
        tokio::spawn(applier.run(std::future::pending()));
        let mut told = control.events();
        let (send, events) = mpsc::channel(8);
        tokio::spawn(Reloader::new(control.clone(), events).run());
        let say = async |content: Result<String, &str>| {
            let content = content.map(|text| text.into_bytes().into()).map_err(str::to_owned);
            send.send(FileEvent { path: path.clone(), content }).await.unwrap();
        };

        say(Ok(text("-1"))).await;
        let Ok(Event::ReloadRefused(failure)) = told.recv().await else { panic!("the file is bad") };
        assert!(failure.text.contains("negative") && failure.rendered.contains("1 error"), "{failure:?}");
        assert!(!control.state().last_reload.ok);

        say(Err("gone")).await;
        let Ok(Event::ReloadRefused(failure)) = told.recv().await else { panic!("it cannot be read") };
        assert_eq!(failure.text, "cannot read weir.yaml: gone");

        // The content that runs already is no change, and ends the warning.
        let mut states = control.watch();
        say(Ok(text("5"))).await;
        states.wait_for(|state| state.last_reload.ok).await.unwrap();
        assert_eq!(control.state().revision, Revision(1));
        assert!(matches!(told.recv().await, Ok(Event::ReloadUnchanged { recovered: true })));
        say(Ok(text("5"))).await;
        assert!(matches!(told.recv().await, Ok(Event::ReloadUnchanged { recovered: false })));

        say(Ok(text("6"))).await;
        let Ok(Event::Applied { state, .. }) = told.recv().await else { panic!("the file is good") };
        assert_eq!((state.revision, state.action), (Revision(2), "reload"));
    }
}

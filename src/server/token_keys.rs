//! The key files of jwt providers: read when a state is compiled, and again when they change.
//!
//! A file that gives no keys when a control file first names it is an error of that control file. One that turns bad later is
//! reported, and the keys that were read of it before stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{
        Config,
        model::{JwtProvider, KeyFile},
    },
    control::watch::FileEvent,
    policy::jwt::{Algorithm, KeyFormat, KeySet},
    telemetry::prometheus::KeyGauges,
    types::{Name, cause::chain},
};

/// Larger files are no keys.
const MAX_FILE: usize = 1 << 20;

/// What was read of every key file, and who needs it.
#[derive(Debug, Default)]
pub(super) struct TokenKeys {
    files: BTreeMap<KeyFile, Known>,
    providers: BTreeMap<Name, Needs>,
}

/// What is known of a file.
#[derive(Debug, Clone)]
struct Known {
    keys: Arc<KeySet>,
    /// Why the file as it is now gives no keys, if it does not.
    problem: Option<String>,
}

/// What a provider needs.
#[derive(Debug)]
struct Needs {
    file: KeyFile,
    /// Of these, at least one; none is any.
    algorithms: Vec<Algorithm>,
}

/// What came of reading a file again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reread {
    /// Whether there are other keys now.
    pub(super) changed: bool,
    /// Why there are not.
    pub(super) problem: Option<String>,
}

// === impl TokenKeys ===

impl TokenKeys {
    /// The keys of all providers of `config`: those that are known, or read now where the file is another.
    ///
    /// # Errors
    /// Every provider whose file gives no keys for it, and why.
    pub(super) fn for_config(&self, config: &Config) -> Result<Self, Vec<String>> {
        let mut made = Self::default();
        let mut errors = Vec::new();
        for (name, provider) in &config.jwt {
            let needs = Needs::of(provider);
            let known = made.files.get(&needs.file).or_else(|| self.files.get(&needs.file)).cloned();
            let read = || open(&needs.file).map(|keys| Known { keys: Arc::new(keys), problem: None });
            let found =
                known.map_or_else(read, Ok).and_then(|known| needs.met_by(&known.keys).map(|()| known));
            match found {
                Ok(known) => {
                    made.files.insert(needs.file.clone(), known);
                    made.providers.insert(name.clone(), needs);
                }
                Err(error) => errors.push(format!("jwt.{name} {}: {error}", needs.file.path().display())),
            }
        }
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }

    /// Takes the place of what is in force. What was read of a file since the other was made from it counts, not what the other has;
    /// says whether there is any such.
    pub(super) fn give_way_to(&mut self, other: Self) -> bool {
        let before = std::mem::replace(self, other);
        let mut overtaken = false;
        for (file, known) in &mut self.files {
            if let Some(last) = before.files.get(file) {
                overtaken |= !Arc::ptr_eq(&last.keys, &known.keys);
                *known = last.clone();
            }
        }
        overtaken
    }

    /// Takes in a file as it is now. What gives no keys for every provider of the file changes nothing.
    pub(super) fn replace(&mut self, event: &FileEvent) -> Reread {
        let mut reread = Reread::default();
        for (file, known) in self.files.iter_mut().filter(|(file, _)| *file.path() == event.path) {
            let needs = self.providers.values().filter(|needs| needs.file == *file);
            let read = event.content.as_ref().map_err(Clone::clone).and_then(|content| parse(file, content));
            let read = read.and_then(|keys| {
                for needs in needs {
                    needs.met_by(&keys)?;
                }
                Ok(keys)
            });
            known.problem = read.as_ref().err().cloned();
            match read {
                Ok(keys) if keys.fingerprint() != known.keys.fingerprint() => {
                    known.keys = Arc::new(keys);
                    reread.changed = true;
                }
                Ok(_) => {}
                Err(problem) => reread.problem = Some(problem),
            }
        }
        reread
    }

    /// The keys alone.
    pub(super) fn by_provider(&self) -> BTreeMap<Name, Arc<KeySet>> {
        self.known().map(|(name, _, known)| (name.clone(), Arc::clone(&known.keys))).collect()
    }

    /// The paths alone.
    pub(super) fn paths(&self) -> BTreeSet<PathBuf> {
        self.files.keys().map(|file| file.path().clone()).collect()
    }

    /// What providers have of this file, for the log.
    pub(super) fn summary(&self, path: &Path) -> Vec<String> {
        let of_file = self.known().filter(|(_, file, _)| file.path() == path);
        of_file.map(|(name, _, known)| format!("jwt.{name} has new keys: {}", known.keys.count())).collect()
    }

    /// What is wrong with files as they are now, for people.
    pub(super) fn warnings(&self) -> Vec<String> {
        let wrong = self.known().filter_map(|(name, file, known)| {
            let problem = known.problem.as_ref()?;
            Some(format!(
                "jwt.{name} {}: {problem}; the keys read before stay in force",
                file.path().display()
            ))
        });
        wrong.collect()
    }

    /// How it is with the keys of each provider.
    pub(super) fn gauges(&self) -> BTreeMap<Name, KeyGauges> {
        let seen = self.known().map(|(name, _, known)| {
            (name.clone(), KeyGauges { keys: known.keys.count(), good: known.problem.is_none() })
        });
        seen.collect()
    }

    fn known(&self) -> impl Iterator<Item = (&Name, &KeyFile, &Known)> {
        let all = self.providers.iter();
        all.filter_map(|(name, needs)| Some((name, &needs.file, self.files.get(&needs.file)?)))
    }
}

// === impl Needs ===

impl Needs {
    fn of(provider: &JwtProvider) -> Self {
        let algorithms = provider.algorithms.iter().filter_map(|word| word.parse().ok());
        Self { file: provider.keys.clone(), algorithms: algorithms.collect() }
    }

    fn met_by(&self, keys: &KeySet) -> Result<(), String> {
        if keys.verifies(&self.algorithms) {
            return Ok(());
        }
        Err("none of its keys is for one of the `algorithms`".to_owned())
    }
}

fn open(file: &KeyFile) -> Result<KeySet, String> {
    let size = fs::metadata(file.path()).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE as u64 {
        return Err(TOO_LARGE.to_owned());
    }
    parse(file, &fs::read(file.path()).map_err(|error| error.to_string())?)
}

const TOO_LARGE: &str = "a key file has at most 1 MiB";

fn parse(file: &KeyFile, content: &[u8]) -> Result<KeySet, String> {
    if content.len() > MAX_FILE {
        return Err(TOO_LARGE.to_owned());
    }
    let format = match file {
        KeyFile::Pem(_) => KeyFormat::Pem,
        KeyFile::Jwks(_) => KeyFormat::Jwks,
    };
    KeySet::read(format, content).map_err(|error| chain(&error))
}

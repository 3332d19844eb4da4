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
const TOO_LARGE: &str = "a key file has at most 1 MiB";

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

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::*;
    use crate::control::fixtures;

    fn key() -> String {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().public_key_pem()
    }

    /// A control file whose providers have these files and algorithms.
    fn config(providers: &[(&str, &Path, &[&str])]) -> Config {
        let mut config = fixtures::config(&[("shop", &[("stable", 1)])]);
        for (name, path, algorithms) in providers {
            let provider = JwtProvider {
                issuer: None,
                audience: Vec::new(),
                keys: KeyFile::Pem(path.to_path_buf()),
                algorithms: algorithms.iter().map(ToString::to_string).collect(),
                token: Vec::new(),
                leeway: std::time::Duration::ZERO,
            };
            config.jwt.insert(Name::new(name).unwrap(), provider);
        }
        config
    }

    fn event(path: &Path, content: Result<&str, &str>) -> FileEvent {
        let content = content.map(|text| text.as_bytes().into()).map_err(str::to_owned);
        FileEvent { path: path.to_owned(), content }
    }

    fn gauges(keys: &TokenKeys, name: &str) -> (usize, bool) {
        let KeyGauges { keys, good } = keys.gauges()[&Name::new(name).unwrap()];
        (keys, good)
    }

    #[test]
    fn a_file_is_read_once_and_errors_are_told_all() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good.pem"), folder.path().join("bad.pem"));
        fs::write(&good, key()).unwrap();
        fs::write(&bad, "nothing").unwrap();
        let none = TokenKeys::default();
        let both: &[(&str, &Path, &[&str])] = &[("a", &good, &[]), ("b", &good, &["ES256"])];
        let made = none.for_config(&config(both)).unwrap();
        let keys = made.by_provider();
        let of = |name: &str| &keys[&Name::new(name).unwrap()];
        assert!(Arc::ptr_eq(of("a"), of("b")));
        assert_eq!(made.paths(), BTreeSet::from([good.clone()]));

        let wrong: &[(&str, &Path, &[&str])] =
            &[("a", &bad, &[]), ("b", &good, &["RS256"]), ("c", &folder.path().join("none"), &[])];
        let errors = none.for_config(&config(wrong)).unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[0].ends_with("bad.pem: there is no key in it that verifies signatures"), "{errors:?}");
        assert!(errors[1].ends_with("none of its keys is for one of the `algorithms`"), "{errors:?}");
        // What is known is not read again: a file that is bad now does not keep a control file out.
        fs::write(&good, "nothing").unwrap();
        assert!(made.for_config(&config(both)).is_ok());
    }

    #[test]
    fn a_bad_file_changes_nothing_until_it_is_good_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.pem");
        let first = key();
        fs::write(&path, &first).unwrap();
        let users: &[(&str, &Path, &[&str])] = &[("a", &path, &[]), ("b", &path, &["ES256"])];
        let mut keys = TokenKeys::default().for_config(&config(users)).unwrap();
        let before = keys.by_provider();
        let same =
            |keys: &TokenKeys| keys.by_provider().iter().all(|(name, now)| Arc::ptr_eq(now, &before[name]));
        assert_eq!(keys.replace(&event(&path, Ok(&first))), Reread::default());
        let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap().public_key_pem();
        let large = "x".repeat(MAX_FILE + 1);
        for content in [Ok("nothing"), Ok(&*ed25519), Ok(&*large), Err("gone")] {
            let Reread { changed, problem } = keys.replace(&event(&path, content));
            assert!(!changed && problem.is_some() && same(&keys), "{problem:?}");
            assert_eq!((gauges(&keys, "a"), keys.warnings().len()), ((1, false), 2));
        }
        assert_eq!(keys.replace(&event(&path, Ok(&first))), Reread::default());
        assert!(same(&keys) && keys.warnings().is_empty());
        let more = [first, ed25519].concat();
        assert_eq!(keys.replace(&event(&path, Ok(&more))), Reread { changed: true, problem: None });
        assert_eq!((gauges(&keys, "b"), same(&keys)), ((2, true), false));
        assert_eq!(keys.summary(&path), ["jwt.a has new keys: 2", "jwt.b has new keys: 2"]);
    }

    #[test]
    fn what_was_read_while_a_change_was_made_ready_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("keys.pem"), folder.path().join("other.pem"));
        fs::write(&path, key()).unwrap();
        fs::write(&other, key()).unwrap();
        let mut running = TokenKeys::default().for_config(&config(&[("a", &path, &[])])).unwrap();
        // Another provider of the same file, and one of another: made from what is known now.
        let users: &[(&str, &Path, &[&str])] = &[("a", &path, &[]), ("b", &path, &[]), ("c", &other, &[])];
        let next = running.for_config(&config(users)).unwrap();
        let newer = [key(), key()].concat();
        assert!(running.replace(&event(&path, Ok(&newer))).changed);
        assert!(running.give_way_to(next), "the keys of that change are old already");
        assert_eq!(["a", "b", "c"].map(|name| gauges(&running, name).0), [2, 2, 1]);
        let again = running.for_config(&config(users)).unwrap();
        assert!(!running.give_way_to(again));
    }
}

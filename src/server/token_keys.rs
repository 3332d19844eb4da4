//! The key files of jwt providers: read when a state is compiled, and again when they change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{Config, model::KeyFile},
    policy::jwt::{KeyFormat, KeySet},
    types::{Name, cause::chain},
};

/// Larger files are no keys.
const MAX_FILE: u64 = 1 << 20;

/// Each provider's keys, and the file that they are from.
pub(super) type TokenKeys = BTreeMap<Name, (KeyFile, Arc<KeySet>)>;

/// The keys of all providers of `config`: those of `known`, or read anew where the file is another.
///
/// # Errors
/// Every file that gives no keys, and why.
pub(super) fn read(config: &Config, known: &TokenKeys) -> Result<TokenKeys, Vec<String>> {
    let mut keys = TokenKeys::new();
    let mut errors = Vec::new();
    for (name, provider) in &config.jwt {
        let file = &provider.keys;
        let found = match known.get(name) {
            Some((from, keys)) if from == file => Ok(Arc::clone(keys)),
            _ => open(file).map(Arc::new),
        };
        match found {
            Ok(found) => drop(keys.insert(name.clone(), (file.clone(), found))),
            Err(error) => errors.push(format!("jwt.{name} {}: {error}", file.path().display())),
        }
    }
    if errors.is_empty() { Ok(keys) } else { Err(errors) }
}

/// Replaces the keys of every provider that has them from `path`; whether any are other keys now.
///
/// # Errors
/// When the content gives no keys; nothing is replaced then.
pub(super) fn replace(known: &mut TokenKeys, path: &Path, content: &[u8]) -> Result<bool, String> {
    let mut changed = Vec::new();
    for (name, (file, before)) in known.iter().filter(|(_, (file, _))| file.path() == path) {
        let keys = parse(file, content)?;
        if keys.fingerprint() != before.fingerprint() {
            changed.push((name.clone(), (file.clone(), Arc::new(keys))));
        }
    }
    let any = !changed.is_empty();
    known.extend(changed);
    Ok(any)
}

/// The keys alone.
pub(super) fn by_provider(keys: &TokenKeys) -> BTreeMap<Name, Arc<KeySet>> {
    keys.iter().map(|(name, (_, keys))| (name.clone(), Arc::clone(keys))).collect()
}

/// The files alone.
pub(super) fn files(keys: &TokenKeys) -> BTreeSet<PathBuf> {
    keys.values().map(|(file, _)| file.path().clone()).collect()
}

fn open(file: &KeyFile) -> Result<KeySet, String> {
    let size = fs::metadata(file.path()).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err("a key file has at most 1 MiB".to_owned());
    }
    parse(file, &fs::read(file.path()).map_err(|error| error.to_string())?)
}

fn parse(file: &KeyFile, content: &[u8]) -> Result<KeySet, String> {
    let format = match file {
        KeyFile::Pem(_) => KeyFormat::Pem,
        KeyFile::Jwks(_) => KeyFormat::Jwks,
    };
    KeySet::read(format, content).map_err(|error| chain(&error))
}

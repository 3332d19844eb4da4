//! What a person writes: the control file, validated as a whole.
//!
//! [`load`] and [`parse`] go from text to [`Config`] in three steps: `yaml` makes a tree that knows where each value
//! stands, `decode` reads it by the key tables of `keys`, `validate` checks what the whole must mean. None of them stops
//! at the first error: a bad file is refused with everything that is wrong with it, each with line and column, and
//! nothing of it is used.
//!
//! The key tables are the one list of keys: the JSON [`schema`] and docs/configuration.md are written from them too. The
//! way back, from a [`Config`] to a file, is in `emit`.

mod code;
mod compare;
mod decode;
mod diagnostic;
mod emit;
pub mod freeze;
mod keys;
pub mod model;
mod render;
mod rollout_presets;
mod schema;
mod source;
mod suggest;
mod validate;
mod withhold;
mod yaml;

#[cfg(test)]
mod tests;

use std::{fs::File, io::Read, path::Path, sync::Arc};

pub use code::Code;
pub use compare::{Change, ChangeKind, compare};
pub use diagnostic::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Severity};
pub use emit::{json_to_yaml, plan_to_json};
pub use model::Config;
use model::{RolloutPlan, Route};
pub use render::Look;
pub use schema::schema;
pub use source::{Position, Source, Span};
pub use withhold::withhold;

/// The largest control file, in bytes: some 20,000 routes.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// A control file that was understood.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is odd about it.
    pub warnings: Diagnostics,
    /// Its text, and where in it things stand.
    pub source: Arc<Source>,
}

/// Reads a control file.
///
/// # Errors
/// Everything that is wrong with it: when it cannot be read, is too large, is not UTF-8, or [`parse`] refuses it.
pub fn load(path: impl AsRef<Path>) -> Result<Loaded, Diagnostics> {
    let path = path.as_ref();
    let name = path.to_string_lossy();
    let refuse = |diagnostic| Err(Diagnostics::single(&name, "", diagnostic));
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits, whatever its length claims.
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return refuse(Diagnostic::new(Code::Unreadable, "", format!("cannot read {name}: {error}")));
    }
    parse_bytes(&bytes, &name)
}

/// Reads a control file from bytes, as they come from a file or a request.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_bytes(bytes: &[u8], file_name: &str) -> Result<Loaded, Diagnostics> {
    match std::str::from_utf8(bytes) {
        // The length first: nobody wants to see where 5 MiB stop being text.
        _ if bytes.len() > MAX_FILE_BYTES => Err(too_large(file_name)),
        Ok(text) => parse(text, file_name),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let end = valid.strip_prefix('\u{feff}').unwrap_or(&valid).len();
            let bad = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let message = format!("the file is not UTF-8: byte 0x{bad:02x}");
            let diagnostic = Diagnostic::new(Code::NotUtf8, "", message)
                .at(Span { start: end, end })
                .help("save the file as UTF-8");
            Err(Diagnostics::single(file_name, &valid, diagnostic))
        }
    }
}

/// Reads a control file from text. `file_name` is for messages only.
///
/// # Errors
/// Everything that is wrong with it, at most [`MAX_DIAGNOSTICS`] in full.
pub fn parse(text: &str, file_name: &str) -> Result<Loaded, Diagnostics> {
    if text.len() > MAX_FILE_BYTES {
        return Err(too_large(file_name));
    }
    let source = Source::new(file_name, text);
    let mut sink = diagnostic::Sink::default();
    let Some(root) = yaml::read(&source, &mut sink) else {
        return Err(sink.finish(Arc::new(source)));
    };
    let mut context = decode::Context::new(source, sink);
    let config = decode::config(&root, &mut context);
    validate::check(&config, &mut context);
    let (source, sink) = context.finish();
    let source = Arc::new(source);
    let failed = sink.has_errors();
    let found = sink.finish(Arc::clone(&source));
    if failed { Err(found) } else { Ok(Loaded { config, warnings: found, source }) }
}

/// Reads a rollout plan that stands alone, as it comes to the admin API: JSON or YAML with the keys, defaults and messages of
/// `rollout` in `route`. What it names must be in `config`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_plan(
    text: &str,
    route: &Route,
    config: &Config,
) -> Result<(RolloutPlan, Diagnostics), Diagnostics> {
    const NAME: &str = "rollout";
    if text.len() > MAX_FILE_BYTES {
        return Err(too_large(NAME));
    }
    let source = Source::new(NAME, text);
    let mut sink = diagnostic::Sink::default();
    let Some(root) = yaml::read(&source, &mut sink) else {
        return Err(sink.finish(Arc::new(source)));
    };
    let mut context = decode::Context::new(source, sink);
    context.know(config);
    let plan = decode::plan(&root, &mut context);
    validate::plan((&plan, route), config, &mut context);
    let (source, sink) = context.finish();
    let failed = sink.has_errors();
    let found = sink.finish(Arc::new(source));
    if failed { Err(found) } else { Ok((plan, found)) }
}

fn too_large(file_name: &str) -> Diagnostics {
    let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
    Diagnostics::single(file_name, "", Diagnostic::new(Code::FileTooLarge, "", message).at(Span::default()))
}

//! Secrets in files, and what is signed with them.
//!
//! Files are read at each call, so that a secret can be replaced without a restart. A signature covers the time at which it was made
//! and the body: `X-Weir-Signature: t=1764547200,v1=78583f…`, where `v1` is the HMAC-SHA-256 (RFC 2104) of `1764547200.` and the body,
//! in hexadecimal digits. Whoever checks it refuses old times, so that a call that was overheard cannot be made again later.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::hmac;
use hyper::header::{HeaderName, HeaderValue};
use tokio::{fs::File, io::AsyncReadExt as _};

use super::client::{Call, CallError};

/// The field with the signature.
const SIGNATURE: &str = "x-weir-signature";
/// The field that tells a delivery from others; the same when it has to be made again.
const DELIVERY: &str = "x-weir-delivery";
/// The largest file of a secret, in bytes.
const LIMIT: u64 = 8 << 10;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: String,
    },
    /// What it holds is no secret.
    #[error("{path} {what}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The secret in a file, without what is blank around it.
///
/// # Errors
/// When it cannot be read, or holds nothing or too much.
pub(super) async fn read(path: &Path) -> Result<String, SecretError> {
    let shown = || path.display().to_string();
    let failed = |error: std::io::Error| SecretError::Read { path: shown(), error: error.to_string() };
    let file = File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    let bad = |what| SecretError::Content { path: shown(), what };
    if bytes.len() as u64 > LIMIT {
        return Err(bad("is too large for a secret"));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("is not text"))?;
    match text.trim() {
        "" => Err(bad("is empty")),
        secret => Ok(secret.to_owned()),
    }
}

/// What goes along with a body that is delivered: fields from files, a signature, and what tells the delivery from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealing<'a> {
    /// Fields and the files with their values.
    pub(super) headers: &'a [(String, PathBuf)],
    /// The file with the key of the signature.
    pub(super) secret_file: Option<&'a Path>,
    /// What tells the delivery from others.
    pub(super) key: &'a str,
}

// === impl Sealing ===

impl Sealing<'_> {
    /// Adds all that to a call, which is signed as of `now`, seconds since the Unix epoch.
    pub(super) async fn seal(self, mut call: Call, now: u64) -> Result<Call, CallError> {
        for (name, file) in self.headers {
            let field = HeaderName::try_from(name.as_str()).map_err(|_| CallError::Field(name.clone()))?;
            let value = HeaderValue::try_from(read(file).await?);
            let mut value = value.map_err(|_| CallError::Field(name.clone()))?;
            value.set_sensitive(true);
            call = call.with(field, value);
        }
        if let Some(file) = self.secret_file {
            let signature = signature(read(file).await?.as_bytes(), now, call.body());
            call = call.field(SIGNATURE, &signature)?;
        }
        call.field(DELIVERY, self.key)
    }
}

/// The value of the field with the signature.
fn signature(secret: &[u8], now: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{now}.").as_bytes());
    context.update(body);
    format!("t={now},v1={}", hex(context.sign().as_ref()))
}

/// Bytes as hexadecimal digits.
pub(in crate::rollout) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::outside::client::Url;

    /// Made with Python: `hmac.new(b"s3cret", b'1764547200.{"a":1}', "sha256").hexdigest()`.
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let expected = "t=1764547200,v1=78583f9c7ac099b2c833b58f7323851695d0898535df9649085e882928df019b";
        assert_eq!(signature(b"s3cret", 1_764_547_200, br#"{"a":1}"#), expected);
    }

    #[tokio::test]
    async fn files_are_trimmed_and_bad_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (content, expected) in [
            (&b" s3cret\n"[..], Ok("s3cret")),
            (b"\n", Err("is empty")),
            (b"\xff\xfe", Err("is not text")),
            (&[b'x'; 9000], Err("is too large for a secret")),
        ] {
            let file = folder.path().join("secret");
            std::fs::write(&file, content).unwrap();
            match (read(&file).await, expected) {
                (Ok(secret), Ok(expected)) => assert_eq!(secret, expected),
                (Err(error), Err(expected)) => {
                    assert_eq!(error.to_string(), format!("{} {expected}", file.display()));
                }
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
        assert!(matches!(read(&folder.path().join("none")).await, Err(SecretError::Read { .. })));
    }

    #[tokio::test]
    async fn a_field_that_cannot_be_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "two\nlines").unwrap();
        let headers = [("Authorization".to_owned(), file)];
        let call = Call::get(Url::parse("http://checks/").unwrap());
        let sealing = Sealing { headers: &headers, secret_file: None, key: "r-1/check/1/1" };
        let error = sealing.seal(call, 0).await.unwrap_err();
        assert!(matches!(error, CallError::Field(name) if name == "Authorization"));
    }
}

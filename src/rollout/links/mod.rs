//! Links that agree to a step, or reject it, for people who have no token of the admin API: they are in messages.
//!
//! A link says what it does and carries the proof that Weir made it (HMAC-SHA-256). It works until it expires, for the wait that it was
//! made for, and once: what was used is in the journal, and the link to agree and the one to reject are used up together. Following it
//! shows a [`page`] with a button and does nothing: programs follow links that they see in messages, and only people press buttons.
//!
//! Whoever sees the message has the link. So there are links only where the control file names `admin.public_url`, and none for steps that
//! only admins may agree to.

pub mod page;

use std::{fmt, time::Duration};

use aws_lc_rs::hmac;

use super::{
    machine::{Command, Phase, Rollout},
    outside::secret::hex,
};
use crate::{
    control::{Journal, store::SigningKey},
    types::Name,
};

/// How long a link works at most.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// What the key is for: the keys of the store sign other things, too.
const PURPOSE: &[u8] = b"weir approval links 1";
/// Hexadecimal digits of the proof.
const PROOF: usize = 64;

/// Makes links and checks them. `Debug` does not show the keys.
#[derive(Clone)]
pub struct Links {
    /// The current one first.
    keys: Vec<hmac::Key>,
}

/// What a link does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The rollout.
    pub rollout: String,
    /// [`Command::Approve`] or [`Command::Reject`].
    pub command: Command,
    /// The entry of the journal with which the wait began.
    pub seq: u64,
    /// The step, from 0.
    pub step: usize,
    /// When it expires, seconds since the Unix epoch.
    pub expires: u64,
    /// The notification in which it was.
    pub sink: Name,
}

/// Why a link does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It was not made here, or was changed.
    #[error("this is no link of this Weir; perhaps it was cut off")]
    Invalid,
    /// It is too old.
    #[error("this link has expired")]
    Expired,
    /// Somebody has used it, or the other one of its message.
    #[error("this link, or the other one of its message, was used already")]
    Used,
    /// The rollout does not wait for it any more.
    #[error("the rollout does not wait for this any more")]
    Over,
    /// That it is used could not be written down, so it was not.
    #[error("this could not be written to the data directory; try again later")]
    NotKept,
    /// Weir does not take it any more.
    #[error("Weir is stopping")]
    Stopping,
}

// === impl Links ===

impl Links {
    /// With the keys of the store, the current one first.
    #[must_use]
    pub fn new(keys: &[SigningKey]) -> Self {
        let key = |key: &SigningKey| {
            let secret = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.secret()), PURPOSE);
            hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref())
        };
        Self { keys: keys.iter().map(key).collect() }
    }

    /// The last part of a link's address; `None` without a key.
    #[must_use]
    pub fn mint(&self, link: &Link) -> Option<String> {
        let said = link.said();
        let proof = hmac::sign(self.keys.first()?, signed(&link.rollout, &said).as_bytes());
        Some(format!("{said}~{}", hex(proof.as_ref())))
    }

    /// What the link to `rollout` with this last part does, at `now` seconds since the Unix epoch.
    ///
    /// # Errors
    /// When it was not made here, or has expired. Whether it was used is for the journal to say.
    pub fn verify(&self, rollout: &str, token: &str, now: u64) -> Result<Link, LinkError> {
        let (said, proof) = token.rsplit_once('~').ok_or(LinkError::Invalid)?;
        let proof = unhex(proof).ok_or(LinkError::Invalid)?;
        let signed = signed(rollout, said);
        // Compares in constant time.
        let fits = |key: &hmac::Key| hmac::verify(key, signed.as_bytes(), &proof).is_ok();
        if !self.keys.iter().any(fits) {
            return Err(LinkError::Invalid);
        }
        let link = Link::parse(rollout, said).ok_or(LinkError::Invalid)?;
        if now >= link.expires { Err(LinkError::Expired) } else { Ok(link) }
    }

    /// What the link to `rollout` with this last part would do at `now`, and changes nothing.
    ///
    /// # Errors
    /// When it would do nothing.
    pub async fn look(
        &self,
        journal: &Journal,
        (rollout, token): (&Rollout, &str),
        now: Duration,
    ) -> Result<Link, LinkError> {
        let link = self.verify(&rollout.id, token, now.as_secs())?;
        // A rollout goes on because a link was used: that says more than that it has gone on. What cannot be read here is found when it is
        // to be written.
        if journal.is_link_used(&link.nonce()).await.unwrap_or(false) {
            return Err(LinkError::Used);
        }
        link.check(rollout)?;
        Ok(link)
    }

    /// Uses up the link to `rollout` with this last part at `now`; what it says is to be carried out after that. Nothing can be done
    /// twice with it, not even when Weir ends in between: then nothing is done.
    ///
    /// # Errors
    /// When it does nothing, or cannot be used up.
    pub async fn redeem(
        &self,
        journal: &Journal,
        (rollout, token): (&Rollout, &str),
        now: Duration,
    ) -> Result<Link, LinkError> {
        let link = self.look(journal, (rollout, token), now).await?;
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        match journal.use_link(&link.nonce(), now_ms, link.expires.saturating_mul(1000)).await {
            Ok(true) => Ok(link),
            Ok(false) => Err(LinkError::Used),
            Err(_) => Err(LinkError::NotKept),
        }
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("keys", &self.keys.len()).finish()
    }
}

/// What the proof covers. No id has a line break.
fn signed(rollout: &str, said: &str) -> String {
    format!("{rollout}\n{said}")
}

fn unhex(text: &str) -> Option<[u8; PROOF / 2]> {
    let mut bytes = [0; PROOF / 2];
    if text.len() != PROOF || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

// === impl Link ===

impl Link {
    /// What is used up with it: one for both links of a message, and of the same message in other places.
    #[must_use]
    pub fn nonce(&self) -> String {
        format!("{}/{}", self.rollout, self.seq)
    }

    /// Whether the rollout waits for it, as far as its state says.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, rollout: &Rollout) -> Result<(), LinkError> {
        let waits = rollout.id == self.rollout
            && rollout.phase == Phase::AwaitingApproval
            && rollout.step == self.step;
        if waits { Ok(()) } else { Err(LinkError::Over) }
    }

    /// Who is told to have decided, where only the link is known.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("link:{}", self.sink)
    }

    /// Its content. No part has a `~`, and nothing in it needs encoding in an address.
    fn said(&self) -> String {
        format!("{}~{}~{}~{}~{}", self.command.as_str(), self.seq, self.step, self.expires, self.sink)
    }

    fn parse(rollout: &str, said: &str) -> Option<Self> {
        let mut parts = said.split('~');
        let link = Self {
            rollout: rollout.to_owned(),
            command: match parts.next()? {
                "approve" => Command::Approve,
                "reject" => Command::Reject,
                _ => return None,
            },
            seq: parts.next()?.parse().ok()?,
            step: parts.next()?.parse().ok()?,
            expires: parts.next()?.parse().ok()?,
            sink: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(link)
    }
}

#[cfg(test)]
mod tests;

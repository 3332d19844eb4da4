//! How the audit proves itself: each row has the SHA-256 of the hash before it and its own text, so that nobody can change, take out or put
//! in a row without changing every hash after it (hash chaining as in Schneier and Kelsey, "Cryptographic Support for Secure Logs on
//! Untrusted Machines", 1998, without their keys).
//!
//! What a chain cannot show by itself is that its end was cut off. The [`Head`] is kept in another table, and `weir audit verify`
//! prints it: whoever notes it elsewhere can tell later.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// A hash of the chain.
pub type Hash = [u8; SHA256_OUTPUT_LEN];

/// What stands before the first row.
pub const GENESIS: Hash = [0; SHA256_OUTPUT_LEN];

/// The newest row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many rows there are.
    pub rows: u64,
    /// The newest.
    pub head: Head,
}

/// A chain that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A number is left out.
    #[error("row {expected} of the audit is missing; the next is {found}")]
    Missing {
        /// The number that should be next.
        expected: u64,
        /// The number that is.
        found: u64,
    },
    /// A hash is another one than row and predecessor give.
    #[error("row {seq} of the audit, or one before it, was changed: its hash does not fit")]
    Changed {
        /// The row.
        seq: u64,
    },
    /// The newest rows are gone, or were not written by Weir.
    #[error("the audit ends with row {found}, and Weir wrote up to {written}")]
    CutOff {
        /// The number of the last row.
        found: u64,
        /// The number that it should have.
        written: u64,
    },
}

/// Follows a chain, row by row.
#[derive(Debug)]
pub struct Walk {
    head: Head,
}

/// The hash of a row with this text after `before`.
#[must_use]
pub fn link(before: &Hash, text: &str) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(text.as_bytes());
    let mut hash = GENESIS;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A hash in hexadecimal digits.
#[must_use]
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Head ===

impl Head {
    /// Before the first row.
    pub const START: Self = Self { seq: 0, hash: GENESIS };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

// === impl Walk ===

impl Walk {
    /// Before the first row.
    #[must_use]
    pub fn new() -> Self {
        Self { head: Head::START }
    }

    /// After a row that is known, where the ones before are not kept.
    #[must_use]
    pub fn after(head: Head) -> Self {
        Self { head }
    }

    /// The next row.
    ///
    /// # Errors
    /// When it does not fit the one before.
    pub fn step(&mut self, seq: u64, text: &str, hash: &[u8]) -> Result<(), Broken> {
        let expected = self.head.seq + 1;
        if seq != expected {
            return Err(Broken::Missing { expected, found: seq });
        }
        let linked = link(&self.head.hash, text);
        if hash != linked {
            return Err(Broken::Changed { seq });
        }
        self.head = Head { seq, hash: linked };
        Ok(())
    }

    /// After the last row, which `written` says should be the last.
    ///
    /// # Errors
    /// When it is another one.
    pub fn finish(self, written: Head) -> Result<Verified, Broken> {
        if self.head.seq != written.seq {
            return Err(Broken::CutOff { found: self.head.seq, written: written.seq });
        }
        if self.head.hash != written.hash {
            return Err(Broken::Changed { seq: written.seq });
        }
        Ok(Verified { rows: self.head.seq, head: self.head })
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> (Vec<(u64, String, Hash)>, Head) {
        let mut head = Head::START;
        let rows = (1..=4).map(|seq| {
            let text = format!("row {seq}");
            head = Head { seq, hash: link(&head.hash, &text) };
            (seq, text, head.hash)
        });
        (rows.collect(), head)
    }

    fn walk(rows: &[(u64, String, Hash)], head: Head) -> Result<Verified, Broken> {
        let mut walk = Walk::new();
        for (seq, text, hash) in rows {
            walk.step(*seq, text, hash)?;
        }
        walk.finish(head)
    }

    #[test]
    fn a_whole_chain_holds_and_any_change_breaks_it() {
        let (rows, head) = rows();
        assert_eq!(walk(&rows, head), Ok(Verified { rows: 4, head }));
        for place in 0..rows.len() {
            let mut changed = rows.clone();
            changed[place].1.push('!');
            let seq = rows[place].0;
            assert_eq!(walk(&changed, head), Err(Broken::Changed { seq }));
            // A changed row with a hash that fits it gives itself away at the next.
            changed[place].2 =
                link(&place.checked_sub(1).map_or(GENESIS, |before| rows[before].2), &changed[place].1);
            let seq = if place == 3 { 4 } else { seq + 1 };
            assert_eq!(walk(&changed, head), Err(Broken::Changed { seq }));
            let mut short = rows.clone();
            short.remove(place);
            let broken = walk(&short, head).unwrap_err();
            let cut = Broken::CutOff { found: 3, written: 4 };
            let missing = Broken::Missing { expected: place as u64 + 1, found: place as u64 + 2 };
            assert_eq!(broken, if place == 3 { cut } else { missing });
        }
    }
}

//! A set of users, by bucket.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::{BUCKETS, Bucket};

const WORDS: usize = (BUCKETS as usize).div_ceil(64);

/// A set of users: a bit for every bucket, 12.5 KB once it has a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    words: Vec<u64>,
    len: u32,
}

// === impl Users ===

impl Users {
    /// Adds a user; says whether it was not there before.
    pub fn insert(&mut self, user: Bucket) -> bool {
        if self.words.is_empty() {
            self.words.resize(WORDS, 0);
        }
        let number = user.number();
        let (word, bit) = (&mut self.words[(number / 64) as usize], 1 << (number % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        self.len += u32::from(is_new);
        is_new
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let used = self.words.iter().zip(0_u32..).filter(|(word, _)| **word != 0);
        used.flat_map(|(word, place)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 64 + bit)
        })
    }
}

/// As the list of their numbers: there are few, or the rollout is over.
impl Serialize for Users {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut users = Self::default();
        for number in Vec::<u32>::deserialize(deserializer)? {
            if let Some(user) = Bucket::new(number) {
                users.insert(user);
            }
        }
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_counted_once_and_survives_a_journal() {
        let mut users = Users::default();
        let numbers = [0, 63, 64, 99_999];
        for number in numbers {
            assert!(users.insert(Bucket::new(number).unwrap()));
            assert!(!users.insert(Bucket::new(number).unwrap()));
        }
        assert_eq!(users.len(), 4);
        let text = serde_json::to_string(&users).unwrap();
        assert_eq!(text, "[0,63,64,99999]");
        assert_eq!(serde_json::from_str::<Users>(&text).unwrap(), users);
    }
}

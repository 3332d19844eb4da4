//! Lists in pages: `?limit=50&cursor=…` asks, and `next` in the body is the cursor of the page that follows.
//!
//! Lists are newest first and their items are numbered, so a cursor is the number that the next page stays below. Items that
//! are added meanwhile come before the first page and shift nothing: going on with `next` sees every item once.

use serde::Deserialize;

use super::problem::{Kind, Refused};

/// How many items a page has when nobody says.
pub const DEFAULT_LIMIT: usize = 50;
/// The largest page. An audit row takes some hundred bytes, so an answer stays below a megabyte.
pub const MAX_LIMIT: usize = 500;

/// The parameters of a list. They are texts here, so that a wrong one is answered like any other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PageQuery {
    /// How many items at most, 1 to 500; 50 when it is not given.
    pub limit: Option<String>,
    /// The `next` of the page before; the first page when it is not given.
    pub cursor: Option<String>,
}

/// The part of a list that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    below: Option<u64>,
}

// === impl PageQuery ===

impl PageQuery {
    /// The page that they ask for.
    ///
    /// # Errors
    /// `invalid-parameter` when the limit is none, or the cursor is not one that an answer gave.
    pub fn page(&self) -> Result<Page, Refused> {
        let limit = match self.limit.as_deref() {
            None => DEFAULT_LIMIT,
            Some(text) => number(text)
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| {
                    let detail = format!("`limit` is a number from 1 to {MAX_LIMIT}, not `{text}`");
                    Kind::InvalidParameter.because(detail)
                })?,
        };
        let below = match self.cursor.as_deref() {
            None => None,
            Some(text) => Some(number(text).ok_or_else(|| {
                let refused = Kind::InvalidParameter.because(format!("`{text}` is no cursor"));
                refused
                    .hint("send `next` of the page before as it is, or leave `cursor` out for the first page")
            })?),
        };
        Ok(Page { limit, below })
    }
}

// === impl Page ===

impl Page {
    /// How many items to look up: one more than are shown, which tells whether another page follows.
    #[must_use]
    pub fn look_up(self) -> usize {
        self.limit + 1
    }

    /// Only items whose number is smaller than this are on the page.
    #[must_use]
    pub fn below(self) -> Option<u64> {
        self.below
    }

    /// Cuts `items`, whose numbers fall, to what is shown, and gives the cursor of the page that follows, if one does.
    /// Items that are not below the cursor are left out, so that a list which is in memory as a whole can be given as it is.
    pub fn cut<T>(
        self,
        items: impl IntoIterator<Item = T>,
        number: impl Fn(&T) -> u64,
    ) -> (Vec<T>, Option<String>) {
        let wanted = items.into_iter().filter(|item| self.below.is_none_or(|below| number(item) < below));
        let mut shown: Vec<T> = wanted.take(self.look_up()).collect();
        let more = shown.len() > self.limit;
        shown.truncate(self.limit);
        let next = shown.last().filter(|_| more).map(|last| number(last).to_string());
        (shown, next)
    }
}

/// A number of plain digits; `parse` alone would take `+5`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn query(limit: Option<&str>, cursor: Option<&str>) -> PageQuery {
        PageQuery { limit: limit.map(str::to_owned), cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn parameters_are_checked() {
        for (limit, cursor, expected) in [
            (None, None, Some((51, None))),
            (Some("1"), Some("7"), Some((2, Some(7)))),
            (Some("500"), None, Some((501, None))),
            (Some("0"), None, None),
            (Some("501"), None, None),
            (Some("+5"), None, None),
            (Some(""), None, None),
            (Some("99999999999999999999"), None, None),
            (None, Some(""), None),
            (None, Some("r7"), None),
        ] {
            let page = query(limit, cursor).page();
            let seen = page.as_ref().ok().map(|page| (page.look_up(), page.below()));
            assert_eq!(seen, expected, "{limit:?} {cursor:?}");
            if let Err(refused) = page {
                assert_eq!(refused.into_response().status(), 400, "{limit:?} {cursor:?}");
            }
        }
    }

    #[test]
    fn following_next_sees_everything_once() {
        for (count, limit) in [(0, 3), (1, 3), (3, 3), (4, 3), (9, 3), (10, 3), (10, 500)] {
            let mut all: Vec<u64> = (1..=count).rev().collect();
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let page = query(Some(&limit.to_string()), cursor.as_deref()).page().unwrap();
                let (shown, next) = page.cut(all.iter().copied(), |item| *item);
                assert!(shown.len() <= limit);
                seen.extend(shown);
                // What comes meanwhile is on no later page.
                all.insert(0, all.first().map_or(100, |first| first + 1));
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen, (1..=count).rev().collect::<Vec<_>>(), "{count} by {limit}");
        }
    }
}

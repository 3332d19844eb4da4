//! The `Date` header's value (RFC 9110, section 5.6.7, IMF-fixdate).

use std::{fmt::Write as _, time::Duration};

/// Formats one instant a second: most requests find the text ready.
#[derive(Debug, Default)]
pub struct DateCache {
    second: u64,
    text: String,
}

// === impl DateCache ===

impl DateCache {
    /// The value for `unix_now`, the time since 1970-01-01T00:00:00Z.
    pub fn at(&mut self, unix_now: Duration) -> &str {
        let second = unix_now.as_secs();
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            let time =
                i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            let zoned = time.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
            let _ = write!(self.text, "{}", zoned.strftime("%a, %d %b %Y %H:%M:%S GMT"));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_9110() {
        assert_eq!(
            DateCache::default().at(Duration::from_secs(784_111_777)),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }
}

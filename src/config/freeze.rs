//! Times in which no rollout makes a step forward.
//!
//! A freeze begins by a cron expression in a time zone and lasts a fixed time. The zones are those of the machine, and those that
//! are compiled in where it has none, as in most container images. A beginning that the change to summer time leaves out does not
//! come that day; one that comes twice in autumn begins twice.

use std::time::Duration;

use cronexpr::{Crontab, MakeTimestamp};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::model::rollout::Freeze;

/// The longest time without steps.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Why a freeze is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    /// The expression cannot be read.
    #[error("`{cron}` is not a cron expression: {why}")]
    Cron {
        /// The expression.
        cron: String,
        /// What is wrong with it.
        why: String,
    },
    /// The time zone is unknown.
    #[error("there is no time zone `{0}`")]
    Zone(String),
    /// The expression is right, and no day fits it.
    #[error("`{0}` never comes")]
    Never(String),
    /// It lasts longer than a year.
    #[error("a freeze lasts 366d at most")]
    TooLong,
}

/// Whether no step forward is made at `now`: the freeze began, and is not over. One that [`check`] refuses freezes nothing.
#[must_use]
pub fn is_frozen(freeze: &Freeze, now: Timestamp) -> bool {
    let Ok(crontab) = crontab(freeze) else { return false };
    let before = SignedDuration::try_from(freeze.duration).ok().and_then(|lasts| now.checked_sub(lasts).ok());
    // The first beginning within the time that one lasts: were it over, it would lie before.
    let began = before.and_then(|before| crontab.find_next(MakeTimestamp(before)).ok());
    began.is_some_and(|began| began.timestamp() <= now)
}

/// Checks that the freeze can be understood and comes at all.
///
/// # Errors
/// When it cannot, does not, or lasts too long.
pub fn check(freeze: &Freeze) -> Result<(), FreezeError> {
    let crontab = crontab(freeze)?;
    if freeze.duration > LONGEST {
        return Err(FreezeError::TooLong);
    }
    // Four years are looked at, which begin before a leap day here.
    match crontab.find_next(MakeTimestamp(Timestamp::UNIX_EPOCH)) {
        Ok(_) => Ok(()),
        Err(_) => Err(FreezeError::Never(freeze.cron.clone())),
    }
}

fn crontab(freeze: &Freeze) -> Result<Crontab, FreezeError> {
    let wrong = |why: &str| FreezeError::Cron { cron: freeze.cron.clone(), why: why.to_owned() };
    let fields = freeze.cron.split_whitespace().count();
    if fields != 5 {
        return Err(wrong(&format!("it has five fields, and {fields} are there")));
    }
    if TimeZone::get(&freeze.zone).is_err() {
        return Err(FreezeError::Zone(freeze.zone.clone()));
    }
    cronexpr::parse_crontab(&format!("{} {}", freeze.cron, freeze.zone)).map_err(|error| {
        // The message repeats the expression and marks the place on a line of its own.
        let text = error.to_string();
        wrong(text.lines().last().map_or("", |line| line.trim_start().trim_start_matches("^ ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(cron: &str, hours: u64, zone: &str) -> Freeze {
        Freeze {
            cron: cron.to_owned(),
            duration: Duration::from_secs(hours * 3600),
            zone: zone.to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_freeze_begins_and_ends() {
        let weekend = ("0 16 * * FRI", 64, "Europe/Berlin");
        let night = ("30 2 * * *", 1, "Europe/Berlin");
        for ((cron, hours, zone), now, expected) in [
            // Friday 16:00 to Monday 08:00, winter time.
            (weekend, "2026-01-09T14:59:59.999Z", false),
            (weekend, "2026-01-09T15:00:00Z", true),
            (weekend, "2026-01-11T12:00:00Z", true),
            (weekend, "2026-01-12T06:59:59.999Z", true),
            (weekend, "2026-01-12T07:00:00Z", false),
            // The same in summer time.
            (weekend, "2026-07-10T13:59:59Z", false),
            (weekend, "2026-07-10T14:00:00Z", true),
            (weekend, "2026-07-13T05:59:59Z", true),
            (weekend, "2026-07-13T06:00:00Z", false),
            // It lasts 64 hours over the change to summer time too, which is Monday 09:00 on the wall.
            (weekend, "2026-03-27T15:00:00Z", true),
            (weekend, "2026-03-30T06:59:59Z", true),
            (weekend, "2026-03-30T07:00:00Z", false),
            // Half past two does not come on 29 March.
            (night, "2026-03-28T01:30:00Z", true),
            (night, "2026-03-29T00:45:00Z", false),
            (night, "2026-03-29T01:15:00Z", false),
            (night, "2026-03-30T00:30:00Z", true),
            // It comes twice on 25 October.
            (night, "2026-10-25T00:29:59Z", false),
            (night, "2026-10-25T00:30:00Z", true),
            (night, "2026-10-25T01:30:00Z", true),
            (night, "2026-10-25T02:29:59Z", true),
            (night, "2026-10-25T02:30:00Z", false),
            // Days of the month, and a month over the end of the year.
            (("0 0 24 12 *", 24 * 9, "UTC"), "2026-12-23T23:59:59Z", false),
            (("0 0 24 12 *", 24 * 9, "UTC"), "2027-01-01T12:00:00Z", true),
            (("0 0 24 12 *", 24 * 9, "UTC"), "2027-01-02T00:00:00Z", false),
            // Windows that overlap.
            (("0 * * * *", 2, "UTC"), "2026-01-09T14:59:59Z", true),
            // One that is none.
            (("0 16 * *", 2, "UTC"), "2026-01-09T16:00:00Z", false),
        ] {
            let now: Timestamp = now.parse().unwrap();
            assert_eq!(is_frozen(&freeze(cron, hours, zone), now), expected, "{cron} {zone} at {now}");
        }
    }

    #[test]
    fn what_is_no_freeze_says_why() {
        for (cron, hours, zone, expected) in [
            ("0 16 * * FRI", 64, "UTC", None),
            ("*/15 8-17 * JAN-MAR 1,3", 1, "America/New_York", None),
            ("0 0 29 2 *", 24, "UTC", None),
            ("0 0 31 2 *", 24, "UTC", Some("`0 0 31 2 *` never comes")),
            (
                "0 16 * *",
                1,
                "UTC",
                Some("`0 16 * *` is not a cron expression: it has five fields, and 4 are there"),
            ),
            (
                "0 16 * * FRI UTC",
                1,
                "UTC",
                Some("`0 16 * * FRI UTC` is not a cron expression: it has five fields, and 6 are there"),
            ),
            (
                "61 * * * *",
                1,
                "UTC",
                Some("`61 * * * *` is not a cron expression: value must be in range 0..=59; found 61"),
            ),
            (
                "0 16 * * FRIDAY",
                1,
                "UTC",
                Some("`0 16 * * FRIDAY` is not a cron expression: malformed expression"),
            ),
            ("0 16 * * FRI", 1, "Europe/Berln", Some("there is no time zone `Europe/Berln`")),
            ("0 16 * * FRI", 1, "UTC UTC", Some("there is no time zone `UTC UTC`")),
            ("0 0 1 1 *", 24 * 367, "UTC", Some("a freeze lasts 366d at most")),
        ] {
            let error = check(&freeze(cron, hours, zone)).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected, "{cron} {zone}");
        }
    }
}

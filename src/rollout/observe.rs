//! The observer of a route: reads what workers noted and puts it together for the judge.

use std::time::Duration;

use super::{cohort::Cohorts, judge::Seen, sums};
use crate::telemetry::trial::{Arm, Note, Trial};

/// Reads the notes of one stage.
#[derive(Debug)]
pub struct Observer {
    cohorts: Cohorts,
    streak: u32,
    notes: Vec<Note>,
}

// === impl Observer ===

impl Observer {
    /// Of a stage that begins. `horizon` is how long requests are waited for before they are compared without those.
    #[must_use]
    pub fn new(horizon: Duration) -> Self {
        Self { cohorts: Cohorts::new(horizon), streak: 0, notes: Vec::new() }
    }

    /// What was noted since the last look, `now` after the trial began.
    pub fn read(&mut self, trial: &Trial, now: Duration) -> Seen {
        let mut notes = std::mem::take(&mut self.notes);
        trial.drain(&mut notes);
        let seen = self.take(&notes, now);
        notes.clear();
        self.notes = notes;
        seen
    }

    /// The same of notes at hand.
    pub fn take(&mut self, notes: &[Note], now: Duration) -> Seen {
        let mut seen = Seen::default();
        for note in notes {
            self.cohorts.note(note);
            let Some(end) = &note.end else { continue };
            seen.ended.add(note);
            if note.arm == Arm::Canary && !sums::is_void(end) {
                let failed = sums::is_error(end);
                self.streak = if failed { self.streak.saturating_add(1) } else { 0 };
                // A copy's answer is seen by nobody.
                if failed && !note.copy {
                    seen.failed_users.extend(note.bucket);
                }
            }
        }
        seen.streak = self.streak;
        seen.cohorts = self.cohorts.close(now);
        seen
    }

    /// How many requests could not be compared because they were noted too late.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.cohorts.late()
    }
}

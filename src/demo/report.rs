//! What the demo proved: figures, and what of them is not as it should be.

use serde::Serialize;

use super::{
    schedule::USERS,
    stats::Tally,
    version::{PerVersion, Version},
};

/// Standard deviations that an observed share may be off. Chance goes beyond it once in 500 million steps.
const SIGMAS: f64 = 6.0;

/// The end of a demo; goes out as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The seed of the load and of the backends.
    pub seed: u64,
    /// The weights that were walked.
    pub steps: Vec<StepReport>,
    /// All requests, those of probes included.
    pub requests: u64,
    /// Of those, answered by anything but the right page with status 200.
    pub failed: u64,
    /// How many users went from v1 to v2.
    pub users_moved: u64,
    /// How often a user went from v2 to v1; nobody should while the weight of v2 grows.
    pub switched_back: u64,
    /// The longest time from asking for a weight to an answer by it, in milliseconds; `null` when one never came.
    pub new_weight_in_force_ms: Option<f64>,
    /// Whether everything is as it should be.
    pub ok: bool,
    /// What is not, for people.
    pub problems: Vec<String>,
}

/// One weight of the walk. Counts are of requests that were sent while it was in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// The weight of v2 out of 100.
    pub weight: u32,
    /// How long it was held.
    pub seconds: f64,
    /// Answers of each version.
    pub requests: PerVersion<u64>,
    /// Failed requests.
    pub failed: u64,
    /// The part of v2 in all answers, 0 to 1; `null` without any.
    pub observed_share: Option<f64>,
    /// Half of a version's requests took no longer, in milliseconds.
    pub p50_ms: PerVersion<Option<f64>>,
    /// 99 of 100 took no longer, in milliseconds.
    pub p99_ms: PerVersion<Option<f64>>,
    /// From asking for the weight to an answer by it, in milliseconds; `null` when it never came.
    pub new_weight_in_force_ms: Option<f64>,
}

/// What was counted over the whole walk.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) users_moved: u64,
    pub(super) switched_back: u64,
    /// Steps whose probe was on v2 before it was time.
    pub(super) premature: u64,
    /// Why the first requests failed.
    pub(super) reasons: Vec<String>,
}

// === impl StepReport ===

impl StepReport {
    /// The report of a step that was held for `seconds`.
    pub(super) fn new(weight: u32, seconds: f64, in_force_ms: Option<f64>, tally: &Tally) -> Self {
        Self {
            weight,
            seconds: (seconds * 100.0).round() / 100.0,
            requests: PerVersion::of(|version| tally.requests(version)),
            failed: tally.all_failed(),
            observed_share: tally.share(Version::V2).map(|share| (share * 1e4).round() / 1e4),
            p50_ms: PerVersion::of(|version| tally.quantile_ms(version, 0.50)),
            p99_ms: PerVersion::of(|version| tally.quantile_ms(version, 0.99)),
            new_weight_in_force_ms: in_force_ms,
        }
    }

    /// Whether all of it is as it should be.
    pub(super) fn ok(&self) -> bool {
        let mut problems = Vec::new();
        self.problems(&mut problems);
        problems.is_empty() && self.failed == 0
    }

    /// What is not as it should be, but for failed requests, which are counted over the whole walk.
    fn problems(&self, problems: &mut Vec<String>) {
        let weight = self.weight;
        if self.new_weight_in_force_ms.is_none() {
            problems.push(format!("the weight {weight} did not come into force"));
        }
        let requests = self.requests.v1 + self.requests.v2;
        let target = f64::from(weight) / 100.0;
        match self.observed_share {
            None => problems.push(format!("nothing was answered at weight {weight}")),
            Some(share) if (share - target).abs() > share_bound(target, requests) => {
                problems.push(format!("v2 got {:.1} % of requests at weight {weight}", share * 100.0));
            }
            Some(_) => {}
        }
    }
}

// === impl Report ===

impl Report {
    /// The report of a walk, judged.
    pub(super) fn new(seed: u64, steps: Vec<StepReport>, totals: Totals) -> Self {
        let mut problems = Vec::new();
        steps.iter().for_each(|step| step.problems(&mut problems));
        let mut none_of = |what: &str, count: u64| {
            if count > 0 {
                problems.push(format!("{what}: {count}"));
            }
        };
        let reasons = totals.reasons.join("; ");
        none_of(&format!("failed requests ({reasons})"), totals.failed);
        none_of("users that went back to v1 while the weight of v2 grew", totals.switched_back);
        none_of("users that had v2 before its weight said so", totals.premature);
        // The sum of all steps is unknown as soon as one is.
        let in_force: Option<Vec<f64>> = steps.iter().map(|step| step.new_weight_in_force_ms).collect();
        Self {
            seed,
            new_weight_in_force_ms: in_force.map(|all| all.into_iter().fold(0.0, f64::max)),
            steps,
            requests: totals.requests,
            failed: totals.failed,
            users_moved: totals.users_moved,
            switched_back: totals.switched_back,
            ok: problems.is_empty(),
            problems,
        }
    }
}

/// How far an observed share of `requests` may be from `target` (both 0 to 1) by chance.
///
/// Two draws add up: which of the users have buckets in the share, and which users the requests are of. Both are
/// binomial, with variances p(1-p)/n. At 0 and 1 there is no chance, and no other share will do.
#[allow(clippy::cast_precision_loss, reason = "a demo has fewer than 2^53 requests")]
fn share_bound(target: f64, requests: u64) -> f64 {
    let variance = target * (1.0 - target) * (1.0 / f64::from(USERS) + 1.0 / requests.max(1) as f64);
    SIGMAS * variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(weight: u32, v1: u64, v2: u64) -> StepReport {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let share = (v1 + v2 > 0).then(|| v2 as f64 / (v1 + v2) as f64);
        StepReport {
            weight,
            requests: PerVersion { v1, v2 },
            observed_share: share,
            new_weight_in_force_ms: Some(f64::from(weight)),
            ..StepReport::new(weight, 3.0, None, &Tally::default())
        }
    }

    fn problems(steps: Vec<StepReport>, totals: Totals) -> String {
        let report = Report::new(1, steps, totals);
        assert_eq!(report.ok, report.problems.is_empty());
        report.problems.join("; ")
    }

    #[test]
    fn shares_are_judged_by_what_chance_explains() {
        for (weight, v1, v2, expected) in [
            (5, 570, 30, ""),
            (5, 600, 0, ""),
            (5, 530, 70, ""),
            (5, 500, 100, "v2 got 16.7 % of requests at weight 5"),
            (50, 300, 300, ""),
            (50, 230, 370, ""),
            (50, 100, 500, "v2 got 83.3 % of requests at weight 50"),
            (100, 0, 600, ""),
            (100, 1, 599, "v2 got 99.8 % of requests at weight 100"),
            (100, 0, 0, "nothing was answered at weight 100"),
        ] {
            assert_eq!(problems(vec![step(weight, v1, v2)], Totals::default()), expected, "{v1}:{v2}");
        }
    }

    #[test]
    fn every_fault_is_told() {
        let reasons = vec!["status 502".to_owned(), "no answer within 10 s".to_owned()];
        let totals = Totals { failed: 2, switched_back: 1, premature: 3, reasons, ..Totals::default() };
        let never = StepReport { new_weight_in_force_ms: None, ..step(25, 75, 25) };
        insta::assert_snapshot!(problems(vec![step(5, 95, 5), never.clone()], totals.clone()), @"the weight 25 did not come into force; failed requests (status 502; no answer within 10 s): 2; users that went back to v1 while the weight of v2 grew: 1; users that had v2 before its weight said so: 3");
        assert_eq!(Report::new(1, vec![never], totals).new_weight_in_force_ms, None);
        let slowest = Report::new(1, vec![step(5, 95, 5), step(25, 75, 25)], Totals::default());
        assert_eq!((slowest.ok, slowest.new_weight_in_force_ms), (true, Some(25.0)));
    }
}

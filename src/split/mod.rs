//! Which backend a request gets, and whether it stays there.
//!
//! [`assign()`] is the entry point; it runs a [`SplitPlan`] over a [`RequestView`](crate::http::RequestView). Read on in
//! this order: `plan` (what is compiled), `assign` (the steps), `signed` (overrides by a header), `condition` (rules, and what is known of a request),
//! `bucket` (a user's place), `weights` (a bucket's backend), `cookie`, `region`. Nothing here reads a clock, draws a
//! random number or shares state: the same arguments give the same answer on every instance.

mod assign;
mod bucket;
mod claims;
mod condition;
mod cookie;
mod explain;
mod networks;
mod plan;
mod region;
mod shuffle;
mod signed;
#[cfg(test)]
mod tests;
mod weights;

pub use assign::{AssignContext, Assignment, affinity, assign};
pub use bucket::Salt;
pub use claims::{Claim, Claims};
pub use condition::{Condition, Segment};
pub use cookie::{CookieError, CookieSettings, CookieValue, Keyring, SameSite, day_of, pin_of};
pub use explain::{Explanation, Outcome, Step, explain};
pub use networks::{NetworkSet, Networks};
pub use plan::{
    KeySource, Move, MovedShare, PlanBackend, PlanError, PlanParts, PlanRule, RuleTarget, SplitPlan,
};
pub use region::{GeoDatabase, GeoDatabaseError, Region, RegionHeader, RegionSources, UNKNOWN};
pub use weights::{Allocation, AllocationError, MAX_BACKENDS};

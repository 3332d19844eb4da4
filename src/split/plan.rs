//! The compiled form of a route's rules and split.
//!
//! Names are resolved here, once; a request only ever meets indices.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde::Serialize;

use super::{
    assign::AssignContext,
    bucket::Salt,
    condition::Condition,
    cookie::{Cookie, CookieError, CookieSettings, CookieValue, day_of, pin_of},
    weights::{Allocation, AllocationError, MAX_BACKENDS},
};
use crate::types::{BUCKETS, BackendState, Bucket, Name, StickyMode, Weight};

/// The parts that a [`SplitPlan`] is made of, by name.
#[derive(Debug, Clone)]
pub struct PlanParts {
    /// The route.
    pub route: Name,
    /// The backends of the split, in file order; the first is the baseline.
    pub backends: Vec<PlanBackend>,
    /// The rules, in file order.
    pub rules: Vec<PlanRule>,
    /// What identifies a user, the first that is present.
    pub keys: Vec<KeySource>,
    /// What identities are hashed with.
    pub salt: String,
    /// How users stay on their backend.
    pub mode: StickyMode,
    /// The assignment cookie, if there is one; not used in mode `none`.
    pub cookie: Option<CookieSettings>,
    /// The backend that takes everything.
    pub kill_switch: Option<Name>,
    /// Users who get one backend whatever rules and weights say: the value of the key, and a backend of the split.
    pub overrides: Vec<(Box<[u8]>, Name)>,
    /// Pins of an older epoch do not count.
    pub epoch: u32,
}

/// A backend of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBackend {
    /// Its name.
    pub name: Name,
    /// Its weight relative to the others.
    pub weight: Weight,
    /// Whether it takes users.
    pub state: BackendState,
}

/// A rule.
#[derive(Debug, Clone)]
pub struct PlanRule {
    /// Its name.
    pub name: Name,
    /// When it applies.
    pub condition: Condition,
    /// What it does.
    pub target: RuleTarget,
}

/// Where a rule sends requests.
#[derive(Debug, Clone)]
pub enum RuleTarget {
    /// To this backend.
    Backend(Name),
    /// Split by the user's bucket.
    Split(Vec<(Name, Weight)>),
}

/// What identifies a user. An empty value counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The value of a header.
    Header(Box<str>),
    /// The value of a cookie of the application.
    Cookie(Box<str>),
    /// A claim of the user's verified token.
    Jwt(Box<str>),
    /// The client's address.
    ClientIp,
}

/// A route's rules and split, ready for requests.
#[derive(Debug, Clone)]
pub struct SplitPlan {
    route: Name,
    /// The split's backends, then those that only rules or the kill switch name.
    backends: Vec<PlanBackend>,
    pins: Vec<u32>,
    /// How many of the backends are the split's.
    own: usize,
    pub(super) rules: Vec<CompiledRule>,
    pub(super) keys: Vec<KeySource>,
    pub(super) salt: Arc<Salt>,
    pub(super) mode: StickyMode,
    pub(super) cookie: Option<Cookie>,
    pub(super) kill_switch: Option<usize>,
    pub(super) overrides: HashMap<Box<[u8]>, usize>,
    pub(super) epoch: u32,
    pub(super) allocation: Allocation,
}

#[derive(Debug, Clone)]
pub(super) struct CompiledRule {
    pub(super) name: Name,
    pub(super) condition: Condition,
    pub(super) target: CompiledTarget,
}

#[derive(Debug, Clone)]
pub(super) enum CompiledTarget {
    Backend(usize),
    Split(Allocation),
    /// No backend of the rule takes users; requests go on to the next rule.
    Nobody,
}

/// Why parts make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The split's weights, with backends that are not active counted as 0.
    #[error("the split: {0}")]
    Split(#[source] AllocationError),
    /// A rule's weights.
    #[error("rule `{rule}`: {source}")]
    Rule {
        /// The rule.
        rule: Name,
        /// What is wrong.
        source: AllocationError,
    },
    /// The same backend twice in one split.
    #[error("backend `{0}` is listed twice")]
    Twice(Name),
    /// The cookie's settings.
    #[error(transparent)]
    Cookie(#[from] CookieError),
}

/// Which users a change of plan moves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovedShare {
    /// The share of buckets that change their backend, 0 to 1.
    pub share: f64,
    /// From which backend to which, and how many of the 100,000 buckets; the most first.
    pub moves: Vec<Move>,
}

/// Buckets that go from one backend to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The old backend.
    pub from: Name,
    /// The new backend.
    pub to: Name,
    /// How many.
    pub buckets: u32,
}

// === impl SplitPlan ===

impl SplitPlan {
    /// Compiles the parts.
    ///
    /// Backends that only rules or the kill switch name are added after the split's, as active and with weight 0. The
    /// weight of a backend that is not active counts as 0. A rule's split is laid out in the *plan's* order of
    /// backends, not in the rule's, so that the same users are the first of a canary everywhere.
    ///
    /// # Errors
    /// When no weight above 0 is left in the split, there are too many backends, one is listed twice, or the cookie
    /// could not be sent.
    pub fn new(parts: PlanParts) -> Result<Self, PlanError> {
        let PlanParts { route, mut backends, rules, keys, salt, mode, cookie, kill_switch, overrides, epoch } =
            parts;
        unique(backends.iter().map(|backend| &backend.name))?;
        let own = backends.len();
        let effective = backends.iter().map(|backend| match backend.state {
            BackendState::Active => (backend.name.clone(), backend.weight),
            BackendState::Drain | BackendState::Off => (backend.name.clone(), Weight::ZERO),
        });
        let allocation = Allocation::new(&effective.collect::<Vec<_>>()).map_err(PlanError::Split)?;
        let named = rules.iter().flat_map(|rule| match &rule.target {
            RuleTarget::Backend(name) => std::slice::from_ref(name).iter().collect::<Vec<_>>(),
            RuleTarget::Split(weights) => weights.iter().map(|(name, _)| name).collect(),
        });
        for name in named.chain(&kill_switch) {
            if !backends.iter().any(|backend| backend.name == *name) {
                let (weight, state) = (Weight::ZERO, BackendState::Active);
                backends.push(PlanBackend { name: name.clone(), weight, state });
            }
        }
        let rules = rules.into_iter().map(|rule| compile_rule(rule, &backends)).collect::<Result<_, _>>()?;
        let cookie = match (mode, cookie) {
            (StickyMode::None, _) | (_, None) => None,
            (_, Some(settings)) => Some(Cookie::new(&settings, mode, &salt)?),
        };
        Ok(Self {
            route,
            pins: backends.iter().map(|backend| pin_of(backend.name.as_str())).collect(),
            kill_switch: kill_switch.as_ref().and_then(|name| index_of(&backends, name)),
            overrides: overrides
                .into_iter()
                .filter_map(|(key, name)| Some((key, index_of(&backends[..own], &name)?)))
                .collect(),
            salt: Arc::new(Salt::new(&salt)),
            backends,
            own,
            rules,
            keys,
            mode,
            cookie,
            epoch,
            allocation,
        })
    }

    /// The plan of a route that answers itself: it has no backend, and nothing may be assigned by it.
    #[must_use]
    pub fn nowhere(route: Name, salt: &str) -> Self {
        Self {
            route,
            backends: Vec::new(),
            pins: Vec::new(),
            own: 0,
            rules: Vec::new(),
            keys: Vec::new(),
            salt: Arc::new(Salt::new(salt)),
            mode: StickyMode::None,
            cookie: None,
            kill_switch: None,
            overrides: HashMap::new(),
            epoch: 0,
            allocation: Allocation::of_none(),
        }
    }

    /// The backends that an [`Assignment`](super::Assignment)'s index points into.
    #[must_use]
    pub fn backends(&self) -> &[PlanBackend] {
        &self.backends
    }

    /// The route that this is the plan of.
    #[must_use]
    pub fn route(&self) -> &Name {
        &self.route
    }

    /// How many of the backends belong to the split; the others are only named by rules or the kill switch.
    #[must_use]
    pub fn split_len(&self) -> usize {
        self.own
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules_len(&self) -> usize {
        self.rules.len()
    }

    /// The name of the rule with this index.
    #[must_use]
    pub fn rule_name(&self, index: usize) -> Option<&Name> {
        self.rules.get(index).map(|rule| &rule.name)
    }

    /// The index of the backend that takes everything, while the kill switch is on.
    #[must_use]
    pub fn kill_switch(&self) -> Option<usize> {
        self.kill_switch
    }

    /// Who owns which buckets of the split.
    #[must_use]
    pub fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    /// The value of the Set-Cookie field for an assignment's cookie, signed with the current key.
    #[must_use]
    pub fn set_cookie_header(&self, value: &CookieValue, context: &AssignContext<'_>) -> Option<String> {
        let today = day_of(context.now_unix_secs);
        self.cookie.as_ref().map(|cookie| cookie.header(value, context.keyring, (today, context.secure)))
    }

    /// Where a request goes when `chosen` cannot take it: to the healthy active backend of the split with the highest
    /// weight, the earlier one of equals. A weight of 0 counts last, because a stable backend at 0 is better than an
    /// error. With the kill switch on there is no other backend: it was thrown to keep users away from the rest.
    #[must_use]
    pub fn fallback(&self, chosen: usize, healthy: impl Fn(usize) -> bool) -> Option<usize> {
        if self.kill_switch.is_some() {
            return None;
        }
        let split = self.backends.iter().enumerate().take(self.own);
        split
            .filter(|(index, backend)| {
                *index != chosen && backend.state == BackendState::Active && healthy(*index)
            })
            .max_by_key(|(index, backend)| (backend.weight, std::cmp::Reverse(*index)))
            .map(|(index, _)| index)
    }

    /// Which share of users the change from this plan to `new` would move, by the two splits alone: without rules, pins
    /// and the kill switch. With another salt every user gets another bucket, and the answer is what is expected of
    /// independent ones.
    #[must_use]
    pub fn moved_share(&self, new: &Self) -> MovedShare {
        let mut moves: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        if self.salt.as_str() == new.salt.as_str() {
            for bucket in (0..BUCKETS).filter_map(Bucket::new) {
                let pair = (self.allocation.owner(bucket), new.allocation.owner(bucket));
                *moves.entry(pair).or_default() += 1.0;
            }
        } else {
            for (from, old_count) in self.allocation.counts().iter().enumerate() {
                for (to, new_count) in new.allocation.counts().iter().enumerate() {
                    let both = f64::from(*old_count) * f64::from(*new_count) / f64::from(BUCKETS);
                    moves.insert((from, to), both);
                }
            }
        }
        let name = |plan: &Self, index: usize| plan.backends[index].name.clone();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100,000")]
        let mut moves: Vec<Move> = moves
            .into_iter()
            .map(|((from, to), buckets)| Move {
                from: name(self, from),
                to: name(new, to),
                buckets: buckets.round() as u32,
            })
            .filter(|moved| moved.from != moved.to && moved.buckets > 0)
            .collect();
        moves.sort_by_key(|moved| std::cmp::Reverse(moved.buckets));
        let moved: u32 = moves.iter().map(|moved| moved.buckets).sum();
        MovedShare { share: f64::from(moved) / f64::from(BUCKETS), moves }
    }

    /// The backend that a pin stands for.
    pub(super) fn pinned(&self, pin: u32) -> Option<usize> {
        self.pins[..self.own].iter().position(|other| *other == pin)
    }

    pub(super) fn pin(&self, backend: usize) -> u32 {
        self.pins[backend]
    }
}

fn compile_rule(rule: PlanRule, backends: &[PlanBackend]) -> Result<CompiledRule, PlanError> {
    let off = |index: &usize| backends[*index].state == BackendState::Off;
    let target = match rule.target {
        RuleTarget::Backend(name) => match index_of(backends, &name).filter(|index| !off(index)) {
            Some(index) => CompiledTarget::Backend(index),
            None => CompiledTarget::Nobody,
        },
        RuleTarget::Split(weights) => {
            unique(weights.iter().map(|(name, _)| name))?;
            let error = |source| PlanError::Rule { rule: rule.name.clone(), source };
            if weights.len() > MAX_BACKENDS {
                return Err(error(AllocationError::TooMany));
            }
            if weights.iter().all(|(_, weight)| weight.is_zero()) {
                return Err(error(AllocationError::AllZero));
            }
            let laid_out: Vec<(Name, Weight)> = backends
                .iter()
                .map(|backend| {
                    let given = weights.iter().find(|(name, _)| *name == backend.name);
                    let active = backend.state == BackendState::Active;
                    let weight = given.filter(|_| active).map_or(Weight::ZERO, |(_, weight)| *weight);
                    (backend.name.clone(), weight)
                })
                .collect();
            match Allocation::new(&laid_out) {
                Ok(allocation) => CompiledTarget::Split(allocation),
                // Each has a weight, but none of those takes users now.
                Err(AllocationError::AllZero) => CompiledTarget::Nobody,
                Err(source) => return Err(error(source)),
            }
        }
    };
    Ok(CompiledRule { name: rule.name, condition: rule.condition, target })
}

fn index_of(backends: &[PlanBackend], name: &Name) -> Option<usize> {
    backends.iter().position(|backend| backend.name == *name)
}

fn unique<'n>(names: impl Iterator<Item = &'n Name>) -> Result<(), PlanError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(PlanError::Twice(name.clone()));
        }
    }
    Ok(())
}

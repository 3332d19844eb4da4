//! One data-plane thread: a current-thread runtime with its own listeners, upstream connections, buffers and statistics.
//!
//! A request never leaves the worker that accepted its connection, so nothing here is shared and nothing locks.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::Instant;

use super::{buffer::BufferPool, caps::Connections, h2::Lanes, recent::RecentFields, retry::Allowance};
use crate::{
    http::{ResponseHead, date::DateCache},
    policy::jwt::TokenCache,
    snapshot::{Cached, Reader, Snapshot},
    telemetry::{ErrorKind, Sampler},
    types::clock,
    upstream::{Pools, Sessions, balance},
};

/// How often a worker looks for upstream connections to close.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What the tasks of one worker share.
pub(super) struct Worker {
    /// Its number, from 0: the index of its shards.
    pub(super) index: usize,
    /// Spare memory.
    pub(super) buffers: BufferPool,
    /// Upstream connections that wait.
    pub(super) pools: Pools,
    /// What its balancers remember.
    pub(super) balancing: balance::Memory,
    /// Upstream connections that carry many requests.
    pub(super) sessions: Sessions,
    /// Fields that were said lately to clients of HTTP/2.
    pub(super) recent: RecentFields,
    /// Tasks that wait for a stream.
    pub(super) lanes: Lanes,
    /// Connections that wait for a request.
    pub(super) idle: IdleConnections,
    /// Open client connections, of all listeners.
    pub(super) connections: Connections,
    /// Set when no further request may begin on a connection.
    pub(super) draining: Cell<bool>,
    /// Tokens that were verified lately.
    pub(super) tokens: RefCell<TokenCache>,
    snapshots: RefCell<Cached>,
    current: RefCell<Rc<Held>>,
    random: RefCell<SmallRng>,
    date: RefCell<DateCache>,
    response_heads: RefCell<Vec<ResponseHead>>,
    scratch: RefCell<String>,
    /// Decides which requests are logged, for the rate beside it.
    sampler: RefCell<(f64, Sampler)>,
    /// What may still be sent again, by the number of the route's policy.
    allowances: RefCell<Vec<Option<Allowance>>>,
}

/// A worker's hold on a snapshot. Requests count their references to this, which no other thread does.
#[derive(Debug)]
pub(super) struct Held(Arc<Snapshot>);

/// The tasks to wake when the worker drains.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

// === impl Worker ===

impl Worker {
    /// A worker that reads snapshots from `reader`; `seed` starts its random numbers.
    pub(super) fn new(index: usize, connections: Connections, reader: &Reader, seed: u64) -> Self {
        let mut snapshots = reader.cached();
        let current = Rc::new(Held(Arc::clone(snapshots.load())));
        Self {
            index,
            buffers: BufferPool::default(),
            pools: Pools::default(),
            balancing: balance::Memory::default(),
            sessions: Sessions::default(),
            recent: RecentFields::default(),
            lanes: Lanes::default(),
            idle: IdleConnections::default(),
            connections,
            draining: Cell::new(false),
            // Not from `seed`: what that gives is told to clients as ids, and would tell this key too.
            tokens: RefCell::new(TokenCache::new([rand::random(), rand::random()])),
            snapshots: RefCell::new(snapshots),
            current: RefCell::new(current),
            random: RefCell::new(SmallRng::seed_from_u64(seed)),
            date: RefCell::default(),
            response_heads: RefCell::default(),
            scratch: RefCell::default(),
            sampler: RefCell::new((1.0, Sampler::new(1.0, seed))),
            allowances: RefCell::default(),
        }
    }

    /// The snapshot in force. Requests share the worker's own reference, so no counter is shared between threads.
    pub(super) fn snapshot(&self) -> Rc<Held> {
        let mut snapshots = self.snapshots.borrow_mut();
        let newest = snapshots.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = Rc::new(Held(Arc::clone(newest)));
        }
        Rc::clone(&current)
    }

    /// 64 random bits.
    pub(super) fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// Whether a request that ended so is logged where `rate` of the successful ones are.
    pub(super) fn logs(&self, rate: f64, status: u16, error: Option<ErrorKind>) -> bool {
        let mut sampler = self.sampler.borrow_mut();
        if (sampler.0 - rate).abs() > f64::EPSILON {
            *sampler = (rate, Sampler::new(rate, self.random()));
        }
        sampler.1.keeps(status, error)
    }

    /// Calls `act` with what the policy `id` may still send again.
    pub(super) fn with_allowance<T>(
        &self,
        id: usize,
        now: Instant,
        act: impl FnOnce(&mut Allowance) -> T,
    ) -> T {
        let mut allowances = self.allowances.borrow_mut();
        if allowances.len() <= id {
            allowances.resize(id + 1, None);
        }
        act(allowances[id].get_or_insert_with(|| Allowance::new(now)))
    }

    /// Calls `use_date` with the `Date` value of now.
    pub(super) fn with_date<T>(&self, use_date: impl FnOnce(&str) -> T) -> T {
        use_date(self.date.borrow_mut().at(clock::unix_now()))
    }

    /// A response head to parse into.
    pub(super) fn take_response_head(&self) -> ResponseHead {
        self.response_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back.
    pub(super) fn put_response_head(&self, head: ResponseHead) {
        let mut heads = self.response_heads.borrow_mut();
        if heads.len() < 256 {
            heads.push(head);
        }
    }

    /// An empty text to write into; give it back with [`put_scratch`](Self::put_scratch).
    pub(super) fn take_scratch(&self) -> String {
        std::mem::take(&mut self.scratch.borrow_mut())
    }

    /// Takes it back.
    pub(super) fn put_scratch(&self, text: String) {
        *self.scratch.borrow_mut() = text;
    }

    /// No further request begins; connections that wait for one close.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.idle.wake_all();
    }

    /// Closes upstream connections and ends tasks that nobody needs any more.
    pub(super) fn sweep(&self, now: Instant) {
        let snapshot = self.snapshot();
        self.pools.sweep(now, |endpoint| snapshot.keeping_of(endpoint));
        self.sessions.sweep(now, |endpoint| snapshot.keeping_of(endpoint));
        self.lanes.sweep();
    }
}

// === impl Held ===

impl Deref for Held {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

// === impl IdleConnections ===

impl IdleConnections {
    /// Remembers the task behind `waker` in `slot`, which is given on the first call.
    pub(super) fn register(&self, slot: &mut Option<usize>, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        let at = *slot.get_or_insert_with(|| {
            self.free.borrow_mut().pop().unwrap_or_else(|| {
                wakers.push(None);
                wakers.len() - 1
            })
        });
        match &mut wakers[at] {
            Some(known) if known.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }

    /// Forgets the slot's task.
    pub(super) fn release(&self, slot: Option<usize>) {
        if let Some(at) = slot {
            self.wakers.borrow_mut()[at] = None;
            self.free.borrow_mut().push(at);
        }
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = self.wakers.borrow().iter().flatten().cloned().collect();
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}

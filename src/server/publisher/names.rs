//! Endpoints by name: looked up when they are first needed, and again whenever an answer ends.
//!
//! A name stands for all addresses of its last good answer. A lookup that fails, or gives nothing, changes nothing but what is said
//! of it. A new answer is published as a new snapshot of the same revision: nobody has changed what Weir is to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use tokio::{sync::watch as channel, task::JoinSet, time::Instant};

use super::{Inner, Stage};
use crate::{
    config::{Config, model::EndpointTarget},
    server::note,
    snapshot,
    telemetry::prometheus::NameGauges,
    types::{cause::chain, clock},
};

/// The shortest and the longest time that an answer is used without another lookup, whatever its TTL says.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// After a failure; doubled with each further one, up to the second.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);
/// How far a wait is jittered, so that many instances do not ask at the same time.
const JITTER: f64 = 0.1;
/// For a whole lookup, over all servers and attempts.
const LOOKUP_LIMIT: Duration = Duration::from_secs(8);
/// For one question to one server.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);
/// How long a change, or the start, waits for names that are new. What has no answer by then has no address until it has one.
const FIRST_LIMIT: Duration = Duration::from_secs(2);
/// The most addresses of one name.
const MAX_ADDRESSES: usize = 256;

/// What is known of all names.
#[derive(Debug)]
pub(super) struct Names {
    known: BTreeMap<Arc<str>, Known>,
    wanted: channel::Sender<Wanted>,
}

/// What is known of a name.
#[derive(Debug, Clone)]
struct Known {
    /// Its addresses in order, of the last good answer; none before the first.
    addresses: Arc<[IpAddr]>,
    /// When that came.
    answered: Option<Instant>,
    /// Why the last lookup failed, if it did.
    error: Option<String>,
    /// Lookups that gave an answer, and that failed.
    lookups: (u64, u64),
    /// Failures in a row.
    failures: u32,
    /// When to look again.
    due: Instant,
}

/// The names to follow, and whom to ask; without servers, those of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    names: BTreeSet<Arc<str>>,
    servers: Vec<SocketAddr>,
}

/// What a lookup gave: addresses, and for how long they hold.
type Answer = Result<(Vec<IpAddr>, Duration), String>;

/// What is worth telling of a lookup.
#[derive(Debug, PartialEq, Eq)]
struct Learnt {
    /// Whether the addresses are others than before.
    changed: bool,
    line: Option<String>,
}

// === impl Wanted ===

impl Wanted {
    fn of(config: &Config) -> Self {
        let endpoints = config.backends.values().flat_map(|backend| &backend.endpoints);
        let names = endpoints.filter_map(|endpoint| match &endpoint.target {
            EndpointTarget::Dns { host, .. } => Some(host.as_str().into()),
            EndpointTarget::Address(_) | EndpointTarget::Unix(_) => None,
        });
        Self { names: names.collect(), servers: config.dns.servers.clone() }
    }
}

// === impl Known ===

impl Known {
    fn stays(&self) -> String {
        match self.addresses.len() {
            0 => "it has no address yet".to_owned(),
            1 => "its last address stays in use".to_owned(),
            count => format!("its last {count} addresses stay in use"),
        }
    }
}

// === impl Names ===

impl Names {
    pub(super) fn new() -> Self {
        Self { known: BTreeMap::new(), wanted: channel::channel(Wanted::default()).0 }
    }

    /// The addresses of every name, for compiling.
    pub(super) fn addresses(&self) -> snapshot::Names {
        self.known.iter().map(|(name, known)| (Arc::clone(name), Arc::clone(&known.addresses))).collect()
    }

    /// Follows the names of `config` from now on, and forgets all others.
    fn follow(&mut self, config: &Config) -> BTreeSet<Arc<str>> {
        let wanted = Wanted::of(config);
        let names = wanted.names.clone();
        self.known.retain(|name, _| names.contains(name));
        self.wanted.send_if_modified(|current| {
            let changed = *current != wanted;
            *current = wanted;
            changed
        });
        names
    }

    /// Takes in what a lookup gave at `now`; `jitter` is from 0 to 1.
    fn learn(&mut self, name: &Arc<str>, answer: Answer, now: Instant, jitter: f64) -> Learnt {
        let spread = |wait: Duration| wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter);
        let known = self.known.entry(Arc::clone(name)).or_insert_with(|| Known {
            addresses: Arc::default(),
            answered: None,
            error: None,
            lookups: (0, 0),
            failures: 0,
            due: now,
        });
        match answer {
            Ok((mut addresses, ttl)) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MAX_ADDRESSES);
                let changed = *known.addresses != *addresses;
                let recovered =
                    known.error.take().is_some() || (known.answered.is_none() && known.failures > 0);
                known.addresses = addresses.into();
                known.answered = Some(now);
                known.lookups.0 += 1;
                known.failures = 0;
                known.due = now + spread(ttl.clamp(*TTL.start(), *TTL.end())).max(*TTL.start());
                let line = recovered.then(|| format!("{name} resolves again"));
                Learnt { changed, line }
            }
            answer => {
                let error = answer.err().unwrap_or_else(|| "the answer is empty".to_owned());
                let news = known.failures == 0;
                known.lookups.1 += 1;
                known.failures = known.failures.saturating_add(1);
                let wait = RETRY.saturating_mul(1 << (known.failures - 1).min(5)).min(MAX_RETRY);
                known.due = now + spread(wait);
                let line = news.then(|| format!("{name} cannot be resolved: {error}; {}", known.stays()));
                known.error = Some(error);
                Learnt { changed: false, line }
            }
        }
    }
}

// === impl Stage ===

impl Stage {
    /// How looking up each name that is followed goes.
    pub(in crate::server) fn names(&self) -> BTreeMap<Arc<str>, NameGauges> {
        let inner = self.lock();
        let seen = inner.names.known.iter().map(|(name, known)| {
            let (answered, failed) = known.lookups;
            let good = known.error.is_none();
            (Arc::clone(name), NameGauges { addresses: known.addresses.len(), answered, failed, good })
        });
        seen.collect()
    }

    /// The names that cannot be resolved now, and why, for people.
    pub(in crate::server) fn name_warnings(&self) -> Vec<String> {
        let inner = self.lock();
        let failing = inner.names.known.iter().filter_map(|(name, known)| {
            let error = known.error.as_ref()?;
            Some(format!("{name} cannot be resolved: {error}; {}", known.stays()))
        });
        failing.collect()
    }

    /// Looks up the names of `config` that nothing is known of yet, for a moment.
    pub(in crate::server) async fn look_up_new(&self, config: &Config) {
        let wanted = Wanted::of(config);
        let new: Vec<Arc<str>> = {
            let inner = self.lock();
            wanted.names.iter().filter(|name| !inner.names.known.contains_key(*name)).cloned().collect()
        };
        if new.is_empty() {
            return;
        }
        let resolver = resolver(&wanted.servers);
        let mut lookups = JoinSet::new();
        for name in new {
            let (stage, resolver) = (self.clone(), resolver.clone());
            lookups.spawn(async move {
                let answer = look_up(&resolver, &name).await;
                stage.learn(&name, answer);
            });
        }
        let all = async { while lookups.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FIRST_LIMIT, all).await;
    }

    /// Looks names up again and again, whichever the control file has, and puts new answers in force.
    pub(in crate::server) async fn follow_names(self) {
        let mut wanted = self.lock().names.wanted.subscribe();
        loop {
            let Wanted { names, servers } = wanted.borrow_and_update().clone();
            let mut following = JoinSet::new();
            if !names.is_empty() {
                let resolver = resolver(&servers);
                for name in names {
                    following.spawn(self.clone().follow_name(resolver.clone(), name));
                }
            }
            // The tasks end with the set.
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    async fn follow_name(self, resolver: Result<TokioResolver, String>, name: Arc<str>) {
        loop {
            let due = self.lock().names.known.get(&name).map(|known| known.due);
            if let Some(due) = due {
                tokio::time::sleep_until(due).await;
            }
            let answer = look_up(&resolver, &name).await;
            if self.learn(&name, answer) {
                self.lock().publish_answers();
            }
        }
    }

    /// Takes in an answer; says whether there are other addresses.
    fn learn(&self, name: &Arc<str>, answer: Answer) -> bool {
        let learnt = self.lock().names.learn(name, answer, clock::now(), rand::random());
        if let Some(line) = &learnt.line {
            note(line);
        }
        learnt.changed
    }
}

// === impl Inner ===

impl Inner {
    /// Follows the names of what was just published, which was compiled with `used`. A name that has had another answer since
    /// is put in force at once.
    pub(super) fn follow_names_of(&mut self, config: &Config, mut used: snapshot::Names) {
        let wanted = self.names.follow(config);
        used.retain(|name, _| wanted.contains(name));
        if used != self.names.addresses() {
            self.publish_answers();
        }
    }

    fn publish_answers(&mut self) {
        if let Err(error) = self.publish_anew() {
            note(&format!("new addresses cannot be used: {error}"));
        }
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| chain(&error))?
    } else {
        let servers = servers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            config.connections.iter_mut().for_each(|connection| connection.port = server.port());
            config
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = builder;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // An answer is asked for again when it has ended, so a cache would only make it older.
    options.cache_size = 0;
    options.timeout = QUESTION_LIMIT;
    builder.build().map_err(|error| chain(&error))
}

async fn look_up(resolver: &Result<TokioResolver, String>, name: &str) -> Answer {
    let resolver = resolver.as_ref().map_err(Clone::clone)?;
    let lookup = match tokio::time::timeout(LOOKUP_LIMIT, resolver.lookup_ip(name)).await {
        Ok(lookup) => lookup.map_err(|error| chain(&error))?,
        Err(_) => return Err(format!("no answer within {LOOKUP_LIMIT:?}")),
    };
    let ttl = lookup.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Ok((lookup.iter().collect(), Duration::from_secs(ttl.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_answer_stays() {
        let mut names = Names::new();
        let name: Arc<str> = "canary.internal".into();
        let start = clock::now();
        let second = Duration::from_secs(1);
        let good = |texts: &[&str], ttl: u64| Ok((addresses(texts), Duration::from_secs(ttl)));
        let bad = || Err("no connection".to_owned());
        // What was answered, whether that changes anything, what is told, the addresses then, and when to look again.
        let none: &[&str] = &[];
        for (answer, changed, told, after, due) in [
            (
                bad(),
                false,
                Some("canary.internal cannot be resolved: no connection; it has no address yet"),
                none,
                1,
            ),
            (bad(), false, None, none, 2),
            (
                good(&["10.0.0.2", "10.0.0.1"], 60),
                true,
                Some("canary.internal resolves again"),
                &["10.0.0.1", "10.0.0.2"],
                60,
            ),
            (good(&["10.0.0.1", "10.0.0.2", "10.0.0.1"], 0), false, None, &["10.0.0.1", "10.0.0.2"], 1),
            (
                good(&[], 60),
                false,
                Some(
                    "canary.internal cannot be resolved: the answer is empty; its last 2 addresses stay in use",
                ),
                &["10.0.0.1", "10.0.0.2"],
                1,
            ),
            (bad(), false, None, &["10.0.0.1", "10.0.0.2"], 2),
            (good(&["::1"], 86_400), true, Some("canary.internal resolves again"), &["::1"], 300),
        ] {
            let learnt = names.learn(&name, answer, start, 0.5);
            assert_eq!(learnt, Learnt { changed, line: told.map(ToOwned::to_owned) });
            let known = &names.known[&name];
            assert_eq!(*known.addresses, *addresses(after));
            assert_eq!(known.due - start, second * due, "{told:?}");
        }
        assert_eq!(names.known[&name].lookups, (3, 4));
        for _ in 0..40 {
            names.learn(&name, bad(), start, 1.0);
        }
        assert_eq!(names.known[&name].due - start, MAX_RETRY.mul_f64(1.1));
        names.learn(&name, good(&["::1"], 1), start, 0.0);
        assert_eq!(names.known[&name].due - start, second, "never sooner");
    }
}

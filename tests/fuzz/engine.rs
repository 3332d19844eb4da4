//! The engine: from a grammar, a corpus and mutations to inputs; what is new is kept, what breaks a law is made small.
//!
//! There is no coverage to steer by, as cargo-fuzz has on nightly. In its place a target tells how each input was taken (its
//! *behaviour*): an input with a behaviour that was not seen before becomes a seed for further mutations.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

/// Targets that share the time.
const TARGETS: u32 = 12;
/// Inputs between two looks at the clock.
const BATCH: u32 = 100;
/// Inputs that are kept as seeds beside the corpus.
const MAX_SEEDS: usize = 1000;
/// Files in a target's corpus.
const MAX_CORPUS: usize = 64;
/// How often an input is looked at again that has broken a law.
const LOOKS: u32 = 10;
/// How long a busy machine may take for what an input has left behind.
const SETTLE: Duration = Duration::from_millis(500);
/// One input may take so long; quadratic work on a few kilobytes takes longer.
const PATIENCE: Duration = Duration::from_secs(8);
/// The longest input.
const MAX_INPUT: usize = 64 << 10;

/// How an input was taken, or the law that it breaks.
pub(crate) type Verdict = Result<u64, String>;

/// Judges an input.
pub(crate) type Judge<'t> = Box<dyn Fn(&[u8]) -> Verdict + 't>;

/// What is fuzzed.
pub(crate) struct Target<'t> {
    /// The name of its corpus.
    pub(crate) name: &'static str,
    /// Inputs made by a grammar.
    pub(crate) grammar: BoxedStrategy<Vec<u8>>,
    /// Pieces that mutations put in.
    pub(crate) pieces: &'static [&'static str],
    /// Judges an input.
    pub(crate) judge: Judge<'t>,
}

/// Panics of any thread up to now: those of Weir's workers end one connection and would go unseen.
static PANICS: AtomicUsize = AtomicUsize::new(0);

// === impl Target ===

impl Target<'_> {
    /// Fuzzes for its share of the time.
    ///
    /// # Panics
    /// When a law is broken.
    pub(crate) fn run(self) {
        count_panics();
        let corpus = self.corpus();
        for (file, input) in &corpus {
            if let Err(law) = self.lawful(input) {
                panic!("{}: {law}: {}", file.display(), shown(input));
            }
        }
        let seed = seed();
        let end = now() + budget();
        let state = RefCell::new(State {
            seeds: corpus.into_iter().map(|(_, input)| input).collect(),
            ..State::default()
        });
        for batch in 0_u64.. {
            if now() >= end {
                break;
            }
            self.batch(seed.wrapping_add(batch), &state);
        }
        let state = state.into_inner();
        if std::env::var_os("WEIR_FUZZ_KEEP").is_some() {
            self.keep(&state.seeds);
        }
        println!(
            "fuzz {}: {} inputs, {} behaviours, {} seeds, seed {seed}, no law broken",
            self.name,
            state.inputs,
            state.seen.len(),
            state.seeds.len()
        );
    }

    fn batch(&self, seed: u64, state: &RefCell<State>) {
        let config =
            Config { cases: BATCH, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let strategy = mutated(self.origin(&state.borrow().seeds), self.pieces);
        // What an input before this one had asked for may reach the origin only now, on a busy machine. It cannot a second time; what
        // is wrong with this input shows again, if not each time.
        let verdict = |input: &[u8]| {
            self.lawful(input).or_else(|first| {
                println!("fuzz {}: looked at again: {first}", self.name);
                (0..LOOKS).try_fold(0, |_, _| {
                    thread::sleep(SETTLE);
                    self.lawful(input)
                })
            })
        };
        let tried = runner.run(&strategy, |input| match verdict(&input) {
            Ok(behaviour) => {
                state.borrow_mut().note(behaviour, input);
                Ok(())
            }
            Err(law) => Err(TestCaseError::fail(law)),
        });
        match tried {
            Ok(()) => {}
            Err(TestError::Fail(law, input)) => {
                let file = self.folder().join(format!("found-{:016x}", hash_of(&input)));
                fs::create_dir_all(self.folder()).unwrap();
                fs::write(&file, &input).unwrap();
                panic!("{}: {law} (seed {seed}, kept as {}): {}", self.name, file.display(), shown(&input));
            }
            Err(TestError::Abort(reason)) => panic!("{}: {reason}", self.name),
        }
    }

    /// What mutations begin with: the grammar's, or a seed.
    fn origin(&self, seeds: &[Vec<u8>]) -> BoxedStrategy<Vec<u8>> {
        if seeds.is_empty() {
            return self.grammar.clone();
        }
        prop_oneof![self.grammar.clone(), prop::sample::select(seeds.to_vec())].boxed()
    }

    /// The verdict, and the laws that hold for every target: no panic in any thread, and no endless work.
    fn lawful(&self, input: &[u8]) -> Verdict {
        let (panics, began) = (PANICS.load(Ordering::Relaxed), now());
        let verdict = (self.judge)(input)?;
        let took = began.elapsed();
        if PANICS.load(Ordering::Relaxed) != panics {
            return Err("a thread panicked".to_owned());
        }
        if took > PATIENCE { Err(format!("took {took:?}")) } else { Ok(verdict) }
    }

    /// Adds the shortest seeds to the corpus, until it has as many files as it may.
    fn keep(&self, seeds: &[Vec<u8>]) {
        fs::create_dir_all(self.folder()).unwrap();
        let there = self.corpus();
        let mut new: Vec<&Vec<u8>> =
            seeds.iter().filter(|seed| !there.iter().any(|(_, input)| input == *seed)).collect();
        new.sort_by_key(|seed| seed.len());
        for seed in new.into_iter().take(MAX_CORPUS.saturating_sub(there.len())) {
            fs::write(self.folder().join(format!("seed-{:016x}", hash_of(seed))), seed).unwrap();
        }
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(self.name)
    }

    fn corpus(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
    }
}

/// What was learnt in one run.
#[derive(Default)]
struct State {
    inputs: u64,
    seen: HashSet<u64>,
    seeds: Vec<Vec<u8>>,
}

// === impl State ===

impl State {
    fn note(&mut self, behaviour: u64, input: Vec<u8>) {
        self.inputs += 1;
        if self.seen.insert(behaviour) && self.seeds.len() < MAX_SEEDS {
            self.seeds.push(input);
        }
    }
}

/// A few changes to what `origin` gives: pieces cut out, doubled, put in, bytes set, bits flipped.
fn mutated(origin: BoxedStrategy<Vec<u8>>, pieces: &'static [&'static str]) -> BoxedStrategy<Vec<u8>> {
    let change = (0..7_u8, any::<Index>(), any::<Index>(), 0..24_usize, any::<u8>());
    let changes = prop_oneof![
        2 => Just(Vec::new()),
        5 => prop::collection::vec(change, 1..4),
        1 => prop::collection::vec((0..7_u8, any::<Index>(), any::<Index>(), 0..24_usize, any::<u8>()), 4..16),
    ];
    (origin, changes)
        .prop_map(move |(mut input, changes)| {
            for (kind, at, other, length, byte) in changes {
                change_one(&mut input, pieces, (kind, byte), (at, other, length));
            }
            input.truncate(MAX_INPUT);
            input
        })
        .boxed()
}

fn change_one(
    input: &mut Vec<u8>,
    pieces: &[&str],
    (kind, byte): (u8, u8),
    (at, other, length): (Index, Index, usize),
) {
    let start = at.index(input.len() + 1);
    let end = (start + length).min(input.len());
    match kind {
        0 => drop(input.drain(start..end)),
        1 => {
            let copy = input[start..end].to_vec();
            let to = other.index(input.len() + 1);
            input.splice(to..to, copy);
        }
        2 | 3 if !pieces.is_empty() => {
            let piece = pieces[other.index(pieces.len())].bytes();
            let end = if kind == 2 { start } else { end };
            input.splice(start..end, piece);
        }
        4 if start < input.len() => input[start] ^= 1 << (byte % 8),
        5 if start < input.len() => input[start] = byte,
        _ => input.insert(start, byte),
    }
}

/// A behaviour of what tells inputs apart.
pub(crate) fn hash_of(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Bytes as a person can read and copy them.
pub(crate) fn shown(input: &[u8]) -> String {
    input.escape_ascii().to_string()
}

fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // A panic of the test's own thread is its failure already, and may be that of another target.
            let thread = std::thread::current();
            if ["weir", "tokio", "access"]
                .iter()
                .any(|own| thread.name().unwrap_or_default().starts_with(own))
            {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
    });
}

fn budget() -> Duration {
    let seconds = std::env::var("WEIR_FUZZ_SECONDS").map_or(30, |text| text.parse().expect("seconds"));
    Duration::from_secs(seconds) / TARGETS
}

#[allow(clippy::disallowed_methods, reason = "a long run draws another seed each time, and prints it")]
fn seed() -> u64 {
    match (std::env::var("WEIR_FUZZ_SEED"), std::env::var("WEIR_FUZZ_SECONDS")) {
        (Ok(seed), _) => seed.parse().expect("a number"),
        (Err(_), Ok(_)) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() << 20,
        (Err(_), Err(_)) => 1,
    }
}

#[allow(clippy::disallowed_methods, reason = "fuzzing takes real time")]
fn now() -> Instant {
    Instant::now()
}

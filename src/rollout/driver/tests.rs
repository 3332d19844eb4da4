//! The driver with a real applier and a made-up data path, on paused time.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    config::{
        Config,
        model::rollout::{Hook, HookKind, Metric, Payload, RolloutPlan, Step},
    },
    control::{
        Applier, Change, Channel, Command as Wanted, CompileError, ControlFile, Origin, Publisher,
        WeightChange,
        fixtures::{self, FailingStore},
        store::{RolloutStore as _, Store},
    },
    rollout::{
        fixtures::{max, name, plan, secs, weight},
        machine::Phase,
        outside::{Asked, HookCall},
    },
    telemetry::{
        Live,
        trial::{Arm, End, Note},
    },
    types::{Overlay, Revision},
};

/// Publishes nothing but the trials of stages.
struct Trials(Arc<Registry>);

impl Publisher for Trials {
    type Compiled = Overlay;

    fn compile(&mut self, _: &Arc<Config>, overlay: &Overlay, _: Revision) -> Result<Overlay, CompileError> {
        Ok(overlay.clone())
    }

    fn publish(&mut self, overlay: Overlay) {
        let trial = |(route, overlay): (&Name, &crate::types::RouteOverlay)| {
            let stage = overlay.stage.as_ref()?;
            Some((route.clone(), self.0.trial(route, &stage.rollout, stage.number)))
        };
        let trials = overlay.routes.iter().filter_map(trial).collect();
        self.0.retain(&Live { trials, ..Live::default() });
    }
}

/// Answers what it is told to, and remembers what it was asked.
#[derive(Default)]
struct World {
    unhealthy: AtomicBool,
    hooks_hang: AtomicBool,
    called: Mutex<Vec<String>>,
}

impl Surroundings for World {
    fn unhealthy(&self, _: &Name) -> Option<String> {
        self.unhealthy.load(Ordering::Relaxed).then(|| "no endpoint is healthy".to_owned())
    }
}

impl Outside for World {
    fn call(&self, call: HookCall) -> Asked<HookAnswer> {
        self.called.lock().unwrap().push(call.key);
        let hangs = self.hooks_hang.load(Ordering::Relaxed);
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            HookAnswer::Yes("200".to_owned())
        })
    }

    fn ask(&self, _: &crate::config::model::rollout::Check, _: Option<&str>) -> Asked<Answer> {
        Box::pin(async { Answer::Value(1.0) })
    }

    fn messages_are_due(&self) {}
}

struct Stand {
    control: Control,
    registry: Arc<Registry>,
    rollouts: Rollouts,
    store: Arc<FailingStore>,
    world: Arc<World>,
    stop: oneshot::Sender<()>,
    driving: tokio::task::JoinHandle<()>,
}

impl Stand {
    async fn start() -> Self {
        Self::with(Arc::default(), file(None)).await
    }

    async fn with(store: Arc<FailingStore>, file: Arc<ControlFile>) -> Self {
        let registry = Arc::new(Registry::new(1));
        let dynamic: Arc<dyn Store> = Arc::clone(&store) as _;
        let (control, applier) = Applier::start(file, Trials(Arc::clone(&registry)), dynamic).unwrap();
        tokio::spawn(applier.run(std::future::pending()));
        let world = Arc::<World>::default();
        let context = Context {
            control: control.clone(),
            registry: Arc::clone(&registry),
            surroundings: Arc::clone(&world) as _,
            outside: Arc::clone(&world) as _,
        };
        let (rollouts, driver) = Driver::prepare(context).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let driving = tokio::spawn(driver.run(async {
            let _ = stopped.await;
        }));
        Self { control, registry, rollouts, store, world, stop, driving }
    }

    async fn stop(self) -> Arc<FailingStore> {
        self.stop.send(()).unwrap();
        self.driving.await.unwrap();
        self.store
    }

    async fn begin(&self, plan: RolloutPlan) -> String {
        self.rollouts.start(request(plan)).await.unwrap().id.clone()
    }

    async fn command(&self, id: &str, command: Command) -> Result<Arc<Rollout>, CommandError> {
        self.rollouts.command(id, command, by()).await
    }

    fn rollout(&self, id: &str) -> Arc<Rollout> {
        Arc::clone(&self.rollouts.board().find(id).unwrap().rollout)
    }

    async fn reaches(&self, id: &str, phase: Phase) {
        let there = async {
            while self.rollouts.board().find(id).is_none_or(|shown| shown.rollout.phase != phase) {
                self.serve(10, 0.0);
                sleep(Duration::from_millis(200)).await;
            }
        };
        let reached = timeout(secs(600), there).await;
        assert!(reached.is_ok(), "it is {:#?}", self.rollout(id));
    }

    fn shares(&self) -> Vec<(String, f64)> {
        let state = self.control.state();
        let route = state.route("shop").unwrap();
        state.weights(route).into_iter().map(|(name, weight)| (name.to_string(), weight.as_f64())).collect()
    }

    fn canary_share(&self) -> f64 {
        let shares = self.shares();
        let total: f64 = shares.iter().map(|(_, weight)| weight).sum();
        shares.iter().find(|(name, _)| name == "canary").unwrap().1 / total
    }

    /// So many requests of each version, of which this share of the canary's fails.
    fn serve(&self, count: u32, errors: f64) {
        let Some(trial) = self.registry.trial_of(&name("shop")) else { return };
        for number in 0..count {
            for arm in [Arm::Baseline, Arm::Canary] {
                let at = trial.at(clock::now());
                let begun = Note { at, arm, drawn: false, copy: false, bucket: None, end: None };
                let bad = arm == Arm::Canary && f64::from(number) < f64::from(count) * errors;
                let status = if bad { 500 } else { 200 };
                let duration = Duration::from_millis(5);
                let ended =
                    Note { end: Some(End { status, error: None, retried: false, duration }), ..begun };
                trial.note(0, &begun);
                trial.note(0, &ended);
            }
        }
    }

    async fn words(&self, id: &str) -> Vec<String> {
        self.rollouts.entries(id).await.unwrap().into_iter().map(|entry| entry.words).collect()
    }
}

fn by() -> By {
    By { actor: "ada".to_owned(), reason: None }
}

fn request(plan: RolloutPlan) -> StartRequest {
    StartRequest { routes: vec![name("shop")], plan, by: by(), supersede: false }
}

/// A control file whose route has a plan of this version.
fn file(version: Option<&str>) -> Arc<ControlFile> {
    let mut config = fixtures::config(&[("shop", &[("stable", 100), ("canary", 0)])]);
    config.routes[0].rollout = version.map(|version| {
        Box::new(RolloutPlan { version: Some(version.to_owned()), ..plan(steps(), Vec::new()) })
    });
    fixtures::of(config)
}

fn steps() -> Vec<Step> {
    vec![weight(5.0, 20), weight(50.0, 20), weight(100.0, 5)]
}

fn errors() -> Vec<crate::config::model::rollout::Gate> {
    vec![max("error_rate", Metric::ErrorRate, 0.01)]
}

async fn reload(stand: &Stand, file: Arc<ControlFile>) {
    let command = Wanted::new(Change::Reload(file), Origin::new("watcher", Channel::File));
    stand.control.apply(command).await.unwrap();
    sleep(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_healthy_canary_gets_everything_step_by_step() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), errors())).await;
    stand.reaches(&id, Phase::Progressing).await;
    sleep(secs(1)).await;
    assert_eq!(stand.canary_share(), 0.05);
    stand.reaches(&id, Phase::Promoted).await;
    assert_eq!(stand.canary_share(), 1.0);
    assert!(stand.control.state().overlay.routes[&name("shop")].stage.is_none());
    let words = stand.words(&id).await;
    assert_eq!(words.first().unwrap(), "step 1 of 3 begins: 5% to the canary");
    assert_eq!(words.last().unwrap(), "promoted");
    stand.command(&id, Command::Undo).await.unwrap();
    stand.reaches(&id, Phase::RolledBack).await;
    assert_eq!(stand.canary_share(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_bad_canary_is_withdrawn_even_with_the_disk_broken_and_hooks_that_hang() {
    for broken in [false, true] {
        let stand = Stand::start().await;
        stand.world.hooks_hang.store(true, Ordering::Relaxed);
        let hook = Hook {
            name: "event".to_owned(),
            kind: HookKind::Event,
            url: String::new(),
            timeout: secs(30),
            retries: 0,
            every: secs(10),
            payload: Payload::Weir,
            headers: Vec::new(),
            secret_file: None,
            metadata: Vec::new(),
        };
        let id = stand.begin(RolloutPlan { hooks: vec![hook], ..plan(steps(), errors()) }).await;
        stand.reaches(&id, Phase::Progressing).await;
        sleep(secs(1)).await;
        stand.store.broken.store(broken, Ordering::Release);
        let began = clock::now();
        while stand.canary_share() > 0.0 {
            stand.serve(20, 0.5);
            sleep(Duration::from_millis(100)).await;
            assert!(began.elapsed() < secs(20), "the third check of 5 s fails it");
        }
        stand.store.broken.store(false, Ordering::Release);
        stand.reaches(&id, Phase::RolledBack).await;
        sleep(secs(3)).await;
        let words = stand.words(&id).await;
        assert!(
            words.iter().any(|words| words.contains("error_rate") && words.contains("> 1 %")),
            "{words:?}"
        );
        assert_eq!(words.last().unwrap(), "rolled back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_nobody_has_looked_at_yet_is_no_step_without_data() {
    let stand = Stand::start().await;
    let mut plan = plan(vec![weight(5.0, 0), weight(100.0, 0)], errors());
    plan.analysis.on_no_data = crate::config::model::rollout::OnNoData::Fail;
    let id = stand.begin(plan).await;
    stand.reaches(&id, Phase::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_forward_that_is_not_written_down() {
    let stand = Stand::start().await;
    stand.store.broken.store(true, Ordering::Release);
    let refused = stand.rollouts.start(request(plan(steps(), Vec::new()))).await;
    assert!(matches!(refused, Err(StartError::Unwritten(_))), "{refused:?}");
    assert!(stand.rollouts.board().rollouts.is_empty());
    stand.store.broken.store(false, Ordering::Release);
    let id = stand.begin(plan(steps(), Vec::new())).await;
    stand.reaches(&id, Phase::Progressing).await;
    sleep(secs(1)).await;
    stand.store.broken.store(true, Ordering::Release);
    sleep(secs(60)).await;
    assert_eq!(stand.canary_share(), 0.05);
    assert!(stand.rollouts.board().problems[0].contains("No space left on device"));
    stand.store.broken.store(false, Ordering::Release);
    stand.reaches(&id, Phase::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_watched_while_its_next_step_cannot_be_written_down() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), errors())).await;
    stand.reaches(&id, Phase::Progressing).await;
    for _ in 0..150 {
        stand.serve(10, 0.0);
        sleep(Duration::from_millis(100)).await;
    }
    stand.store.broken.store(true, Ordering::Release);
    for _ in 0..100 {
        stand.serve(10, 0.0);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((stand.rollout(&id).step, stand.canary_share()), (1, 0.05));
    let began = clock::now();
    while stand.canary_share() > 0.0 {
        stand.serve(20, 0.5);
        sleep(Duration::from_millis(100)).await;
        assert!(began.elapsed() < secs(20), "{:#?}", stand.rollout(&id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_decided_before_a_withdrawal_comes_too_late() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), Vec::new())).await;
    stand.reaches(&id, Phase::Progressing).await;
    sleep(secs(1)).await;
    let late = stand.rollout(&id).stage().unwrap();
    stand.command(&id, Command::Abort).await.unwrap();
    stand.reaches(&id, Phase::Aborted).await;
    let change =
        crate::control::StageChange { to: crate::control::StageTarget::Stage(late), raise_epoch: false };
    let command = Wanted::new(
        Change::SetStages([(name("shop"), change)].into()),
        Origin::new("rollout", Channel::Rollout),
    );
    assert!(matches!(stand.control.apply(command).await, Err(Refusal::StaleStage { .. })));
    assert_eq!(stand.canary_share(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_that_no_journal_has_is_not_taken_back_by_a_restart() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), errors())).await;
    stand.reaches(&id, Phase::Progressing).await;
    sleep(secs(6)).await;
    // The journal knows the step; what comes now it does not take, the overlay's record does.
    let kept = stand.store.rollouts().unwrap();
    stand.command(&id, Command::Abort).await.unwrap();
    stand.reaches(&id, Phase::Aborted).await;
    let store = stand.stop().await;
    store.inner.keep_rollout(&kept[0], &[], &[]).unwrap();
    let stand = Stand::with(store, file(None)).await;
    stand.reaches(&id, Phase::Aborted).await;
    assert_eq!(stand.canary_share(), 0.0);
    assert!(stand.rollout(&id).ending.as_ref().unwrap().reason.words.contains("before Weir was restarted"));
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_was() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), errors())).await;
    stand.reaches(&id, Phase::Progressing).await;
    for _ in 0..150 {
        stand.serve(10, 0.0);
        sleep(Duration::from_millis(100)).await;
    }
    let before = stand.rollout(&id);
    assert!(before.dwell > secs(14) && before.step == 0);
    let store = stand.stop().await;
    let stand = Stand::with(store, file(None)).await;
    sleep(secs(1)).await;
    let after = stand.rollout(&id);
    assert_eq!((after.step, after.traffic.stage, after.phase), (0, before.traffic.stage, Phase::Progressing));
    assert!(after.dwell >= before.dwell && after.dwell < before.dwell + secs(2));
    stand.reaches(&id, Phase::Promoted).await;
    let words = stand.words(&id).await;
    assert_eq!(words.iter().filter(|words| words.starts_with("step 1 of 3")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_version_in_the_file_starts_and_supersedes() {
    let stand = Stand::with(Arc::default(), file(Some("v1"))).await;
    sleep(secs(1)).await;
    assert!(stand.rollouts.board().rollouts.is_empty(), "what the file says at a first start is what runs");
    reload(&stand, file(Some("v2"))).await;
    let first = stand.rollouts.board().newest_of("shop").unwrap().rollout.id.clone();
    stand.reaches(&first, Phase::Progressing).await;
    reload(&stand, file(Some("v3"))).await;
    stand.reaches(&first, Phase::Superseded).await;
    let second = stand.rollouts.board().newest_of("shop").unwrap().rollout.clone();
    assert_eq!((second.plan.version.as_deref(), &second.after), (Some("v3"), &vec![first]));
    stand.reaches(&second.id, Phase::Promoted).await;
    reload(&stand, file(Some("v3"))).await;
    assert_eq!(stand.rollouts.board().rollouts.len(), 2);
    // And one that came while Weir was down.
    let store = stand.stop().await;
    let stand = Stand::with(store, file(Some("v4"))).await;
    sleep(secs(1)).await;
    let board = stand.rollouts.board();
    assert!(board.problems[0].contains("has no traffic"), "{:?}", board.problems);
}

#[tokio::test(start_paused = true)]
async fn kill_switches_weights_by_hand_and_lost_routes_are_seen() {
    let origin = || Origin::new("bob", Channel::Cli);
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), Vec::new())).await;
    stand.reaches(&id, Phase::Progressing).await;
    sleep(secs(1)).await;
    let weights = || WeightChange::Patch([("canary".to_owned(), Some(crate::types::Weight::of(40)))].into());
    let set =
        |pause_rollout| Change::SetWeights { route: "shop".to_owned(), weights: weights(), pause_rollout };
    assert!(matches!(
        stand.control.apply(Wanted::new(set(false), origin())).await,
        Err(Refusal::RolloutActive { .. })
    ));
    stand.control.apply(Wanted::new(set(true), origin())).await.unwrap();
    stand.reaches(&id, Phase::Paused).await;
    assert!(stand.canary_share() > 0.25, "what was set by hand stays");
    stand.command(&id, Command::Resume).await.unwrap();
    sleep(secs(1)).await;
    assert_eq!(stand.canary_share(), 0.05);
    let kill = Change::Kill { route: "shop".to_owned(), backend: None };
    stand.control.apply(Wanted::new(kill, origin())).await.unwrap();
    stand.reaches(&id, Phase::Aborted).await;
    assert_eq!(stand.canary_share(), 0.0);
    assert!(matches!(
        stand.rollouts.start(request(plan(steps(), Vec::new()))).await,
        Err(StartError::Unfit(_))
    ));

    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), Vec::new())).await;
    stand.reaches(&id, Phase::Progressing).await;
    let other = fixtures::file(&[("other", &[("stable", 1), ("canary", 1)])]);
    reload(&stand, other).await;
    stand.reaches(&id, Phase::Aborted).await;
    assert!(
        stand
            .rollout(&id)
            .ending
            .as_ref()
            .unwrap()
            .reason
            .words
            .contains("route `shop` is not in the control file")
    );
}

#[tokio::test(start_paused = true)]
async fn commands_that_make_no_sense_are_refused_and_a_second_rollout_too() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), Vec::new())).await;
    stand.reaches(&id, Phase::Progressing).await;
    assert!(matches!(stand.command(&id, Command::Resume).await, Err(CommandError::NotNow(_))));
    assert!(matches!(stand.command("r-0", Command::Pause).await, Err(CommandError::Unknown(_))));
    assert!(matches!(stand.rollouts.retry(&id, by()).await, Err(StartError::NotOver(_))));
    let second = stand.rollouts.start(request(plan(steps(), Vec::new()))).await;
    assert!(matches!(second, Err(StartError::UnderWay { .. })));
    stand.command(&id, Command::Abort).await.unwrap();
    stand.reaches(&id, Phase::Aborted).await;
    let again = stand.rollouts.retry(&id, by()).await.unwrap();
    assert_eq!((again.attempt, again.retries.as_deref()), (2, Some(id.as_str())));
    stand.reaches(&again.id, Phase::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_leaves_no_canary_unwatched() {
    let stand = Stand::start().await;
    let id = stand.begin(plan(steps(), Vec::new())).await;
    stand.reaches(&id, Phase::Progressing).await;
    sleep(secs(1)).await;
    let store = stand.stop().await;
    store.unreadable.store(true, Ordering::Release);
    let stand = Stand::with(store, file(None)).await;
    sleep(secs(1)).await;
    assert_eq!(stand.canary_share(), 0.0);
    assert!(stand.rollouts.board().problems[0].contains("cannot be read"));
}

#[tokio::test(start_paused = true)]
async fn a_canary_without_a_healthy_endpoint_gets_nothing() {
    let stand = Stand::start().await;
    stand.world.unhealthy.store(true, Ordering::Relaxed);
    let id = stand.begin(plan(steps(), Vec::new())).await;
    sleep(secs(30)).await;
    assert_eq!(stand.rollout(&id).phase, Phase::Waiting);
    assert!(stand.rollout(&id).waits_for.as_ref().unwrap().words.contains("no endpoint is healthy"));
    stand.world.unhealthy.store(false, Ordering::Relaxed);
    stand.reaches(&id, Phase::Promoted).await;
}

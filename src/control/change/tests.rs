//! What each command does to a state.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::control::{
    Channel, Origin,
    command::Restoration,
    fixtures::{config, file, name, shop},
    state::{LastReload, StoreState},
};
use crate::{
    control::command::{StageChange, StageTarget},
    types::{BackendState, Fraction, Revision, Stage},
};

fn state(file: Arc<ControlFile>, overlay: Overlay) -> State {
    let (effective, dangling) = state::resolve(&file.config, &overlay);
    State {
        revision: Revision(7),
        at: std::time::Duration::ZERO,
        origin: Origin::new("test", Channel::Api),
        action: "start",
        file,
        file_revision: Revision(1),
        overlay: Arc::new(overlay),
        effective: Arc::new(effective),
        dangling,
        last_reload: LastReload { ok: true, error: None, at: std::time::Duration::ZERO },
        store: StoreState { directory: None, error: None, persisted: false },
    }
}

fn after(state_: &State, change: &Change) -> State {
    state(Arc::clone(&state_.file), plan(state_, change).unwrap().overlay)
}

fn set_override(key: &str, backend: &str) -> Change {
    Change::SetOverride { route: "shop".to_owned(), key: key.to_owned(), backend: backend.to_owned() }
}

fn drain(backend: &str) -> Change {
    Change::Drain { backend: backend.to_owned() }
}

fn kill(backend: &str) -> Change {
    Change::Kill { route: "shop".to_owned(), backend: Some(backend.to_owned()) }
}

fn weights(canary: u32) -> Change {
    let weights = [("canary".to_owned(), Some(Weight::of(canary)))].into();
    Change::SetWeights {
        route: "shop".to_owned(),
        weights: WeightChange::Patch(weights),
        pause_rollout: false,
    }
}

fn drop_overlay(route: &str) -> Change {
    Change::DropOverlay { route: route.to_owned() }
}

#[test]
fn a_user_gets_a_backend_and_gives_it_back() {
    let start = state(shop(), Overlay::default());
    let set = plan(&start, &set_override("alice", "canary")).unwrap();
    assert_eq!(
        (set.changed, &set.from, &set.to),
        (true, &json!({"alice": null}), &json!({"alice": "canary"}))
    );
    let with = after(&start, &set_override("alice", "canary"));
    assert!(!plan(&with, &set_override("alice", "canary")).unwrap().changed);
    assert_eq!(with.drift()[0].running, "users with an override: 1");
    let remove = Change::RemoveOverride { route: "shop".to_owned(), key: "alice".to_owned() };
    assert_eq!(*after(&with, &remove).overlay, Overlay::default());
    assert!(!plan(&start, &remove).unwrap().changed);
    for (key, backend, expected) in [
        ("", "canary", "the key of an override has 1 to 256 bytes"),
        (&"x".repeat(257), "canary", "the key of an override has 1 to 256 bytes"),
        ("bob", "cannary", "route `shop` has no backend `cannary` in its split"),
    ] {
        assert_eq!(plan(&start, &set_override(key, backend)).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_drained_backend_takes_no_new_users_unless_it_is_the_last() {
    let start = state(shop(), Overlay::default());
    let drained = after(&start, &drain("canary"));
    let route = drained.route("shop").unwrap();
    assert_eq!(drained.standings(route), [BackendState::Active, BackendState::Drain]);
    assert_eq!(drained.drift()[0].running, "drain");
    assert!(!plan(&drained, &drain("canary")).unwrap().changed);
    let back = after(&drained, &Change::Undrain { backend: "canary".to_owned() });
    assert_eq!(*back.overlay, Overlay::default());
    for (change, expected) in [
        (drain("stable"), "`stable` is the only backend that takes new users on route `shop`"),
        (drain("stabel"), "there is no backend `stabel`"),
    ] {
        assert_eq!(plan(&drained, &change).unwrap_err().to_string(), expected);
    }
    let one = WeightChange::Patch([("stable".to_owned(), Some(Weight::ZERO))].into());
    let one = Change::SetWeights { route: "shop".to_owned(), weights: one, pause_rollout: false };
    assert!(matches!(plan(&drained, &one), Err(Refusal::AllZero { .. })));
    // A file that makes it the last one wins over the drain.
    let last = state(file(&[("shop", &[("stable", 0), ("canary", 5)])]), Overlay::clone(&drained.overlay));
    assert!(last.effective.drains.is_empty());
    assert_eq!(
        last.dangling[0].to_string(),
        "the drain of `canary` fits nothing: it is the only one that takes new users on route `shop`"
    );
}

#[test]
fn the_file_gets_its_say_again_but_a_kill_stays() {
    let mut changed = state(shop(), Overlay::default());
    assert!(!plan(&changed, &drop_overlay("shop")).unwrap().changed);
    for change in [weights(20), set_override("alice", "canary"), kill("stable")] {
        changed = after(&changed, &change);
    }
    let dropped = plan(&changed, &drop_overlay("shop")).unwrap();
    assert!(dropped.changed && dropped.warnings[0].contains("`weir unkill shop` ends it"), "{dropped:?}");
    let left = &dropped.overlay.routes[&name("shop")];
    assert_eq!((left.weights.len(), left.overrides.len(), left.epoch), (0, 0, 1));
    assert_eq!(left.kill_switch, Some(name("stable")));
    // What is about a route that the file does not have goes as a whole.
    let gone = state(file(&[("cart", &[("stable", 1)])]), Overlay::clone(&changed.overlay));
    assert_eq!(gone.dangling.len(), 3);
    assert_eq!(*after(&gone, &drop_overlay("shop")).overlay, Overlay::default());
    let refusal = plan(&gone, &drop_overlay("shopp")).unwrap_err();
    assert_eq!(refusal.to_string(), "there is no route `shopp`");
}

#[test]
fn restoring_brings_back_what_was_in_force() {
    let then = config(&[("shop", &[("stable", 95), ("canary", 5)]), ("gone", &[("stable", 1)])]);
    let old = state(shop(), Overlay::default());
    let old = after(&after(&old, &set_override("alice", "canary")), &drain("canary"));
    let target = Restoration {
        revision: Revision(3),
        overlay: Overlay::clone(&old.overlay),
        config: Some(Arc::new(then)),
    };
    // Since then the file got other weights and another route, and the route was killed.
    let now = file(&[("shop", &[("stable", 50), ("canary", 5)]), ("new", &[("stable", 1)])]);
    let now = after(&state(now, Overlay::default()), &kill("stable"));
    let restore = Change::Restore(Arc::new(target.clone()));
    let planned = plan(&now, &restore).unwrap();
    assert_eq!((planned.changed, planned.from, planned.to), (true, json!(7), json!(3)));
    assert_eq!(
        planned.warnings,
        [
            "route `new` was not there then, and stays as it is",
            "route `gone` is not in the control file any more"
        ]
    );
    let back = after(&now, &restore);
    let route = back.route("shop").unwrap();
    assert_eq!(back.weights(route), [(name("stable"), Weight::of(95)), (name("canary"), Weight::of(5))]);
    let overlay = &back.overlay.routes[&name("shop")];
    assert_eq!((&overlay.kill_switch, overlay.epoch, overlay.overrides.len()), (&None, 1, 1));
    assert!(back.overlay.drains.contains(&name("canary")));
    assert!(!plan(&back, &restore).unwrap().changed);
    // A file of then that nobody can read leaves the overrides.
    let unread = Restoration { config: None, ..target };
    let planned = plan(&now, &Change::Restore(Arc::new(unread))).unwrap();
    assert!(planned.warnings[0].contains("r3 cannot be read"), "{:?}", planned.warnings);
}

/// Stage `number` of rollout `r-1` from `stable` to `canary`.
fn stage(number: u32, share: f64) -> Stage {
    Stage {
        rollout: "r-1".to_owned(),
        number,
        baseline: name("stable"),
        canary: name("canary"),
        share: Fraction::from_percent(share).unwrap(),
        segments: Vec::new(),
        regions: Vec::new(),
        mirror: None,
        manual: false,
    }
}

fn enter(stage: Stage) -> Change {
    on(&["shop"], &StageChange { to: StageTarget::Stage(stage), raise_epoch: false })
}

fn out(share: Option<f64>, raise_epoch: bool) -> StageChange {
    let share = share.map(|share| Fraction::from_percent(share).unwrap());
    StageChange {
        to: StageTarget::Out { rollout: "r-1".to_owned(), number: 2, share, again: None },
        raise_epoch,
    }
}

fn on(routes: &[&str], change: &StageChange) -> Change {
    Change::SetStages(routes.iter().map(|route| (name(route), change.clone())).collect())
}

/// The weights in force on `shop`, as `stable=95 canary=5`, and the epoch.
fn told(state: &State) -> String {
    let weights = state.weights(state.route("shop").unwrap()).into_iter();
    let weights: Vec<_> = weights.map(|(name, weight)| format!("{name}={weight}")).collect();
    let epoch = state.overlay.routes.get(&name("shop")).map_or(0, |overlay| overlay.epoch);
    format!("{} epoch {epoch}", weights.join(" "))
}

#[test]
fn two_versions_share_what_they_have_together() {
    let three: &[(&str, u32)] = &[("stable", 30), ("canary", 10), ("other", 60)];
    let mut audience = stage(1, 5.0);
    audience.regions = vec![name("us-east")];
    for (backends, change, expected) in [
        (&[("stable", 95), ("canary", 5)][..], enter(stage(1, 20.0)), "stable=80 canary=20 epoch 0"),
        (&[("stable", 1), ("canary", 0)], enter(stage(1, 0.001)), "stable=0.99999 canary=0.00001 epoch 0"),
        (&[("stable", 1), ("canary", 0)], enter(stage(1, 100.0)), "stable=0 canary=1 epoch 0"),
        (three, enter(stage(1, 50.0)), "stable=20 canary=20 other=60 epoch 0"),
        (three, enter(audience), "stable=40 canary=0 other=60 epoch 0"),
    ] {
        let start = state(file(&[("shop", backends)]), Overlay::default());
        let planned = plan(&start, &change).unwrap();
        assert!(planned.changed && planned.route == Some(name("shop")));
        assert_eq!(told(&after(&start, &change)), expected);
    }
}

#[test]
fn a_rollout_ends_withdrawn_promoted_or_as_it_is() {
    let start = after(&state(shop(), Overlay::default()), &enter(stage(1, 20.0)));
    for (change, emergency, expected) in [
        (out(Some(0.0), true), true, "stable=100 canary=0 epoch 1"),
        (out(Some(0.0), false), false, "stable=100 canary=0 epoch 0"),
        (out(Some(100.0), false), false, "stable=0 canary=100 epoch 0"),
        (out(Some(5.0), true), false, "stable=95 canary=5 epoch 1"),
        (out(None, false), false, "stable=80 canary=20 epoch 0"),
    ] {
        let change = on(&["shop"], &change);
        assert_eq!((change.is_emergency(), change.comes_before_the_disk()), (emergency, emergency));
        let ended = after(&start, &change);
        assert_eq!(told(&ended), expected);
        assert!(ended.stage(&name("shop")).is_none());
        // The same again finds nothing to end.
        let again = plan(&ended, &change).unwrap();
        assert!(!again.changed && again.warnings == ["rollout r-1 does not have route `shop`"], "{again:?}");
    }
    // Another rollout has the route by now.
    let other = after(&start, &enter(Stage { rollout: "r-2".to_owned(), ..stage(1, 5.0) }));
    let left = after(&other, &on(&["shop"], &out(Some(0.0), true)));
    assert_eq!((told(&left), left.stage(&name("shop"))), (told(&other), other.stage(&name("shop"))));
    // And what the first one decided before it left comes too late.
    let late = plan(&left, &enter(stage(1, 5.0)));
    assert!(matches!(late, Err(Refusal::StaleStage { .. })), "{late:?}");
    assert!(!Change::SetStages(BTreeMap::new()).is_emergency());
}

#[test]
fn routes_of_a_group_move_together_or_not_at_all() {
    let two = file(&[("shop", &[("stable", 1), ("canary", 0)]), ("cart", &[("stable", 2), ("canary", 0)])]);
    let start = state(two, Overlay::default());
    let half = StageChange { to: StageTarget::Stage(stage(1, 50.0)), raise_epoch: false };
    let planned = plan(&start, &on(&["shop", "cart"], &half)).unwrap();
    assert_eq!((planned.route.as_ref(), planned.overlay.routes.len()), (None, 2));
    assert_eq!(planned.to["cart"]["weights"], json!({"stable": 1, "canary": 1}));
    assert_eq!(
        planned.from["shop"],
        json!({"stage": null, "weights": {"stable": 1, "canary": 0}, "epoch": 0})
    );
    let refusal = plan(&start, &on(&["shop", "chart"], &half)).unwrap_err();
    assert_eq!(refusal.to_string(), "there is no route `chart`");
    let moved = after(&start, &on(&["shop", "cart"], &half));
    let mixed =
        Change::SetStages([(name("shop"), out(Some(0.0), true)), (name("cart"), out(None, false))].into());
    assert!(!mixed.is_emergency() && plan(&moved, &mixed).unwrap().changed);
}

#[test]
fn a_stage_that_cannot_be_is_refused_and_a_late_one_too() {
    let start = after(&state(shop(), Overlay::default()), &enter(stage(5, 20.0)));
    assert!(!plan(&start, &enter(stage(5, 20.0))).unwrap().changed);
    let gone = Stage { canary: name("cannary"), ..stage(6, 20.0) };
    let segment = Stage { segments: vec![name("staff")], ..stage(6, 20.0) };
    for (stage, expected) in [
        (stage(5, 30.0), "rollout r-1 has stage 5 on route `shop`; 5 is not later"),
        (stage(4, 20.0), "rollout r-1 has stage 5 on route `shop`; 4 is not later"),
        (gone, "route `shop` has no backend `cannary` in its split"),
        (segment, "there is no segment `staff`"),
    ] {
        assert_eq!(plan(&start, &enter(stage)).unwrap_err().to_string(), expected);
    }
    let three = file(&[("shop", &[("other", 1), ("stable", 0), ("canary", 0)])]);
    let nothing = plan(&state(three, Overlay::default()), &enter(stage(1, 20.0))).unwrap_err();
    assert_eq!(nothing.to_string(), "`stable` and `canary` have no weight on route `shop` to share");
    // A drained canary cannot have everything; a drain of the baseline does not stop a withdrawal.
    let drained = after(&start, &drain("canary"));
    assert!(matches!(plan(&drained, &enter(stage(6, 100.0))), Err(Refusal::AllZero { .. })));
    let drained = after(&start, &drain("stable"));
    let back = after(&drained, &on(&["shop"], &out(Some(0.0), true)));
    assert_eq!(told(&back), "stable=100 canary=0 epoch 1");
    assert!(back.effective.drains.is_empty() && back.dangling[0].what == "drain");
}

#[test]
fn nobody_else_moves_a_rollouts_traffic() {
    let start = state(shop(), Overlay::default());
    let staged = after(&start, &enter(stage(3, 20.0)));
    let restore = |state: &State| {
        let overlay = Overlay::clone(&state.overlay);
        let config = Some(Arc::clone(&state.file.config));
        Change::Restore(Arc::new(Restoration { revision: Revision(2), overlay, config }))
    };
    for change in [weights(50), drop_overlay("shop"), restore(&start)] {
        let refusal = plan(&staged, &change).unwrap_err();
        assert_eq!(refusal.to_string(), "rollout r-1 has route `shop`", "{change:?}");
        assert!(refusal.hint().is_some_and(|hint| hint.contains("pause_rollout")));
    }
    // What is about single users, the kill switch and a new file go on.
    let mut going_on = after(&staged, &set_override("alice", "canary"));
    for change in [kill("stable"), Change::Unkill { route: "shop".to_owned() }, Change::Reload(shop())] {
        going_on = after(&going_on, &change);
        assert_eq!(going_on.stage(&name("shop")), staged.stage(&name("shop")));
    }
    let by_hand = |canary: u32| {
        let weights = [("canary".to_owned(), Some(Weight::of(canary)))].into();
        let weights = WeightChange::Patch(weights);
        Change::SetWeights { route: "shop".to_owned(), weights, pause_rollout: true }
    };
    let taken = after(&staged, &by_hand(20));
    assert_eq!(taken.stage(&name("shop")), Some(&Stage { manual: true, ..stage(4, 20.0) }));
    assert!(!plan(&taken, &by_hand(20)).unwrap().changed);
    let again = after(&taken, &by_hand(120));
    assert_eq!(again.stage(&name("shop")), Some(&Stage { manual: true, ..stage(5, 60.0) }));
    // Without a rollout nothing pauses.
    assert!(after(&start, &by_hand(20)).overlay.routes[&name("shop")].stage.is_none());
    // What was in force then comes back, but for the rollout.
    let ended = after(&staged, &on(&["shop"], &out(Some(100.0), false)));
    let planned = plan(&ended, &restore(&staged)).unwrap();
    assert_eq!(
        planned.warnings,
        ["a rollout had route `shop` then: its weights come back, but not the rollout"]
    );
    let back = after(&ended, &restore(&staged));
    assert_eq!((told(&back).as_str(), back.stage(&name("shop"))), ("stable=80 canary=20 epoch 0", None));
}

#[test]
fn a_stage_that_the_file_does_not_fit_is_not_in_force() {
    let mut audience = stage(1, 20.0);
    audience.segments = vec![name("staff")];
    let overlay = |stage: Stage| {
        let of_shop = RouteOverlay { stage: Some(stage), ..RouteOverlay::default() };
        Overlay { routes: [(name("shop"), of_shop)].into(), ..Overlay::default() }
    };
    for (file, stage, expected) in [
        (shop(), stage(1, 20.0), None),
        (
            shop(),
            audience,
            Some(
                "the stage on route `shop` fits nothing: there is no segment `staff` any more; the rollout cannot go on",
            ),
        ),
        (
            file(&[("shop", &[("stable", 1)])]),
            stage(1, 20.0),
            Some(
                "the stage of `canary` on route `shop` fits nothing: the split does not have the backend; the rollout cannot go on",
            ),
        ),
        (
            file(&[("cart", &[("stable", 1)])]),
            stage(1, 20.0),
            Some("the stage on route `shop` fits nothing: kept until the file has the route again"),
        ),
    ] {
        let resolved = state(file, overlay(stage));
        let dangling: Vec<String> = resolved.dangling.iter().map(ToString::to_string).collect();
        assert_eq!(dangling.first().map(String::as_str), expected);
        assert_eq!(resolved.stage(&name("shop")).is_some(), expected.is_none());
        // It ends all the same, and whoever wants to may change the route.
        if resolved.route("shop").is_ok() && expected.is_some() {
            assert!(plan(&resolved, &drop_overlay("shop")).unwrap().changed);
        }
        let ended = after(&resolved, &on(&["shop"], &out(Some(0.0), true)));
        assert!(ended.overlay.routes[&name("shop")].stage.is_none());
    }
}

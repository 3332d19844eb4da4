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
use crate::types::{BackendState, Revision};

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
    Change::SetWeights { route: "shop".to_owned(), weights: WeightChange::Patch(weights) }
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
    let one = Change::SetWeights { route: "shop".to_owned(), weights: one };
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

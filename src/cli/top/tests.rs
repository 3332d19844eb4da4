//! `weir top` on a screen that is only remembered.

use std::time::Duration;

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyModifiers},
};

use super::{
    draw::{curve, draw},
    model::{Effect, Mode, Reply, Top},
};
use crate::{
    admin::api::types,
    cli::{Exit, Failure, output::Look, tests::status},
    types::{Revision, Weight},
};

const NOW: Duration = Duration::from_secs(1000);

/// After two looks at the server, the second with more traffic.
fn top() -> Top {
    let mut top = Top::new(status());
    let mut later = status();
    for backend in &mut later.routes[0].backends {
        backend.traffic.requests_per_second *= 2.0;
        backend.traffic.error_ratio = Some(0.031);
        backend.traffic.errors = 9;
    }
    top.answered(Reply::Status(Ok(Box::new(later))), NOW);
    top
}

fn screen(top: &mut Top, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, top, Look::PLAIN, NOW + Duration::from_secs(12))).unwrap();
    let text = terminal.backend().to_string();
    // Without the quotation marks around every row, and without the space at its end.
    let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn press(top: &mut Top, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for key in keys.chars() {
        let code = match key {
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            '⏎' => KeyCode::Enter,
            '⎋' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        effect = top.key(code, KeyModifiers::NONE);
    }
    effect
}

fn weights(moved: f64, dry_run: bool) -> Box<types::Weights> {
    Box::new(types::Weights {
        route: status().routes[0].name.clone(),
        revision: Revision(43),
        weights: Default::default(),
        file: Default::default(),
        shares: Default::default(),
        kill_switch: None,
        changed: Some(true),
        dry_run,
        moved_ratio: Some(moved),
        warnings: Vec::new(),
    })
}

#[test]
fn the_screen_fits_80_by_24() {
    insta::assert_snapshot!(screen(&mut top(), (80, 24)));
}

#[test]
fn the_screen_fits_what_is_smaller_and_larger() {
    insta::assert_snapshot!(screen(&mut top(), (40, 10)));
    insta::assert_snapshot!(screen(&mut top(), (130, 18)));
    for size in [(1, 1), (2, 3), (10, 4), (300, 100)] {
        screen(&mut top(), size);
    }
}

#[test]
fn a_share_is_changed_after_the_server_said_who_moves_and_somebody_said_yes() {
    let mut top = top();
    let Some(Effect::Weights(asked)) = press(&mut top, "↓+") else { panic!("a dry run") };
    assert!(asked.dry_run);
    assert_eq!((asked.weights["canary"], asked.weights["stable"]), (Weight::of(10), Weight::of(90)));
    assert_eq!(asked.revision, Revision(42));
    assert_eq!(press(&mut top, "y"), None, "nobody knows yet who would move");
    let Some(Effect::Weights(more)) = press(&mut top, "+") else { panic!("another dry run") };
    assert_eq!(more.weights["canary"], Weight::of(15));
    top.answered(Reply::Weights(asked, Ok(weights(0.05, true))), NOW);
    assert!(matches!(&top.mode, Mode::Weight { preview: None, .. }), "an answer to an earlier proposal");
    top.answered(Reply::Weights(more.clone(), Ok(weights(0.1, true))), NOW);
    insta::assert_snapshot!(screen(&mut top, (80, 24)));
    let Some(Effect::Weights(applied)) = press(&mut top, "y") else { panic!("the change") };
    assert!(!applied.dry_run && applied.weights == more.weights);
    assert_eq!(top.answered(Reply::Weights(applied, Ok(weights(0.1, false))), NOW), Some(Effect::Look));
    assert_eq!(top.message.as_ref().unwrap().1, "checkout: canary has 15 % now, 10 % of users move (rev 43)");
}

#[test]
fn what_the_server_refuses_is_said_and_nothing_is_applied() {
    let mut top = top();
    let Some(Effect::Weights(asked)) = press(&mut top, "-") else { panic!("a dry run") };
    let refused = Failure::text(Exit::Conflict, "revision r42 was expected, but r43 is in force");
    top.answered(Reply::Weights(asked, Err(refused)), NOW);
    assert!(screen(&mut top, (100, 24)).contains("✖ revision r42 was expected"));
    assert_eq!(press(&mut top, "⏎"), None);
    assert_eq!(top.mode, Mode::Browse);
}

#[test]
fn the_kill_switch_needs_a_yes_and_nothing_else_is_one() {
    let mut top = top();
    assert_eq!(press(&mut top, "kn"), None);
    assert_eq!(press(&mut top, "k⏎"), None);
    press(&mut top, "⎋");
    let route = top.status.routes[0].name.clone();
    assert_eq!(press(&mut top, "ky"), Some(Effect::Switch { route, on: true }));
    assert_eq!(press(&mut top, "uy"), None, "it is off");
    top.status.routes[0].kill_switch = Some(top.status.routes[0].backends[0].name.clone());
    press(&mut top, "+");
    assert!(top.message.as_ref().unwrap().1.contains("the kill switch is on"));
    insta::assert_snapshot!(screen(&mut top, (80, 24)));
}

#[test]
fn a_server_that_is_gone_is_told_of_until_it_is_back() {
    let mut top = top();
    let gone = || Failure::text(Exit::Unreachable, "cannot reach http://127.0.0.1:9900: refused");
    top.answered(Reply::Status(Err(gone())), NOW);
    top.answered(Reply::Status(Err(gone())), NOW + Duration::from_secs(3));
    let shown = screen(&mut top, (100, 24));
    assert!(
        shown.starts_with(" ✖ STALE for 12s, trying again: cannot reach http://127.0.0.1:9900"),
        "{shown}"
    );
    top.answered(Reply::Status(Ok(Box::new(status()))), NOW);
    assert!(screen(&mut top, (80, 24)).starts_with(" weir 0.1.0 up 3h12m"));
}

#[test]
fn the_selection_stays_where_there_is_something() {
    let mut top = top();
    press(&mut top, "↓↓↓↓");
    assert_eq!(top.table.selected(), Some(1));
    let mut fewer = status();
    fewer.routes[0].backends.truncate(1);
    top.answered(Reply::Status(Ok(Box::new(fewer))), NOW);
    assert_eq!(top.table.selected(), Some(0));
    let mut none = status();
    none.routes.clear();
    top.answered(Reply::Status(Ok(Box::new(none))), NOW);
    assert_eq!(press(&mut top, "↓+ku-y"), None);
    screen(&mut top, (80, 24));
    assert_eq!(press(&mut top, "q"), Some(Effect::Quit));
}

#[test]
fn curves_show_little_as_more_than_nothing() {
    let series = [0.0, 0.01, 4.0, 8.0].into();
    assert_eq!(curve(&series, 10, Look::PLAIN), " ▁▄█");
    assert_eq!(curve(&series, 2, Look { unicode: false, ..Look::PLAIN }), "-#");
}

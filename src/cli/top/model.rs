//! What `weir top` shows, and what a key does to it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use ratatui::{
    crossterm::event::{KeyCode, KeyModifiers},
    widgets::TableState,
};

use crate::{
    admin::api::types::{KillSwitch, Route, RouteBackend, Status, Weights},
    cli::{
        Failure, output,
        set_weight::{Setting, spread},
    },
    types::{Name, Revision, Weight},
};

/// Seconds that are remembered for the curves.
pub(super) const REMEMBERED: usize = 120;

/// The shares that `+` and `-` go through, in percent: fine at the ends, where a canary begins and finishes.
const SHARES: [f64; 20] = [
    0.0, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 90.0, 95.0, 98.0,
    99.0, 100.0,
];

/// The whole screen.
pub(super) struct Top {
    pub(super) status: Status,
    pub(super) mode: Mode,
    /// What became of the last change, and whether it is good news.
    pub(super) message: Option<(bool, String)>,
    /// Since when the server does not answer, and what it says.
    pub(super) gone: Option<(Duration, String)>,
    /// Which row is selected, and from which one the screen begins.
    pub(super) table: TableState,
    history: BTreeMap<(Name, Name), History>,
    /// Counts proposals, so that a late answer to an earlier one is known.
    proposals: u64,
}

/// What keys mean now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    Browse,
    Help,
    /// A new share is proposed; `preview` says who would move, once the server has said so.
    Weight {
        proposal: Proposal,
        preview: Option<Result<f64, String>>,
    },
    /// The kill switch is about to be turned.
    Switch {
        route: Name,
        on: bool,
    },
}

/// New weights for a route.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proposal {
    pub(super) number: u64,
    pub(super) route: Name,
    pub(super) backend: Name,
    /// The share before, 0 to 100.
    pub(super) before: f64,
    /// The share that the backend would get, 0 to 100.
    pub(super) share: f64,
    pub(super) weights: BTreeMap<String, Weight>,
    /// What was in force when it was proposed; it is not applied over anything else.
    pub(super) revision: Revision,
    pub(super) dry_run: bool,
}

/// What the model wants done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Quit,
    Look,
    Weights(Proposal),
    Switch { route: Name, on: bool },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Reply {
    Status(Result<Box<Status>, Failure>),
    Weights(Proposal, Result<Box<Weights>, Failure>),
    Switch(Result<Box<KillSwitch>, Failure>),
}

/// The curves of a backend on a route, the newest last.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) rate: VecDeque<f64>,
    pub(super) errors: VecDeque<f64>,
    pub(super) p99: VecDeque<f64>,
}

// === impl Top ===

impl Top {
    pub(super) fn new(status: Status) -> Self {
        let mut top = Self {
            status,
            mode: Mode::Browse,
            message: None,
            gone: None,
            table: TableState::default().with_selected(0),
            history: BTreeMap::new(),
            proposals: 0,
        };
        top.remember();
        top
    }

    /// Every backend of every route, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Route, &RouteBackend)> {
        self.status.routes.iter().flat_map(|route| route.backends.iter().map(move |backend| (route, backend)))
    }

    /// The selected one.
    pub(super) fn selected(&self) -> Option<(&Route, &RouteBackend)> {
        self.rows().nth(self.table.selected().unwrap_or(0))
    }

    /// The curves of a backend on a route.
    pub(super) fn history(&self, route: &Name, backend: &Name) -> Option<&History> {
        self.history.get(&(route.clone(), backend.clone()))
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyCode, modifiers: KeyModifiers) -> Option<Effect> {
        if modifiers.contains(KeyModifiers::CONTROL) && matches!(key, KeyCode::Char('c' | 'd')) {
            return Some(Effect::Quit);
        }
        if self.mode == Mode::Browse && self.moved(key) {
            self.message = None;
            return None;
        }
        match (&self.mode, key) {
            (Mode::Browse, KeyCode::Char('q') | KeyCode::Esc) => return Some(Effect::Quit),
            (Mode::Browse, KeyCode::Char('k')) => self.propose_switch(true),
            (Mode::Browse, KeyCode::Char('u')) => self.propose_switch(false),
            (Mode::Browse, KeyCode::Char('?' | 'h')) => self.mode = Mode::Help,
            (Mode::Browse | Mode::Weight { .. }, KeyCode::Char('+' | '=')) => return self.propose(true),
            (Mode::Browse | Mode::Weight { .. }, KeyCode::Char('-' | '_')) => return self.propose(false),
            (Mode::Weight { .. } | Mode::Switch { .. }, KeyCode::Char('y') | KeyCode::Enter) => {
                return self.confirm(key);
            }
            (Mode::Browse, _) => {}
            // Anything else is no consent.
            _ => self.mode = Mode::Browse,
        }
        None
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, reply: Reply, now: Duration) -> Option<Effect> {
        match reply {
            Reply::Status(Ok(status)) => {
                self.gone = None;
                self.status = *status;
                self.remember();
                let rows = self.rows().count();
                let selected = self.table.selected().unwrap_or(0).min(rows.saturating_sub(1));
                self.table.select(Some(selected));
                None
            }
            Reply::Status(Err(failure)) => {
                let since = self.gone.as_ref().map_or(now, |(since, _)| *since);
                self.gone = Some((since, first_line(&failure)));
                None
            }
            Reply::Weights(proposal, answer) if proposal.dry_run => {
                self.preview(&proposal, answer);
                None
            }
            Reply::Weights(proposal, answer) => {
                self.message = Some(match answer {
                    Ok(weights) => (true, applied(&proposal, &weights)),
                    Err(failure) => (false, first_line(&failure)),
                });
                Some(Effect::Look)
            }
            Reply::Switch(answer) => {
                self.message = Some(match answer {
                    Ok(switch) => match &switch.backend {
                        Some(backend) => (true, format!("{}: everything goes to {backend}", switch.route)),
                        None => (true, format!("{}: the weights decide again", switch.route)),
                    },
                    Err(failure) => (false, first_line(&failure)),
                });
                Some(Effect::Look)
            }
        }
    }

    fn moved(&mut self, key: KeyCode) -> bool {
        let last = self.rows().count().saturating_sub(1);
        let at = self.table.selected().unwrap_or(0);
        let to = match key {
            KeyCode::Up => at.saturating_sub(1),
            KeyCode::Down => (at + 1).min(last),
            KeyCode::PageUp => at.saturating_sub(10),
            KeyCode::PageDown => (at + 10).min(last),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => return false,
        };
        self.table.select(Some(to));
        true
    }

    fn propose_switch(&mut self, on: bool) {
        let Some((route, _)) = self.selected() else { return };
        let (route, active) = (route.name.clone(), route.kill_switch.is_some());
        if active == on {
            let text = if on { "is on already; u turns it off" } else { "is off" };
            self.message = Some((false, format!("{route}: the kill switch {text}")));
        } else {
            self.mode = Mode::Switch { route, on };
        }
    }

    /// The next larger or smaller share for the selected backend, or for the one that is proposed already.
    fn propose(&mut self, up: bool) -> Option<Effect> {
        let (route, backend) = match &self.mode {
            Mode::Weight { proposal, .. } => {
                let same = |(route, backend): &(&Route, &RouteBackend)| {
                    route.name == proposal.route && backend.name == proposal.backend
                };
                self.rows().find(same)?
            }
            _ => self.selected()?,
        };
        let before = backend.target_ratio * 100.0;
        let from = match &self.mode {
            Mode::Weight { proposal, .. } => proposal.share,
            _ => before,
        };
        let weights = route.backends.iter().map(|backend| (backend.name.clone(), backend.weight)).collect();
        let share = next(from, up);
        let wanted = [(backend.name.to_string(), Setting::Percent(share))];
        let outcome = match &route.kill_switch {
            Some(_) => Err("the kill switch is on, so weights decide nothing; u turns it off".to_owned()),
            None => spread(&weights, &wanted),
        };
        let (route, backend) = (route.name.clone(), backend.name.clone());
        match outcome {
            Ok(weights) => {
                self.proposals += 1;
                let (number, revision) = (self.proposals, self.status.revision);
                let proposal =
                    Proposal { number, route, backend, before, share, weights, revision, dry_run: true };
                self.mode = Mode::Weight { proposal: proposal.clone(), preview: None };
                self.message = None;
                Some(Effect::Weights(proposal))
            }
            Err(text) => {
                self.mode = Mode::Browse;
                self.message = Some((false, format!("{route}: {text}")));
                None
            }
        }
    }

    /// What the server says about a proposal, if it is still the one on the screen.
    fn preview(&mut self, answered: &Proposal, answer: Result<Box<Weights>, Failure>) {
        if let Mode::Weight { proposal, preview } = &mut self.mode
            && proposal.number == answered.number
        {
            let moved = answer.map(|weights| weights.moved_ratio.unwrap_or_default());
            *preview = Some(moved.map_err(|failure| first_line(&failure)));
        }
    }

    fn confirm(&mut self, key: KeyCode) -> Option<Effect> {
        match &self.mode {
            // Only what was seen can be agreed to.
            Mode::Weight { proposal, preview: Some(Ok(_)) } => {
                let effect = Effect::Weights(Proposal { dry_run: false, ..proposal.clone() });
                self.mode = Mode::Browse;
                Some(effect)
            }
            Mode::Weight { preview: Some(Err(_)), .. } => {
                self.mode = Mode::Browse;
                None
            }
            Mode::Switch { route, on } if key == KeyCode::Char('y') => {
                let effect = Effect::Switch { route: route.clone(), on: *on };
                self.mode = Mode::Browse;
                Some(effect)
            }
            _ => None,
        }
    }

    fn remember(&mut self) {
        let mut history = std::mem::take(&mut self.history);
        let mut kept = BTreeMap::new();
        for (route, backend) in self.rows() {
            let key = (route.name.clone(), backend.name.clone());
            let mut of_this: History = history.remove(&key).unwrap_or_default();
            let traffic = &backend.traffic;
            push(&mut of_this.rate, traffic.requests_per_second);
            push(&mut of_this.errors, traffic.error_ratio.unwrap_or_default());
            push(&mut of_this.p99, traffic.p99_seconds.unwrap_or_default());
            kept.insert(key, of_this);
        }
        self.history = kept;
    }
}

fn push(series: &mut VecDeque<f64>, value: f64) {
    if series.len() == REMEMBERED {
        series.pop_front();
    }
    series.push_back(value);
}

/// The share after `from` on the way up or down.
fn next(from: f64, up: bool) -> f64 {
    // A share of 33.33 % has neighbours too; one of 4.9999999 % is 5 %.
    let near = 1e-6;
    if up {
        SHARES.into_iter().find(|share| *share > from + near).unwrap_or(100.0)
    } else {
        SHARES.into_iter().rev().find(|share| *share < from - near).unwrap_or(0.0)
    }
}

fn applied(proposal: &Proposal, weights: &Weights) -> String {
    let moved = output::percent(weights.moved_ratio.unwrap_or_default());
    let share = output::percent(proposal.share / 100.0);
    let Proposal { route, backend, .. } = proposal;
    format!("{route}: {backend} has {share} now, {moved} of users move (rev {})", weights.revision.0)
}

fn first_line(failure: &Failure) -> String {
    failure.to_string().lines().next().unwrap_or_default().to_owned()
}

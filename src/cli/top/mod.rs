//! `weir top`: routes and backends, live in the terminal.
//!
//! What is shown and what a key does is in `model`, which knows neither terminal nor server; `draw` puts it on the screen. Here
//! is what connects them: a thread that reads keys, requests that run beside the screen and never hold it up, and the end, at
//! which the terminal is as it was, also after a signal or a panic.

mod draw;
mod model;
#[cfg(test)]
mod tests;

use std::{io, thread, time::Duration};

use anyhow::Context as _;
use clap::Args;
use hyper::Method;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::model::{Effect, Reply, Top as Model};
use super::{
    Exit, Failure,
    client::{Call, Client, block_on, segment},
    output::{Look, terminal_size},
    remote::At,
};
use crate::types::clock;

const EXAMPLES: &str = "\
Keys:
  up, down       select a backend (j and k of vi are taken)
  +, -           another share for it: says who would move, y applies
  k, then y      kill switch: everything on the route to its baseline
  u, then y      kill switch off
  ?              help
  q              quit

Examples:
  weir top";

/// Between two looks at the server.
const EVERY: Duration = Duration::from_secs(1);
/// How long the thread that reads keys waits before it sees that nobody listens.
const KEY_WAIT: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Top {
    #[command(flatten)]
    at: At,
}

// === impl Top ===

impl Top {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if terminal_size().is_none() {
            let failure = Failure::text(Exit::Usage, "`weir top` needs a terminal");
            return Err(failure.hint("`weir stats --watch` writes lines that go anywhere"));
        }
        let client = self.at.client()?;
        // A first answer before the screen is taken: whoever named the wrong server reads why, on an ordinary screen.
        let model = Model::new(self.at.hinted(block_on(client.get("/v1/status")))?);
        block_on(async move {
            // From here on a panic restores the terminal before it is told.
            let mut terminal = ratatui::try_init().context("cannot take the terminal")?;
            let ended = live(&mut terminal, model, client).await;
            ratatui::restore();
            ended.map(|()| Exit::Done)
        })
    }
}

async fn live(terminal: &mut DefaultTerminal, mut model: Model, client: Client) -> Result<(), Failure> {
    let look = Look::of_stdout();
    let mut inputs = inputs();
    let (replies, mut answers) = mpsc::channel(16);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut asking = false;
    loop {
        let drawn = terminal.draw(|frame| draw::draw(frame, &mut model, look, clock::unix_now()));
        drawn.context("cannot draw")?;
        let effect = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            input = inputs.recv() => match input {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => model.key(key.code, key.modifiers),
                Some(Ok(_)) => None,
                Some(Err(error)) => return Err(anyhow::Error::from(error).context("cannot read the keys").into()),
                None => return Ok(()),
            },
            _ = ticks.tick(), if !asking => Some(Effect::Look),
            Some(reply) = answers.recv() => {
                asking &= !matches!(reply, Reply::Status(_));
                model.answered(reply, clock::unix_now())
            }
        };
        match effect {
            Some(Effect::Quit) => return Ok(()),
            Some(effect) => {
                asking |= effect == Effect::Look;
                let (client, replies) = (client.clone(), replies.clone());
                tokio::spawn(async move {
                    // Nobody waits for it any more when the screen has ended.
                    let _ = replies.send(carry_out(effect, &client).await).await;
                });
            }
            None => {}
        }
    }
}

async fn carry_out(effect: Effect, client: &Client) -> Reply {
    match effect {
        Effect::Look | Effect::Quit => Reply::Status(client.get("/v1/status").await.map(Box::new)),
        Effect::Weights(proposal) => {
            let path = format!("/v1/routes/{}/weights", segment(proposal.route.as_str()));
            let body = json!({"weights": proposal.weights, "reason": "weir top"});
            let call = Call::new(Method::PUT, path).json(&body).dry_run(proposal.dry_run);
            let answer = client.send(call.expecting(Some(proposal.revision))).await;
            Reply::Weights(proposal, answer.map(Box::new))
        }
        Effect::Switch { route, on } => {
            let path = format!("/v1/routes/{}/kill-switch", segment(route.as_str()));
            let method = if on { Method::PUT } else { Method::DELETE };
            let call = Call::new(method, path).json(&json!({"reason": "weir top"}));
            Reply::Switch(client.send(call).await.map(Box::new))
        }
    }
}

/// What happens at the terminal, read by a thread of its own, for reading blocks.
fn inputs() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, inputs) = mpsc::channel(16);
    thread::spawn(move || {
        while !sender.is_closed() {
            let input = match event::poll(KEY_WAIT) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let last = input.is_err();
            if sender.blocking_send(input).is_err() || last {
                break;
            }
        }
    });
    inputs
}

//! `weir set-weight`: changes the weights of a route.
//!
//! A plain number is a weight, relative to the others, and leaves the others alone. A percentage is a share: the backends
//! that are not named keep their proportions and get the rest.

use std::collections::BTreeMap;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{
    Exit, Failure,
    change::Change,
    client::{Call, Client, segment},
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
    table::{Column, Table},
};
use crate::{
    admin::api::types::Weights,
    types::{Name, Revision, Weight},
};

const EXAMPLES: &str = "\
Examples:
  weir set-weight shop canary=20                a weight; the others keep theirs
  weir set-weight shop canary=20%               a share; the others keep their proportions and get the rest
  weir set-weight shop canary=50 --dry-run      who would move?
  weir set-weight shop canary=50 --if-rev r42 --reason 'p99 is fine'
  weir set-weight shop canary=file              the control file has its say again";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SetWeight {
    /// The route
    route: String,
    /// Weights (canary=20), shares (canary=20%), or `file` to give the control file its say again (canary=file)
    #[arg(required = true, value_name = "BACKEND=WEIGHT", value_parser = setting)]
    weights: Vec<(String, Setting)>,
    /// Only when this revision is in force; exit code 4 otherwise
    #[arg(long, value_name = "N", value_parser = super::revision)]
    if_rev: Option<Revision>,
    /// Also while a rollout has the route: it pauses then
    #[arg(long)]
    pause_rollout: bool,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    remote: Remote,
}

const COLUMNS: [Column; 4] = [
    Column::left("BACKEND").shrinks(),
    Column::right("WEIGHT"),
    Column::right("FILE"),
    Column::right("SHARE"),
];

/// What a backend is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Setting {
    /// A weight relative to the others.
    Weight(f64),
    /// A share of users, 0 to 100.
    Percent(f64),
    /// What the control file says.
    File,
}

// === impl SetWeight ===

impl SetWeight {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let answer = self.remote.run(async |client| self.send(client).await)?;
        output::warn(&answer.warnings);
        self.remote.output.print(&answer)
    }

    pub(super) async fn send(&self, client: &Client) -> Result<Weights, Failure> {
        let path = format!("/v1/routes/{}/weights", segment(&self.route));
        for (index, (name, _)) in self.weights.iter().enumerate() {
            if self.weights[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Failure::text(Exit::Usage, format!("`{name}` is given twice")));
            }
        }
        let mut expected = self.if_rev;
        let shares =
            self.weights.iter().filter(|(_, setting)| matches!(setting, Setting::Percent(_))).count();
        let (method, weights) = if shares == 0 {
            let weights = self.weights.iter().map(|(name, setting)| match setting {
                Setting::Weight(weight) | Setting::Percent(weight) => (name.clone(), json!(weight)),
                Setting::File => (name.clone(), json!(null)),
            });
            (Method::PATCH, weights.collect::<serde_json::Map<_, _>>())
        } else if shares == self.weights.len() {
            let current: Weights = client.get(&path).await?;
            // The shares are worked out from these weights, so they must still hold.
            expected = expected.or(Some(current.revision));
            let spread =
                spread(&current.weights, &self.weights).map_err(|text| Failure::text(Exit::Usage, text))?;
            let weights = spread.into_iter().map(|(name, weight)| (name, json!(weight)));
            (Method::PUT, weights.collect())
        } else {
            return Err(Failure::text(Exit::Usage, "give weights or percentages, not both"));
        };
        let body = json!({"weights": weights, "reason": self.change.reason});
        let target = if self.pause_rollout { format!("{path}?pause_rollout=true") } else { path };
        let call = Call::new(method, target).json(&body).dry_run(self.change.dry_run);
        client.send(call.expecting(expected)).await
    }
}

fn setting(text: &str) -> Result<(String, Setting), String> {
    let (backend, value) = text.split_once('=').ok_or("write it as BACKEND=WEIGHT, such as canary=20")?;
    let number = |text: &str| {
        let number = text.trim().parse().ok().filter(|number| (0.0..=1e6).contains(number));
        number.ok_or_else(|| format!("`{text}` is no weight: write a number such as 5 or 0.5"))
    };
    let setting = match value.strip_suffix('%') {
        Some(percent) => match number(percent)? {
            percent if percent <= 100.0 => Setting::Percent(percent),
            percent => return Err(format!("{percent} % is more than everything")),
        },
        None if value == "file" => Setting::File,
        None => Setting::Weight(number(value)?),
    };
    Ok((backend.to_owned(), setting))
}

/// Weights that sum to 100 and give the named backends their shares, the others the rest in proportion to `current`; where
/// there is one other, it gets the rest even from a weight of 0.
pub(super) fn spread(
    current: &BTreeMap<Name, Weight>,
    wanted: &[(String, Setting)],
) -> Result<BTreeMap<String, Weight>, String> {
    let mut spread = BTreeMap::new();
    for (name, setting) in wanted {
        let Setting::Percent(percent) = setting else { continue };
        if spread.insert(name.clone(), *percent).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    let rest = 100.0 - spread.values().sum::<f64>();
    let others = || current.iter().filter(|(name, _)| !spread.contains_key(name.as_str()));
    let total: f64 = others().map(|(_, weight)| weight.as_f64()).sum();
    let left: Vec<_> = others().map(|(name, weight)| (name.to_string(), weight.as_f64())).collect();
    if rest < -1e-9 {
        return Err(format!("the shares sum to {} %", 100.0 - rest));
    }
    let only_other = left.len() == 1;
    if rest > 1e-9 && total <= 0.0 && !only_other {
        return Err(format!(
            "{rest} % are left for nobody: the other backends have no weight; name one of them too"
        ));
    }
    for (name, weight) in left {
        let part = if total > 0.0 { weight / total } else { f64::from(u8::from(only_other)) };
        let share = rest.max(0.0) * part;
        spread.insert(name, share);
    }
    let weight =
        |share: f64| Weight::from_f64((share * 1e6).round() / 1e6).map_err(|error| error.to_string());
    spread.into_iter().map(|(name, share)| Ok((name, weight(share)?))).collect()
}

impl Answer for Weights {
    fn screen(&self, _: &View) -> Screen {
        let outcome = match (self.dry_run, self.changed) {
            (true, _) => "dry run: nothing was changed".to_owned(),
            (false, Some(false)) => format!("as before, rev {}", self.revision.0),
            _ => format!("rev {}", self.revision.0),
        };
        let moved = self.moved_ratio.map(|moved| format!(", {} of users move", output::percent(moved)));
        let mut table = Table::new(&COLUMNS);
        for (name, weight) in &self.weights {
            table.row([
                name.as_str().into(),
                weight.to_string().into(),
                output::or_dash(self.file.get(name), Weight::to_string).into(),
                output::or_dash(self.shares.get(name).copied(), output::percent).into(),
            ]);
        }
        Screen::of([format!("{}   {outcome}{}", self.route, moved.unwrap_or_default())]).table(table)
    }

    fn names(&self) -> Vec<String> {
        vec![self.route.to_string()]
    }
}

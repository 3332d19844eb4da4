//! The help text of `weir`: commands in groups, and what holds for all of them.

use clap::{Command, CommandFactory as _};

use super::{Cli, Exit};

/// The commands by what people come for; a test holds that each stands in one of them.
pub(super) const GROUPS: &[(&str, &[&str])] = &[
    ("See what runs", &["status", "routes", "backends", "stats", "top", "explain", "events"]),
    ("Change live traffic", &["set-weight", "kill", "unkill", "drain", "undrain", "override", "overlay"]),
    ("Roll out a version", &["rollout"]),
    ("Look back, and go back", &["revisions", "audit", "diff"]),
    ("Run Weir", &["run", "demo", "check", "schema", "token", "healthcheck"]),
    ("About this program", &["completion", "man", "version"]),
];

const EXAMPLES: &str = "\
Examples:
  weir demo                                       see it work, with nothing but this binary
  weir run --config weir.yaml                     run the proxy
  weir status                                     what runs, and how it does
  weir set-weight shop canary=20% --dry-run       who would move?
  weir rollout start shop --version v2 --wait     step by step, and back by itself when it is bad
  weir kill shop                                  everything to the baseline, now
  weir revisions restore 41                       back to what was in force then";

/// The whole command line.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        groups(&command)
    );
    // They may stand before a command too; its own help shows them.
    let command = ["token_file", "ca_file", "cert_file", "key_file"]
        .iter()
        .fold(command, |command, id| command.mut_arg(id, |arg| arg.hide(true)));
    command.help_template(template).after_help(format!("{EXAMPLES}\n\n{}\n\n{}", clients(), exits()))
}

fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        text += &format!("{title}:\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            text += &format!("  {name:<12} {}\n", about.map(ToString::to_string).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

fn clients() -> &'static str {
    "Clients of the admin API take --server URL, --token-file FILE, --ca-file FILE, --cert-file FILE with --key-file FILE,\n\
     and --output table|wide|json|yaml|name, before the command or after it.\n\
     Environment: WEIR_SERVER, WEIR_TOKEN (who you are), WEIR_ACTOR (a name for the audit), WEIR_CONFIG, WEIR_DATA_DIR, NO_COLOR."
}

fn exits() -> String {
    let codes = Exit::ALL.iter().map(|(exit, meaning)| format!("  {:<3} {meaning}\n", *exit as u8));
    format!("Exit codes:\n{}", codes.collect::<String>().trim_end())
}

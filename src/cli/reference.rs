//! docs/cli.md, written from the command line itself; a test fails when it is stale.

use std::{fmt::Write as _, fs, path::Path};

use clap::{Arg, Command};

use super::{
    Exit,
    help::{self, GROUPS},
    remote::HEADING,
};

const PATH: &str = "docs/cli.md";

const INTRO: &str = "\
# Command line

<!-- Written from the command line itself: `WEIR_UPDATE=1 cargo nextest run reference` makes it anew. -->

Data goes to standard output, messages go to standard error. `weir COMMAND --help` says what stands here.
";

const CLIENTS: &str = "\
## Clients of the admin API

**Server.** `--server URL` or WEIR_SERVER; else the first socket that exists of `$XDG_RUNTIME_DIR/weir.sock` and
`/run/weir/admin.sock`; else `http://127.0.0.1:9900`. An error says where was looked.

A server may be `http://host:port`, `https://host:port` (with `--ca-file FILE` or WEIR_CA_FILE for an authority of one's own, and `--cert-file FILE --key-file FILE` or WEIR_CERT_FILE and WEIR_KEY_FILE for a client certificate) or `unix:/path`.

**Token.** Where the API wants to know who asks: in the file of `--token-file FILE` or WEIR_TOKEN_FILE, or in WEIR_TOKEN itself; never an
argument, which every user of the machine could read. Over a unix socket the system says who asks.

**Output.** `--output` (`-o`) is one of:

| value | what is printed |
|---|---|
| `table` | for people; fits the terminal: columns are cut (`…`), then left out, the least important first. Elsewhere nothing is cut |
| `wide` | for people: every column, nothing cut |
| `json` | what the API answered |
| `yaml` | the same as YAML |
| `name` | names only, one a line, for scripts |

With `json` and `yaml`, an error is an object too, on standard error: a problem (RFC 9457), as the API gave it where it did, with the
exit code as `exit`.

Colour only on a terminal and without `NO_COLOR`, and never alone; symbols fall back to ASCII where the locale is not UTF-8.

`--server` and `--output` may stand before the command too. Changes carry a name for the audit: WEIR_ACTOR, else the user's.
";

#[test]
fn the_reference_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    let text = reference();
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap();
    assert!(kept == text, "{PATH} is stale: run the tests once with WEIR_UPDATE=1");
}

#[test]
fn every_command_stands_in_one_group_and_has_an_example() {
    let command = built();
    let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
    for sub in commands(&command) {
        let name = sub.get_name();
        assert_eq!(grouped.iter().filter(|other| **other == name).count(), 1, "{name}");
        let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("  weir {name}")), "{name} has no example");
    }
    assert_eq!(grouped.len(), commands(&command).count());
}

fn built() -> Command {
    let mut command = help::command();
    command.build();
    command
}

fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
}

fn reference() -> String {
    let command = built();
    let mut text = format!("{INTRO}\n");
    for (title, names) in GROUPS {
        let links: Vec<_> = names.iter().map(|name| format!("[{name}](#weir-{name})")).collect();
        writeln!(text, "- {title}: {}", links.join(", ")).unwrap();
    }
    write!(text, "\n{CLIENTS}\n## Exit codes\n\n| code | meaning |\n|---|---|\n").unwrap();
    for (exit, meaning) in Exit::ALL {
        writeln!(text, "| {} | {meaning} |", exit as u8).unwrap();
    }
    for name in GROUPS.iter().flat_map(|(_, names)| *names) {
        section(command.find_subcommand(name).unwrap(), &format!("weir {name}"), 2, &mut text);
    }
    text
}

fn section(command: &Command, name: &str, depth: usize, text: &mut String) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    writeln!(text, "\n{} {name}\n\n{}.", "#".repeat(depth), about.trim_end_matches('.')).unwrap();
    let usage = command.clone().render_usage().to_string();
    writeln!(text, "\n```\n{}\n```", usage.trim_start_matches("Usage: ").trim()).unwrap();
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| is_own(argument)).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        for argument in arguments {
            writeln!(text, "| {} | {} |", term(argument), meaning(argument)).unwrap();
        }
    }
    if let Some(after) = command.get_after_help().map(ToString::to_string) {
        write!(text, "\n{}", after_help(&after)).unwrap();
    }
    for sub in commands(command) {
        section(sub, &format!("{name} {}", sub.get_name()), depth + 1, text);
    }
}

/// Whether the section of all clients does not have it.
fn is_own(argument: &Arg) -> bool {
    let common = ["help", "version"].contains(&argument.get_id().as_str());
    !common && !argument.is_hide_set() && argument.get_help_heading() != Some(HEADING)
}

fn term(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default().join(" ");
    let takes = argument.get_action().takes_values();
    let names: Vec<String> = [
        argument.get_short().map(|short| format!("-{short}")),
        argument.get_long().map(|long| format!("--{long}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    match (names.is_empty(), takes) {
        (true, _) => format!("`{values}`"),
        (false, true) => format!("`{} {values}`", names.join(", ")),
        (false, false) => format!("`{}`", names.join(", ")),
    }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = help.replace('|', "\\|").replace('\n', " ");
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        write!(text, ": {}", values.join(", ")).unwrap();
    }
    let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !default.is_empty() && argument.get_action().takes_values() && !default[0].is_empty() {
        write!(text, " (default `{}`)", default.join(" ")).unwrap();
    }
    if let Some(name) = argument.get_env() {
        write!(text, " (or {})", name.to_string_lossy()).unwrap();
    }
    text
}

/// A help text as Markdown: a line that ends in a colon heads indented lines, which are code.
fn after_help(help: &str) -> String {
    let mut text = String::new();
    let mut code = false;
    for line in help.lines() {
        let indented = line.starts_with("  ");
        if indented != code {
            text.push_str("```\n");
            code = indented;
        }
        writeln!(text, "{}", line.strip_prefix("  ").unwrap_or(line)).unwrap();
    }
    if code {
        text.push_str("```\n");
    }
    text
}

//! `weir run`: the proxy itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::broadcast,
};

use super::{Exit, Failure, output};
use crate::{
    config,
    server::{self, Activated, Event, Options, Running, StartError, rfc3339, service_manager},
    types::clock,
};

/// Where a control file is looked for when none is named.
const DEFAULT_CONFIG: &str = "/etc/weir/weir.yaml";

const EXAMPLES: &str = "\
The data directory holds what must survive a restart: overrides, the audit, the cookie key. One process at a time has it. It
is --data-dir, else data_dir of the control file, else a directory beside the file that is named after it (weir.data).

Signals:
  SIGTERM, SIGINT      drain and stop; a second one stops at once
  SIGHUP               read the control file again (a changed file is noticed without it)
  SIGUSR1              open the access log anew, after rotation

Examples:
  weir run --config weir.yaml
  weir run --config weir.yaml --takeover          replace the process that runs, without refusing a connection";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    /// The control file; without it, /etc/weir/weir.yaml
    #[arg(long, short, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to keep what must survive a restart; beside the control file by default
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep everything in memory: overrides and cookies are forgotten at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Take over from the process that runs with the same data directory, without refusing a connection; start as usual if there is none
    #[arg(long, conflicts_with = "ephemeral")]
    takeover: bool,
}

// === impl Run ===

impl Run {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = match self.config {
            Some(config) => config,
            None if Path::new(DEFAULT_CONFIG).exists() => DEFAULT_CONFIG.into(),
            None => {
                let text = format!(
                    "no control file: name one with --config FILE or WEIR_CONFIG, or put it at {DEFAULT_CONFIG}\n  \
                     hint: `weir demo` shows Weir without one"
                );
                return Err(Failure::text(Exit::BadConfig, text));
            }
        };
        // First of all: the numbers of the descriptors are given.
        let sockets = Activated::from_environment().context("socket activation")?;
        raise_file_limit();
        let options = Options {
            config,
            data_dir: self.data_dir,
            ephemeral: self.ephemeral,
            takeover: self.takeover,
            sockets,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot start the control runtime")?.block_on(serve(options))
    }
}

/// Serves until a signal says to stop.
async fn serve(options: Options) -> Result<Exit, Failure> {
    let ephemeral = options.ephemeral;
    let listen = |kind| signal(kind).context("cannot listen for signals");
    // Before the start: as the first process of a container, signals that nobody listens for are ignored by the kernel.
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let mut user = listen(SignalKind::user_defined1())?;
    let mut running = tokio::select! {
        running = server::start(&options) => running.map_err(start_failure)?,
        _ = terminate.recv() => return Err(Failure::text(Exit::Error, "stopped by a signal while starting")),
        _ = interrupt.recv() => return Err(Failure::text(Exit::Error, "stopped by a signal while starting")),
    };
    announce(&running, ephemeral);
    if std::process::id() == 1 {
        tokio::spawn(reap(listen(SignalKind::child())?));
    }
    service_manager::ready(&running.control.state().revision.to_string());
    let mut events = running.control.events();
    let mut reloading = false;
    let successor = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            successor = running.taken_over() => break Some(successor),
            _ = hang_up.recv() => {
                reloading = true;
                service_manager::reloading();
                running.reload();
            }
            _ = user.recv() => running.reopen_log(),
            event = events.recv() => match event {
                Ok(event) => {
                    log_event(&event);
                    if ends_reload(&event) && std::mem::take(&mut reloading) {
                        service_manager::ready(&running.control.state().revision.to_string());
                    }
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => log(&format!("{missed} events were not logged")),
                Err(broadcast::error::RecvError::Closed) => break None,
            },
        }
    };
    let cut_off = tokio::select! {
        cut_off = end(running, successor) => cut_off,
        _ = terminate.recv() => return Err(Failure::text(Exit::Error, "stopped at once by a second signal")),
        _ = interrupt.recv() => return Err(Failure::text(Exit::Error, "stopped at once by a second signal")),
    };
    if cut_off > 0 {
        log(&format!("{cut_off} connections were cut off at the end of the drain timeout"));
    }
    log("stopped");
    Ok(Exit::Done)
}

/// Waits for processes that have ended. The first process of a container gets those that outlive their parent, and they stay as long
/// as it does not ask for them.
async fn reap(mut ended: Signal) {
    while ended.recv().await.is_some() {
        while matches!(rustix::process::wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    }
}

/// Finishes what is under way; gives how many connections were cut off.
async fn end(running: Running, successor: Option<u32>) -> usize {
    if let Some(successor) = successor {
        log(&format!("process {successor} has taken over: requests under way are finished here"));
        service_manager::succeeded_by(successor);
        running.leave().await
    } else {
        log("stopping: requests under way are finished; a second signal ends at once");
        service_manager::stopping();
        running.stop().await
    }
}

/// Takes as many open files as the system allows: each connection is one. The usual limit of 1024 is for programs that use select(2).
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        log(&format!("warning: the limit of open files stays at {:?}: {error}", limit.current));
    }
}

fn announce(running: &Running, ephemeral: bool) {
    let state = running.control.state();
    for warning in state.file.warnings.iter() {
        log(&format!("{}: warning: {}", state.file.path.display(), warning.message));
    }
    for dangling in &state.dangling {
        log(&format!("warning: {dangling}"));
    }
    for (name, address) in running.listeners() {
        log(&format!("listener {name} on {address}"));
    }
    if ephemeral {
        log("ephemeral: overrides, kill switches and the cookie key are forgotten at the end");
    }
    for note in running.admin_notes() {
        log(&note);
    }
    let (version, urls) = (env!("CARGO_PKG_VERSION"), running.admin_urls());
    let (admin, sockets) = urls.split_last().expect("the admin API has an address");
    for socket in sockets {
        log(&format!("admin API on {socket}"));
    }
    log(&format!("weir {version} runs revision {}, admin API on {admin}", state.revision));
}

/// Whether a reading of the control file has come to its end.
fn ends_reload(event: &Event) -> bool {
    match event {
        Event::Applied { state, .. } => state.action == "reload",
        Event::ReloadRefused(_) | Event::ReloadUnchanged { .. } => true,
        Event::StoreFailed(_) | Event::StoreRecovered => false,
    }
}

fn log_event(event: &Event) {
    match event {
        Event::Applied { state, route, from, to } => {
            let route = route.as_ref().map(|route| format!(" {route}")).unwrap_or_default();
            let reason =
                state.origin.reason.as_ref().map(|reason| format!(": {reason:?}")).unwrap_or_default();
            let (actor, channel) = (&state.origin.actor, state.origin.channel.as_str());
            let change = if state.action == "reload" { String::new() } else { format!(" {from} -> {to}") };
            let text = format!(
                "{} {}{route}{change} by {actor:?} ({channel}){reason}",
                state.revision, state.action
            );
            log(&text);
        }
        Event::ReloadRefused(failure) => {
            log(&format!(
                "the control file was refused, the last good one runs\n{}",
                failure.rendered.trim_end()
            ));
        }
        Event::ReloadUnchanged { recovered: true } => log("the control file is good again, and is what runs"),
        Event::ReloadUnchanged { recovered: false } => {
            log("the control file was read again, and is what runs")
        }
        Event::StoreRecovered => log("the store works again; what is in force is on disk"),
        Event::StoreFailed(error) => log(&format!("the store fails: {error}")),
    }
}

fn log(text: &str) {
    output::note(&format!("{} weir: {text}", rfc3339(clock::unix_now())));
}

/// Why it did not start: what is wrong with the file is shown with its lines.
pub(super) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Config(diagnostics) => {
            let look = output::Look::of_stderr();
            let look = config::Look { colour: look.colour, ascii: !look.unicode };
            Failure::text(
                Exit::BadConfig,
                format!("bad control file\n{}", diagnostics.render(look).trim_end()),
            )
        }
        error @ (StartError::AdminAddress(_) | StartError::Auth(_) | StartError::AdminTls(_)) => {
            Failure::new(Exit::BadConfig, error)
        }
        error => Failure::new(Exit::Error, error),
    }
}

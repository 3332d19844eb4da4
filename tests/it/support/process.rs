//! The real binary as a process: for what is about processes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Client, PATIENCE, Setup};

/// A control file and a data directory, in which processes run one after the other or two at once.
pub(crate) struct Home {
    folder: TempDir,
}

/// A running `weir run`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: Arc<Log>,
}

/// What it has written to standard error.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

// === impl Home ===

impl Home {
    pub(crate) fn of(setup: &Setup) -> Self {
        let home = Self { folder: TempDir::new().unwrap() };
        home.rewrite(&setup.text());
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the control file.
    pub(crate) fn rewrite(&self, text: &str) {
        let fresh = self.path().join("weir.yaml.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.config()).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.path().join("weir.yaml")
    }

    /// The command `weir run` with more arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.over(Command::new(env!("CARGO_BIN_EXE_weir")), arguments)
    }

    /// The same with a socket as the service manager would pass it, by these names.
    pub(crate) fn activated(&self, socket: impl Into<OwnedFd>, names: &str, arguments: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        shell.args(["-c", script, env!("CARGO_BIN_EXE_weir")]).env("LISTEN_FDNAMES", names);
        shell.stdin(Stdio::from(socket.into()));
        self.over(shell, arguments)
    }

    fn over(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(["run", "--config"]).arg(self.config()).arg("--data-dir").arg(self.path().join("data"));
        command.args(arguments).env_remove("NOTIFY_SOCKET").stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it serves.
    pub(crate) fn run(&self, arguments: &[&str]) -> Process {
        let process = Process::start(&mut self.command(arguments));
        process.admin();
        process
    }
}

// === impl Process ===

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::<Log>::default();
        let (errors, shared) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                shared.lines.lock().unwrap().0.push(line);
                shared.more.notify_all();
            }
            shared.lines.lock().unwrap().1 = true;
            shared.more.notify_all();
        });
        Self { child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`, and gives it.
    pub(crate) fn says(&self, text: &str) -> String {
        let found = |lines: &[String]| lines.iter().find(|line| line.contains(text)).cloned();
        let lines = self.log.lines.lock().unwrap();
        let waiting = |(lines, ended): &mut (Vec<String>, bool)| !*ended && found(lines).is_none();
        let (lines, _) = self.log.more.wait_timeout_while(lines, PATIENCE, waiting).unwrap();
        found(&lines.0).unwrap_or_else(|| panic!("never said: {text}\n{}", lines.0.join("\n")))
    }

    /// What it has said up to now.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().0.join("\n")
    }

    /// The admin API's address, once it serves.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.says("admin API on http://").rsplit('/').next().unwrap().parse().unwrap()
    }

    /// The address of a listener.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        let line = self.says(&format!("listener {listener} "));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// What the admin API answers.
    pub(crate) fn ask(&self, request: &str) -> String {
        let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Client::to(self.admin()).ask(head).text()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        super::weir::eventually("the process's end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

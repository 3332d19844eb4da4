//! `weir demo`: see Weir shift traffic between two versions, with nothing but this binary.
//!
//! The proxy is started as `weir run` starts it, on a control file in a temporary directory, and the weights are changed
//! through the admin API, as any client would. Nothing is staged: the numbers are what the clients saw.

mod screen;
mod walk;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::{screen::Screen, walk::Walk};
use super::{Exit, Failure, Format, client::Client, output, run::start_failure};
use crate::{
    demo::{Version, World},
    server::{self, Options, Running},
};

/// Ports that are tried after the usual one.
const OTHER_PORTS: u16 = 100;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the walk; exit code 1 when a request failed or a user went back
    #[arg(long)]
    exit: bool,
    /// What users and latencies are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How to print the outcome; json prints nothing else
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

/// A directory that goes away with its owner.
struct TempDir(PathBuf);

/// Where everything listens.
#[derive(Debug, Clone, Serialize)]
struct Addresses {
    proxy: SocketAddr,
    admin: SocketAddr,
}

// === impl Demo ===

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot start the control runtime")?.block_on(self.play())
    }

    async fn play(self) -> Result<Exit, Failure> {
        let directory = TempDir::new().context("cannot make a temporary directory")?;
        let world = World::start(self.seed).context("cannot start the demo's backends")?;
        let wanted = Addresses { proxy: free_address(8080)?, admin: free_address(9900)? };
        let config = directory.0.join("weir.yaml");
        fs::write(&config, control_file(&wanted, world.addresses()))
            .context("cannot write the control file")?;
        let options = Options { config, data_dir: None, ephemeral: false };
        let running = server::start(&options).await.map_err(start_failure)?;
        world.aim(wanted.proxy);
        let played = self.play_on(&running, &world, &wanted).await;
        // The users go first, so that none of them sees the proxy stop.
        drop(world);
        running.stop().await;
        drop(directory);
        played
    }

    /// The walk, and then serving until Ctrl-C.
    async fn play_on(
        &self,
        running: &Running,
        world: &World,
        addresses: &Addresses,
    ) -> Result<Exit, Failure> {
        let client = Client::new(&format!("http://{}", running.admin()))?;
        let mut screen = Screen::new(self.output, addresses, self.seed);
        let walk = Walk { client: &client, ledger: world.ledger(), short: self.exit, seed: self.seed };
        let outcome = tokio::select! {
            outcome = walk.run(&mut screen) => outcome?,
            () = told_to_stop() => return Ok(Exit::Done),
        };
        if self.output == Format::Json {
            output::print_json(&outcome)?;
        } else {
            screen.outcome(&outcome)?;
        }
        if !self.exit {
            screen.invite()?;
            told_to_stop().await;
        }
        Ok(if outcome.ok { Exit::Done } else { Exit::Error })
    }
}

/// Until Ctrl-C, or a polite kill.
async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// The first free address of loopback from `port` on.
fn free_address(port: u16) -> Result<SocketAddr, Failure> {
    (port..port + OTHER_PORTS)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| {
            Failure::text(Exit::Error, format!("no port from {port} to {} is free", port + OTHER_PORTS - 1))
        })
}

fn control_file(addresses: &Addresses, backends: [SocketAddr; 2]) -> String {
    let Addresses { proxy, admin } = addresses;
    let [(old, v1), (new, v2)] = [(Version::V1.as_str(), backends[0]), (Version::V2.as_str(), backends[1])];
    format!(
        "# The control file of `weir demo`.
version: 1
admin: {{ bind: {admin} }}
drain: {{ timeout: 2s }}
listeners:
  - {{ name: demo, bind: {proxy} }}
backends:
  {old}: {{ endpoints: [ {{ address: {v1} }} ], health_check: {{ path: /healthz, interval: 1s }} }}
  {new}: {{ endpoints: [ {{ address: {v2} }} ], health_check: {{ path: /healthz, interval: 1s }} }}
routes:
  - name: demo
    split:
      key: [ {{ header: X-User-Id }} ]
      backends: [ {{ name: {old}, weight: 100 }}, {{ name: {new}, weight: 0 }} ]
"
    )
}

// === impl TempDir ===

impl TempDir {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-demo-{:016x}", rand::random::<u64>()));
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What stays in the system's directory for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! The demo: Weir between two versions of a service, with nothing but this binary.
//!
//! [`run`] starts two backends (`backend`) and a load of sticky users (`load`), both on threads of their own; writes a
//! control file (`place`) and starts Weir with it as `weir run` would; then walks the weight of v2 from 5 to 100 % over
//! the admin API (`walk`), and proves by its own counts that no request failed, that nobody was sent back, and how fast
//! a new weight was in force (`report`). Nothing in it is staged: what the demo can do, any client can.
//!
//! Everything random comes from one seed. Only 127.0.0.1 is used, and one temporary directory.

mod admin;
mod backend;
mod background;
mod client;
mod frame;
mod ledger;
mod load;
mod place;
mod probe;
mod report;
mod schedule;
mod screen;
mod stats;
mod version;
mod walk;

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use admin::AdminError;
pub use client::ClientError;
pub use report::{Report, StepReport};
pub use screen::Style;
pub use version::{PerVersion, Version};

use self::{
    admin::Admin,
    backend::Backends,
    load::Load,
    place::{Directory, Ports},
    screen::Screen,
    walk::Walk,
};
use crate::server::{self, StartError};

/// What the demo is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the load and the backends' times are drawn from.
    pub seed: u64,
    /// End after the walk instead of serving on.
    pub exit: bool,
    /// How long each weight is held.
    pub hold: Duration,
    /// The wanted port of the proxy; the next free one when it is taken, any when it is 0.
    pub proxy_port: u16,
    /// The wanted port of the admin API; the next free one when it is taken, any when it is 0.
    pub admin_port: u16,
    /// How this binary is called, for the commands that the demo suggests.
    pub program: String,
}

/// Where the demo writes.
pub struct Output<'a> {
    /// What people read.
    pub text: &'a mut (dyn Write + Send),
    /// What `text` can show.
    pub style: Style,
    /// Where the report goes as one JSON document, after the walk.
    pub json: Option<&'a mut (dyn Write + Send)>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No directory for the control file and the data.
    #[error("cannot write to the directory for temporary files")]
    Directory(#[source] io::Error),
    /// No port for Weir.
    #[error("no port for the proxy or the admin API")]
    Ports(#[source] io::Error),
    /// No thread or port for the backends or the load.
    #[error("cannot start the demo's backends or load")]
    Thread(#[source] io::Error),
    /// No signals, so no end in order.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// Weir does not start.
    #[error("weir does not start")]
    Start(#[from] StartError),
    /// The admin API does not do what is asked.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Nobody reads the output.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// Stopped by a signal before the walk was over.
    #[error("stopped before the end")]
    Interrupted,
}

/// What ends the demo from outside.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

/// Runs the demo on the current runtime, which becomes the one of Weir's control plane. Returns after the walk, or, without
/// `exit`, when SIGINT or SIGTERM ends it; everything that was started is stopped by then.
///
/// # Errors
/// When something needed cannot be had, or a signal comes before the walk is over.
pub async fn run(options: &Options, output: Output<'_>) -> Result<Report, DemoError> {
    let mut stop = Stop::listen().map_err(DemoError::Signals)?;
    // In the order of starting; what is started later is dropped earlier.
    let directory = Directory::new().map_err(DemoError::Directory)?;
    let backends = Backends::start(options.seed).await.map_err(DemoError::Thread)?;
    let ports = Ports::find(options.proxy_port, options.admin_port).map_err(DemoError::Ports)?;
    let config = directory.write_config(ports, backends.addresses()).map_err(DemoError::Directory)?;
    let start = server::Options { config, data_dir: Some(directory.data()), ..server::Options::default() };
    let weir = server::start(&start).await?;
    let result = perform(options, output, ports, &mut stop).await;
    weir.stop().await;
    result
}

/// Everything between the start and the stop of Weir.
async fn perform(
    options: &Options,
    output: Output<'_>,
    ports: Ports,
    stop: &mut Stop,
) -> Result<Report, DemoError> {
    let mut screen = Screen::new(output.text, output.style);
    let style = output.style;
    print(&mut screen, &frame::head(style, ports, (options.proxy_port, options.admin_port)))?;
    let mut admin = Admin::new(ports.admin);
    let load = async {
        admin.ready().await?;
        Load::start(ports.proxy, options.seed, walk::walk_stats()).await.map_err(DemoError::Thread)
    };
    let load = tokio::select! {
        load = load => load?,
        () = stop.asked() => return Err(DemoError::Interrupted),
    };
    let mut walk = Walk { options, proxy: ports.proxy, admin: &mut admin, load: &load, screen: &mut screen };
    let report = tokio::select! {
        report = walk.run() => report?,
        () = stop.asked() => return Err(DemoError::Interrupted),
    };
    print(walk.screen, &frame::summary(style, &report))?;
    if let Some(json) = output.json {
        write_json(json, &report).map_err(DemoError::Output)?;
    }
    if options.exit {
        return Ok(report);
    }
    print(walk.screen, &frame::invitation(style, &options.program, ports))?;
    tokio::select! {
        error = walk.serve() => Err(error),
        () = stop.asked() => Ok(report),
    }
}

fn print(screen: &mut Screen<'_>, lines: &[String]) -> Result<(), DemoError> {
    lines.iter().try_for_each(|line| screen.line(line)).map_err(DemoError::Output)
}

fn write_json(out: &mut (dyn Write + Send), report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)?;
    out.flush()
}

// === impl Stop ===

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits until the demo is to end.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

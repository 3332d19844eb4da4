//! The workers as seen from outside: started, given listeners, drained, stopped.

use std::{collections::BTreeMap, io, rc::Rc, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    caps::{ByAddress, Connections},
    listener::Inlet,
    worker::{SWEEP_EVERY, Worker},
};
use crate::{
    net::{Listener, ListeningSocket},
    snapshot::{self, Reader},
    telemetry::{ListenerShard, Sharded},
    types::{Name, clock},
};

/// Commands that may wait for a worker: opening and closing all listeners of a large file.
const INBOX: usize = 4096;
/// How often a draining worker looks whether its connections are gone.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// The running workers.
#[derive(Debug)]
pub struct DataPlane {
    workers: Vec<WorkerHandle>,
}

/// A listener to be opened.
#[derive(Debug)]
pub struct OpenListener {
    /// Its name.
    pub name: Name,
    /// Its sockets, of which each worker has at least one, shared or not.
    pub sockets: Vec<ListeningSocket>,
    /// Its statistics.
    pub shards: Arc<Sharded<ListenerShard>>,
    /// What it is, for as long as no snapshot has something newer.
    pub opened: snapshot::Listener,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: mpsc::Sender<Command>,
    thread: thread::JoinHandle<()>,
}

enum Command {
    Open(Box<Inlet>, Vec<ListeningSocket>),
    Close { name: Name },
    Drain { timeout: Duration, queue: Queue, done: oneshot::Sender<usize> },
}

/// What becomes of connections that wait to be accepted when a listener stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// They are taken: closing the socket would reset them.
    Take,
    /// They are another process's, which has the same socket.
    Leave,
}

/// A listener that accepts.
struct Accepting {
    stop: oneshot::Sender<Queue>,
    task: JoinHandle<()>,
}

/// What each of `count` workers listens on. Sockets that are one queue of connections each must all be listened on; where there are
/// fewer than workers, several share one. A worker that is out of descriptors gets none, and the others take its connections.
fn shared_out(mut sockets: Vec<ListeningSocket>, count: usize) -> Vec<Vec<ListeningSocket>> {
    let own = sockets.len();
    for at in own..count {
        if let Some(Ok(another)) = sockets.get(at % own.max(1)).map(ListeningSocket::try_clone) {
            sockets.push(another);
        }
    }
    let mut shares: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for (at, socket) in sockets.into_iter().enumerate() {
        shares[at % count].push(socket);
    }
    shares
}

// === impl DataPlane ===

impl DataPlane {
    /// Starts `count` workers that read snapshots from `reader`.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(count: usize, reader: &Reader) -> io::Result<Self> {
        let connections = Connections::of_workers(count).into_iter().enumerate();
        let workers = connections.map(|(index, connections)| spawn(index, connections, reader.clone()));
        Ok(Self { workers: workers.collect::<io::Result<_>>()? })
    }

    /// Begins to accept on a listener, on every worker.
    pub fn open(&self, listener: OpenListener) {
        let by_address = Arc::<ByAddress>::default();
        for (worker, sockets) in self.workers.iter().zip(shared_out(listener.sockets, self.workers.len())) {
            let inlet = Inlet {
                name: listener.name.clone(),
                shards: Arc::clone(&listener.shards),
                opened: listener.opened.clone(),
                by_address: Arc::clone(&by_address),
            };
            worker.send(Command::Open(Box::new(inlet), sockets));
        }
    }

    /// Ends accepting on a listener; its connections go on.
    pub fn close(&self, name: &Name) {
        for worker in &self.workers {
            worker.send(Command::Close { name: name.clone() });
        }
    }

    /// Stops: no new connections, no further requests on those there are, and after `timeout` at the latest the end.
    /// Returns how many connections were cut off.
    pub async fn drain(self, timeout: Duration, queue: Queue) -> usize {
        let mut waiting = Vec::new();
        for worker in &self.workers {
            let (done, cut) = oneshot::channel();
            worker.send(Command::Drain { timeout, queue, done });
            waiting.push(cut);
        }
        let mut cut_off = 0;
        for cut in waiting {
            cut_off += cut.await.unwrap_or_default();
        }
        for worker in self.workers {
            drop(worker.thread.join());
        }
        cut_off
    }
}

// === impl WorkerHandle ===

impl WorkerHandle {
    /// Sends without waiting: a worker takes its commands between two requests, and the inbox holds more listeners than
    /// one change can name. A worker that has ended needs none.
    fn send(&self, command: Command) {
        drop(self.commands.try_send(command));
    }
}

fn spawn(index: usize, connections: Connections, reader: Reader) -> io::Result<WorkerHandle> {
    let (commands, inbox) = mpsc::channel(INBOX);
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(format!("weir-worker-{index}")).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                drop(ready.send(Ok(())));
                let worker = Rc::new(Worker::new(index, connections, &reader, rand::random()));
                runtime.block_on(run(worker, inbox));
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended at its start")))?;
    Ok(WorkerHandle { commands, thread })
}

/// A worker's main task: does as it is told, and sweeps in between.
async fn run(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Command>) {
    let mut listeners: BTreeMap<Name, Vec<Accepting>> = BTreeMap::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let command = tokio::select! {
            command = inbox.recv() => command,
            _ = sweep.tick() => {
                worker.sweep(clock::now());
                continue;
            }
        };
        match command {
            Some(Command::Open(inlet, sockets)) => {
                let inlet = Rc::new(*inlet);
                let accepting = sockets.into_iter().filter_map(|socket| accept(&worker, &inlet, socket).ok());
                listeners.insert(inlet.name.clone(), accepting.collect());
            }
            Some(Command::Close { name }) => {
                for accepting in listeners.remove(&name).into_iter().flatten() {
                    let _ = accepting.stop.send(Queue::Take);
                }
            }
            Some(Command::Drain { timeout, queue, done }) => {
                stop_accepting(listeners, queue).await;
                let _ = done.send(drain(&worker, timeout).await);
                return;
            }
            None => return,
        }
    }
}

fn accept(worker: &Rc<Worker>, inlet: &Rc<Inlet>, socket: ListeningSocket) -> io::Result<Accepting> {
    let listener = Listener::new(socket)?;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::task::spawn_local(Rc::clone(inlet).accept(Rc::clone(worker), listener, stopped));
    Ok(Accepting { stop, task })
}

async fn stop_accepting(listeners: BTreeMap<Name, Vec<Accepting>>, queue: Queue) {
    for accepting in listeners.into_values().flatten() {
        let _ = accepting.stop.send(queue);
        drop(accepting.task.await);
    }
}

/// Lets requests under way finish; returns how many connections were left when time was up.
async fn drain(worker: &Worker, timeout: Duration) -> usize {
    worker.drain();
    let deadline = clock::now() + timeout;
    while worker.connections.own() > 0 && clock::now() < deadline {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    worker.connections.own()
}

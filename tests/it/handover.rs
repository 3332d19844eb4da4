//! Start and stop as processes: hand-over to a new one, socket activation, what a service manager is told.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::{UnixDatagram, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::Signal;

use crate::support::{
    Client, GET, Gate, Origin, PATIENCE, Setup,
    process::{Home, Process},
    weir::eventually,
};

const CLOSE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Clients that ask without a pause, some with a connection for each request, some with one for many. Whatever is refused, broken
/// off or answered by something else than 200 ends the case. A connection that was closed between two requests is none of that.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..6).map(|number| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            thread::spawn(move || ask_until(&stop, &done, address, number % 2 == 0))
        });
        let clients = clients.collect();
        Self { stop, done, clients }
    }

    /// Waits for so many more requests.
    fn more(&self, count: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + count;
        eventually("more requests", || (self.done.load(Ordering::Relaxed) >= wanted).then_some(()));
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.join().unwrap();
        }
    }
}

fn ask_until(stop: &AtomicBool, done: &AtomicUsize, address: SocketAddr, one_each: bool) {
    let mut kept = None;
    while !stop.load(Ordering::Acquire) {
        if one_each {
            assert_eq!(Client::to(address).ask(CLOSE).status, 200);
        } else {
            kept = ask_again(address, kept);
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks over the connection that was kept, or over a new one when that was closed meanwhile; gives the one to keep.
fn ask_again(address: SocketAddr, kept: Option<Client>) -> Option<Client> {
    if let Some(mut client) = kept
        && client.try_send(GET)
        && let Ok(answer) = client.try_response()
    {
        assert_eq!(answer.status, 200);
        return Some(client).filter(|_| answer.get("connection") != Some("close"));
    }
    let mut client = Client::to(address);
    assert_eq!(client.ask(GET).status, 200);
    Some(client)
}

fn put_weights(process: &Process, canary: u32) -> u16 {
    let body = format!("{{\"weights\":{{\"stable\":{},\"canary\":{canary}}}}}", 100 - canary);
    let head =
        "PATCH /v1/routes/all/weights HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    Client::to(process.admin()).ask(request).status
}

fn two_versions() -> (Origin, Setup) {
    let origin = Origin::named("ok");
    let setup = Setup::new()
        .backend("stable", &[origin.address])
        .backend("canary", &[origin.address])
        .drain("timeout: 15s")
        .workers(2);
    (origin, setup)
}

#[test]
fn a_new_process_takes_over_without_a_refused_connection_or_a_lost_request() {
    let (_origin, setup) = two_versions();
    let home = Home::of(&setup);
    let mut running = home.run(&[]);
    let (address, admin) = (running.address_of("web"), running.admin());
    assert_eq!(put_weights(&running, 20), 200);
    let load = Load::on(address);
    load.more(200);
    for canary in [30, 40, 50] {
        let next = home.run(&["--takeover"]);
        assert_eq!((next.address_of("web"), next.admin()), (address, admin), "ports that were chosen stay");
        assert!(running.end().success());
        running.says("has taken over");
        let route = next.ask("GET /v1/routes/all");
        assert!(route.contains(&(canary - 10).to_string()), "the overlay goes on: {route}");
        assert_eq!(put_weights(&next, canary), 200);
        load.more(200);
        running = next;
    }
    load.finish();
    running.signal(Signal::TERM);
    assert!(running.end().success());
}

#[test]
fn requests_under_way_finish_in_the_old_process() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let home = Home::of(&Setup::before(&origin).drain("timeout: 15s"));
    let mut old = home.run(&[]);
    let address = old.address_of("web");
    let mut slow = Client::to(address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.is_asked_slowly();
    let new = home.run(&["--takeover"]);
    old.says("has taken over");
    assert_eq!(Client::to(address).ask(CLOSE).text(), "ok");
    gate.open();
    assert_eq!(slow.response().text(), "ok");
    assert!(old.end().success());
    assert_eq!(Client::to(new.address_of("web")).ask(CLOSE).text(), "ok");
}

#[test]
fn a_new_process_that_cannot_start_changes_nothing() {
    let (_origin, setup) = two_versions();
    let home = Home::of(&setup);
    let running = home.run(&[]);
    let address = running.address_of("web");
    let load = Load::on(address);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("name: other, bind: \"{}\"", taken.local_addr().unwrap());
    for (text, complaint) in [
        ("listeners: [".to_owned(), "error"),
        (setup.clone().listener("name: web, bind: \"127.0.0.1:0\"").listener(&other).text(), "cannot bind"),
    ] {
        let good = std::fs::read_to_string(home.path().join("weir.yaml")).unwrap();
        home.rewrite(&text);
        let mut failing = Process::start(&mut home.command(&["--takeover"]));
        assert!(!failing.end().success());
        failing.says(complaint);
        home.rewrite(&good);
        assert_eq!(put_weights(&running, 30), 200, "commands are followed again");
        load.more(50);
    }
    // One that asks, and is gone; one that says nothing; one that says nonsense.
    for said in [&b"\0\0\0\x0e{\"protocol\":1}"[..], b"", b"\0\0\0\x02no"] {
        use std::io::Write as _;
        let mut asking = UnixStream::connect(home.path().join("data/takeover.sock")).unwrap();
        asking.write_all(said).unwrap();
        drop(asking);
        assert_eq!(put_weights(&running, 40), 200);
    }
    load.finish();
    let mut usual = Process::start(&mut home.command(&[]));
    assert!(!usual.end().success(), "without --takeover the data directory is in use");
    assert!(running.ask("GET /v1/status").contains("\"revision\""));
}

#[test]
fn listeners_come_and_go_with_a_hand_over() {
    let (_origin, setup) = two_versions();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("http.sock");
    let unix = format!("name: local, bind: \"unix:{}\"", path.display());
    let web = "name: web, bind: \"127.0.0.1:0\"";
    let home =
        Home::of(&setup.clone().listener(web).listener(&unix).listener("name: old, bind: \"127.0.0.1:0\""));
    let mut first = home.run(&[]);
    let (kept, gone) = (first.address_of("web"), first.address_of("old"));
    // The running process shall not follow the file before the new one does.
    first.signal(Signal::STOP);
    home.rewrite(
        &setup.clone().listener(web).listener(&unix).listener("name: new, bind: \"127.0.0.1:0\"").text(),
    );
    let mut starting = Process::start(&mut home.command(&["--takeover"]));
    first.signal(Signal::CONT);
    starting.admin();
    assert!(first.end().success());
    assert_eq!(starting.address_of("web"), kept);
    assert_eq!(Client::to(kept).ask(CLOSE).status, 200);
    assert_eq!(Client::to(starting.address_of("new")).ask(CLOSE).status, 200);
    assert!(std::net::TcpStream::connect_timeout(&gone, PATIENCE).is_err(), "nobody listens there any more");
    assert!(UnixStream::connect(&path).is_ok(), "the unix socket has its file");
    starting.signal(Signal::TERM);
    assert!(starting.end().success());
    assert!(!path.exists(), "and the last one removes it");
}

#[test]
fn without_a_running_process_takeover_is_an_ordinary_start() {
    let (_origin, setup) = two_versions();
    let home = Home::of(&setup);
    let mut first = home.run(&["--takeover"]);
    assert_eq!(put_weights(&first, 30), 200);
    // Killed: its socket stays in the directory, and nobody answers there.
    first.signal(Signal::KILL);
    first.end();
    let second = home.run(&["--takeover"]);
    assert_eq!(Client::to(second.address_of("web")).ask(CLOSE).status, 200);
    assert!(second.ask("GET /v1/routes/all").contains("30"));
}

#[test]
fn a_service_managers_socket_is_used_by_name_or_address_and_stays_open() {
    let (_origin, setup) = two_versions();
    for names in ["web", "something"] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        // A client that is there before Weir is.
        let mut early = Client::to(address);
        early.send(CLOSE);
        let bind = if names == "web" { "127.0.0.1:0".to_owned() } else { address.to_string() };
        let home = Home::of(&setup.clone().listener(&format!("name: web, bind: \"{bind}\"")));
        let mut weir = Process::start(&mut home.activated(socket.try_clone().unwrap(), names, &[]));
        assert_eq!(weir.address_of("web"), address);
        assert_eq!(early.response().status, 200);
        weir.signal(Signal::TERM);
        assert!(weir.end().success());
        // The next one takes the connections that come meanwhile.
        let mut between = Client::to(address);
        between.send(CLOSE);
        let again = Process::start(&mut home.activated(socket, names, &[]));
        assert_eq!(between.response().status, 200);
        assert_eq!(again.address_of("web"), address);
    }
}

#[test]
fn a_service_manager_is_told_what_happens() {
    let (_origin, setup) = two_versions();
    let home = Home::of(&setup);
    let path = home.path().join("notify.sock");
    let told = UnixDatagram::bind(&path).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut message = [0; 4096];
        let length = told.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut weir = Process::start(home.command(&[]).env("NOTIFY_SOCKET", &path));
    assert!(next().starts_with("READY=1\nSTATUS=serving, r"));
    weir.signal(Signal::HUP);
    let reloading = next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(next().starts_with("READY=1\n"));
    let successor = Process::start(home.command(&["--takeover"]).env("NOTIFY_SOCKET", &path));
    let both = [next(), next()];
    let main = format!("MAINPID={}\n", successor.id());
    assert!(both.iter().any(|told| told.starts_with(&main)), "{both:?}");
    assert!(both.iter().any(|told| told.starts_with("READY=1\n")), "{both:?}");
    assert!(weir.end().success());
    successor.signal(Signal::TERM);
    assert!(next().starts_with("STOPPING=1\n"));
}

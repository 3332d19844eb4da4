//! Unix sockets: as listeners and as endpoints.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
};

use tempfile::TempDir;

use crate::support::{Client, GET, Origin, PATIENCE, Setup, ok};

/// Sends a request to a unix socket, and gives everything that comes back.
fn ask(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn listening(folder: &TempDir, more: &str) -> (PathBuf, String) {
    let path = folder.path().join("http.sock");
    (path.clone(), format!("name: web, bind: \"unix:{}\", {more}", path.display()))
}

const CLOSE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn a_listener_serves_every_worker_from_one_socket_and_cleans_up() {
    let folder = TempDir::new().unwrap();
    let (path, listener) = listening(&folder, "mode: \"0600\"");
    let origin = Origin::answering(ok("ok"));
    let setup = Setup::before(&origin).listener(&listener).workers(4);
    let weir = setup.start();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for _ in 0..40 {
        assert!(ask(&path, CLOSE).ends_with("\r\n\r\nok"));
    }
    // The same listener with other permissions is another socket in the same place.
    weir.rewrite(&Setup::before(&origin).listener(&listening(&folder, "mode: \"0666\"").1).workers(4));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    assert!(ask(&path, CLOSE).ends_with("\r\n\r\nok"));
    weir.counts("weir_connections_total", "web", 41);
    drop(weir);
    assert!(!path.exists(), "nothing is left");
    // What a process that was killed has left is no hindrance.
    drop(UnixListener::bind(&path).unwrap());
    let weir = setup.start();
    assert!(ask(&path, CLOSE).ends_with("\r\n\r\nok"));
    drop(weir);
}

#[test]
fn clients_of_a_unix_socket_have_no_address() {
    let folder = TempDir::new().unwrap();
    let (path, listener) = listening(&folder, "");
    let origin = Origin::answering(ok("ok"));
    let claims = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    let request = CLOSE.replacen("\r\n\r\n", &format!("\r\n{claims}\r\n"), 1);
    for (trusted, list, scheme) in
        [("[]", vec![], "http"), ("[\"0.0.0.0/1\", unix]", vec!["203.0.113.7"], "https")]
    {
        let weir =
            Setup::before(&origin).top(&format!("trusted_proxies: {trusted}")).listener(&listener).start();
        assert!(ask(&path, &request).starts_with("HTTP/1.1 200"));
        let requests = origin.requests();
        let seen = requests.last().unwrap();
        assert_eq!(seen.head.all("x-forwarded-for"), list, "{trusted}");
        assert_eq!(seen.get("x-forwarded-proto"), Some(scheme));
        drop(weir);
    }
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let app = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = String::new();
        let mut bytes = [0; 4096];
        for _ in 0..2 {
            let count = stream.read(&mut bytes).unwrap();
            seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            stream.write_all(ok("from a socket").as_bytes()).unwrap();
        }
        seen
    });
    let setup = Setup::new().backend_at("stable", &[&format!("unix: {}", path.display())]);
    let weir = setup.start();
    let mut client = weir.client();
    assert_eq!(client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").text(), "from a socket");
    assert_eq!(client.ask(GET).text(), "from a socket", "over the same connection");
    let seen = app.join().unwrap();
    assert!(seen.contains("host: localhost\r\n") && seen.contains("host: a\r\n"), "{seen}");
    let label = format!("endpoint=\"unix:{}\"", path.display());
    weir.counts("weir_endpoint_request_duration_seconds_count", &label, 2);
    // Nobody listens there any more.
    assert_eq!(Client::to(weir.address()).ask(GET).status, 502);
}

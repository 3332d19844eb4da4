//! The access log on real files, on a disk that fills up and on a sink that is stuck.

use std::sync::atomic::AtomicUsize;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn entry(path: &str) -> AccessEntry {
    AccessEntry {
        time: Duration::new(1_800_000_000, 123_456_789),
        trace_id: None,
        method: MethodLabel::Get,
        path: path.to_owned(),
        query: None,
        cookie: None,
        host: None,
        client: None,
        user_agent: None,
        protocol_version: "1.1",
        status: 200,
        body_size: 5,
        error: None,
        error_message: None,
        tls_version: None,
        duration: Duration::from_millis(2),
        upstream_duration: None,
        route: None,
        backend: None,
        reason: None,
        revision: Revision(3),
        policy: None,
        fault_delay: None,
        endpoint: None,
        retries: 0,
    }
}

fn full_entry() -> AccessEntry {
    let name = |text| Some(Name::new(text).expect("a good name"));
    AccessEntry {
        trace_id: Some(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        query: Some("q=1".to_owned()),
        cookie: Some("a=b".to_owned()),
        host: Some("shop.example".to_owned()),
        client: Some([192, 0, 2, 7].into()),
        user_agent: Some("a \"quoted\"\nagent".to_owned()),
        status: 502,
        error: Some(ErrorKind::Connect),
        error_message: Some("no connection to 10.0.0.1:80: refused".into()),
        tls_version: Some("1.3"),
        policy: Some(crate::telemetry::PolicyLabel::Access),
        fault_delay: Some(Duration::from_millis(250)),
        upstream_duration: Some(Duration::from_micros(1500)),
        route: name("shop"),
        backend: name("v2"),
        reason: Some(Reason::Cookie),
        endpoint: Some("10.0.0.1:80".into()),
        retries: 1,
        ..entry("/cart")
    }
}

fn line_of(entry: &AccessEntry) -> String {
    let mut line = Vec::new();
    line::append(&mut line, entry).expect("serializes");
    String::from_utf8(line).expect("JSON is UTF-8")
}

fn paths(text: &str) -> Vec<String> {
    let path = |line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        line["url.path"].as_str().expect("a path").to_owned()
    };
    text.lines().map(path).collect()
}

/// Waits until the writer has got that far; it is another thread, so there is nothing to be told by.
fn until(reached: impl Fn() -> bool) {
    let start = crate::types::clock::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "the writer is stuck");
        thread::yield_now();
    }
}

#[test]
fn lines_have_the_names_of_the_conventions() {
    insta::assert_snapshot!(
        line_of(&entry("/a\u{7}b")),
        @r#"{"timestamp":"2027-01-15T08:00:00.123456Z","http.request.method":"GET","url.path":"/a\u0007b","http.response.status_code":200,"http.response.body.size":5,"network.protocol.version":"1.1","duration_s":0.002,"weir.revision":3,"weir.retries":0}"#
    );
    insta::assert_snapshot!(
        line_of(&full_entry()),
        @r#"{"timestamp":"2027-01-15T08:00:00.123456Z","trace_id":"0af7651916cd43dd8448eb211c80319c","http.request.method":"GET","url.path":"/cart","url.query":"q=1","http.request.header.cookie":"a=b","server.address":"shop.example","client.address":"192.0.2.7","http.response.status_code":502,"http.response.body.size":5,"user_agent.original":"a \"quoted\"\nagent","network.protocol.version":"1.1","error.type":"connect","error.message":"no connection to 10.0.0.1:80: refused","tls.protocol.version":"1.3","duration_s":0.002,"upstream.duration_s":0.0015,"weir.route":"shop","weir.backend":"v2","weir.reason":"cookie","weir.policy":"access","weir.fault.delay_s":0.25,"weir.revision":3,"weir.endpoint":"10.0.0.1:80","weir.retries":1}"#
    );
}

#[test]
fn the_document_names_every_field() {
    let document = include_str!("../../../docs/metrics.md");
    let line: serde_json::Value = serde_json::from_str(&line_of(&full_entry())).expect("JSON");
    let (_, section) = document.split_once("## Access log").expect("a section");
    let cell = |line: &'static str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name);
    let documented: Vec<&str> = section.lines().filter_map(cell).collect();
    let mut written: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut sorted = documented.clone();
    sorted.sort_unstable();
    written.sort_unstable();
    assert_eq!(sorted, written);
}

#[test]
fn everything_is_written_when_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    let log = AccessLog::start(Sink::File(file.clone()), |_| ()).expect("starts");
    (0..500).for_each(|n| log.record(entry(&format!("/{n}"))));
    assert!(log.close(PATIENCE));
    let text = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(paths(&text), (0..500).map(|n| format!("/{n}")).collect::<Vec<_>>());
    assert_eq!(log.counts().by_result(), [("written", 500), ("dropped", 0), ("failed", 0)]);
    log.record(entry("/late"));
    assert_eq!(log.counts().dropped(), 1);
    assert!(AccessLog::start(Sink::File(folder.path().to_owned()), |_| ()).is_err(), "a folder is no file");
}

#[test]
fn a_rotated_file_is_reopened() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = AccessLog::start(Sink::File(file.clone()), |_| ()).expect("starts");
    log.record(entry("/before"));
    until(|| log.counts().written() == 1);
    std::fs::rename(&file, &old).expect("renamed");
    log.reopen();
    log.record(entry("/after"));
    assert!(log.close(PATIENCE));
    for (path, expected) in [(old, "/before"), (file, "/after")] {
        assert_eq!(paths(&std::fs::read_to_string(path).expect("a file")), [expected]);
    }
}

/// A disk with room for so many bytes, which can be made larger.
#[derive(Clone, Default)]
struct Disk {
    room: Arc<AtomicUsize>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.bytes.lock().unwrap();
        let room = self.room.load(Relaxed).saturating_sub(disk.len()).min(bytes.len());
        disk.extend_from_slice(&bytes[..room]);
        if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn on(disk: &Disk, errors: &Arc<AtomicUsize>) -> AccessLog {
    let (disk, errors) = (disk.clone(), Arc::clone(errors));
    let open = move || Ok(Box::new(disk.clone()) as Box<dyn Write + Send>);
    let on_error = move |_: &io::Error| errors.store(errors.load(Relaxed) + 1, Relaxed);
    AccessLog::with(Box::new(open), 16, Box::new(on_error)).expect("starts")
}

#[test]
fn a_full_disk_is_counted_reported_once_and_survived() {
    let (disk, errors) = (Disk::default(), Arc::<AtomicUsize>::default());
    let line = line_of(&entry("/0")).len();
    disk.room.store(line + line / 2, Relaxed);
    let log = on(&disk, &errors);
    for n in 0..4_u64 {
        log.record(entry(&format!("/{n}")));
        until(|| log.counts().written() + log.counts().failed() == n + 1);
    }
    assert_eq!((log.counts().written(), log.counts().failed(), errors.load(Relaxed)), (1, 3, 1));
    disk.room.store(usize::MAX, Relaxed);
    log.record(entry("/4"));
    assert!(log.close(PATIENCE));
    assert_eq!(log.counts().by_result(), [("written", 2), ("dropped", 0), ("failed", 3)]);
    let text = String::from_utf8(disk.bytes.lock().unwrap().clone()).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "a whole line, half a line, a whole line");
    assert_eq!(paths(&[lines[0], lines[2]].join("\n")), ["/0", "/4"]);
}

#[test]
fn a_stuck_sink_drops_lines_and_delays_nobody() {
    let (disk, errors) = (Disk::default(), Arc::<AtomicUsize>::default());
    disk.room.store(usize::MAX, Relaxed);
    let log = on(&disk, &errors);
    // Whoever writes to the disk waits for this lock.
    let stuck = disk.bytes.lock().unwrap();
    (0..1000).for_each(|n| log.record(entry(&format!("/{n}"))));
    assert!(log.counts().dropped() > 0);
    assert!(!log.close(Duration::ZERO), "closing does not wait for ever");
    drop(stuck);
    assert!(log.close(PATIENCE));
    assert_eq!(log.counts().written() + log.counts().dropped(), 1000);
}

#[test]
fn samplers_keep_their_rate_and_all_errors() {
    for (rate, range) in
        [(0.0, 0..=0), (0.1, 9_700..=10_300), (1.0, 100_000..=100_000), (7.0, 100_000..=100_000)]
    {
        let sampler = Sampler::new(rate, 1);
        let kept = (0..100_000).filter(|_| sampler.keeps(200, None)).count();
        assert!(range.contains(&kept), "{rate}: {kept}");
        assert!(sampler.keeps(503, None) && sampler.keeps(499, Some(ErrorKind::AbortedByClient)));
    }
}

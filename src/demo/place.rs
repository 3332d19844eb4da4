//! Where the demo runs: free ports, a directory for its data, and a control file like anybody's.

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process,
};

use super::{backend::HEALTH_PATH, load::USER_HEADER, version::PerVersion};

/// The route's name, which is also the salt of its split.
pub(super) const ROUTE: &str = "demo";
/// How many ports are tried, the wanted one first.
const PORTS: u16 = 100;
/// How many names of directories are tried.
const NAMES: u32 = 1000;

/// A directory of the demo alone; removed with all that is in it when dropped.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

/// The addresses that Weir gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    /// Where requests are taken.
    pub(super) proxy: SocketAddr,
    /// Where the admin API is.
    pub(super) admin: SocketAddr,
}

// === impl Ports ===

impl Ports {
    /// The wanted ports of 127.0.0.1, or the next free ones; 0 is any.
    ///
    /// # Errors
    /// When none of a hundred is free.
    pub(super) fn find(proxy: u16, admin: u16) -> io::Result<Self> {
        // Both sockets are held until both are found, so that they differ. Nothing else may take them before Weir does;
        // if it happens all the same, Weir does not start and says why.
        let proxy = free(proxy)?;
        let admin = free(admin)?;
        Ok(Self { proxy: proxy.local_addr()?, admin: admin.local_addr()? })
    }
}

fn free(wanted: u16) -> io::Result<TcpListener> {
    let last = if wanted == 0 { 0 } else { wanted.saturating_add(PORTS - 1) };
    for port in wanted..=last {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    let text = format!("every port of 127.0.0.1 from {wanted} to {last} is taken");
    Err(io::Error::new(io::ErrorKind::AddrInUse, text))
}

// === impl Directory ===

impl Directory {
    /// A new directory in the system's place for such, open to nobody else.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new() -> io::Result<Self> {
        for number in 0..NAMES {
            let path = env::temp_dir().join(format!("weir-demo-{}-{number}", process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|()| Self(path)),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many directories of demos"))
    }

    /// Writes the control file and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write_config(&self, ports: Ports, backends: PerVersion<SocketAddr>) -> io::Result<PathBuf> {
        let path = self.0.join("weir.yaml");
        fs::write(&path, config(ports, backends))?;
        Ok(path)
    }

    /// Where Weir keeps its data.
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nobody is there to be told; the system clears the place now and then.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(ports: Ports, backends: PerVersion<SocketAddr>) -> String {
    let Ports { proxy, admin } = ports;
    let PerVersion { v1, v2 } = backends;
    format!(
        "\
# Written by `weir demo`, and removed when it ends.
listeners:
  - {{ name: {ROUTE}, bind: {proxy} }}
admin: {{ bind: {admin} }}
drain: {{ timeout: 2s }}

backends:
  v1:
    endpoints: [ {{ address: {v1} }} ]
    health_check: {{ path: {HEALTH_PATH}, interval: 1s }}
  v2:
    endpoints: [ {{ address: {v2} }} ]
    health_check: {{ path: {HEALTH_PATH}, interval: 1s }}

routes:
  - name: {ROUTE}
    split:
      key: {{ header: {USER_HEADER} }}
      backends: {{ v1: 100, v2: 0 }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_gives_the_next_free_one() {
        // Two ports in a row that are surely free do not exist; one that is surely taken does.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = taken.local_addr().unwrap().port();
        let ports = Ports::find(wanted, wanted).unwrap();
        assert!(ports.proxy.port() > wanted && ports.admin.port() > ports.proxy.port(), "{ports:?}");
        let any = Ports::find(0, 0).unwrap();
        assert!(any.proxy.port() > 0 && any.admin.port() > 0 && any.admin != any.proxy, "{any:?}");
    }

    #[test]
    fn directories_are_apart_and_removed() {
        let (one, two) = (Directory::new().unwrap(), Directory::new().unwrap());
        let path = one.0.clone();
        fs::create_dir_all(one.data()).unwrap();
        drop(one);
        assert!(!path.exists() && two.0.exists());
    }

    #[test]
    fn the_control_file_has_no_faults() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ports = Ports { proxy: address(8080), admin: address(9900) };
        let text = config(ports, PerVersion { v1: address(4001), v2: address(4002) });
        let loaded = crate::config::parse_bytes(text.as_bytes(), "weir.yaml").unwrap();
        assert!(loaded.warnings.is_empty());
        let route = &loaded.config.routes[0];
        assert_eq!((route.name.as_str(), route.split.salt.as_str()), (ROUTE, ROUTE));
        assert_eq!(route.split.backends[0].name.as_str(), "v1", "the baseline");
    }
}

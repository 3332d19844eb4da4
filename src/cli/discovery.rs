//! Which server a client talks to when nobody says: a socket of this machine, or the usual address.

use std::{
    env,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

/// Where Weir listens by default.
const USUAL: &str = "http://127.0.0.1:9900";
/// The socket of a Weir that the system runs.
const SYSTEM_SOCKET: &str = "/run/weir/admin.sock";
/// The socket of a Weir that a user runs, in XDG_RUNTIME_DIR.
const USER_SOCKET: &str = "weir.sock";

/// A server, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// A URL, or `unix:` and a path.
    pub(super) url: String,
    /// For errors: where else was looked; empty when somebody named it.
    pub(super) looked: Vec<String>,
}

// === impl Server ===

impl Server {
    /// The server that was named by `--server` or WEIR_SERVER; else the first socket that exists; else the usual address.
    pub(super) fn find(named: Option<&str>) -> Self {
        let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()).map(PathBuf::from);
        let user = runtime.map(|folder| folder.join(USER_SOCKET));
        Self::among(named, user.into_iter().chain([SYSTEM_SOCKET.into()]))
    }

    fn among(named: Option<&str>, sockets: impl IntoIterator<Item = PathBuf>) -> Self {
        // An empty WEIR_SERVER is one that was cleared.
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return Self { url: named.to_owned(), looked: Vec::new() };
        }
        let mut looked = Vec::new();
        for path in sockets {
            if is_socket(&path) {
                return Self { url: format!("unix:{}", path.display()), looked };
            }
            looked.push(format!("no socket at {}", path.display()));
        }
        Self { url: USUAL.to_owned(), looked }
    }

    /// What to do when nobody answers there.
    pub(super) fn hint(&self) -> String {
        if self.url != USUAL && self.looked.is_empty() {
            return "is Weir running there, and is its admin API on this address? `weir run` says it at its start".to_owned();
        }
        let looked = self.looked.join(", ");
        format!(
            "no server was named (--server, WEIR_SERVER) and {looked}; start one with `weir run` or `weir demo`, or name one"
        )
    }
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_named_server_comes_before_a_socket_and_that_before_the_usual_address() {
        let folder = tempfile::tempdir().unwrap();
        let [missing, file, socket] = ["missing", "file", "socket"].map(|name| folder.path().join(name));
        std::fs::write(&file, "").unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        let paths = || [missing.clone(), file.clone(), socket.clone()];
        assert_eq!(Server::among(Some("http://a:1"), paths()).url, "http://a:1");
        assert_eq!(Server::among(None, paths()).url, format!("unix:{}", socket.display()));
        assert_eq!(Server::among(Some(""), paths()).url, format!("unix:{}", socket.display()));
        let usual = Server::among(None, [missing, file]);
        assert_eq!((usual.url.as_str(), usual.looked.len()), (USUAL, 2));
        assert!(usual.hint().contains("no socket at"), "{}", usual.hint());
    }
}

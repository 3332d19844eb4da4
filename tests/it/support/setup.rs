//! The control file of a case: what it says of interest, and defaults for the rest.

use std::{fmt::Write as _, net::SocketAddr};

use super::{Origin, Weir};

/// A control file in the making. Texts are YAML flow maps without their braces.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    top: String,
    listeners: Vec<String>,
    backends: Vec<String>,
    routes: Vec<String>,
    timeouts: String,
    drain: String,
    admin: String,
    workers: usize,
}

// === impl Setup ===

impl Setup {
    /// One worker, one listener, and a route over all backends, with 100 for the first and 0 for the others.
    pub(crate) fn new() -> Self {
        Self {
            top: String::new(),
            listeners: Vec::new(),
            backends: Vec::new(),
            routes: Vec::new(),
            timeouts: String::new(),
            drain: "timeout: 0s".to_owned(),
            admin: String::new(),
            workers: 1,
        }
    }

    /// The usual file with one backend.
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::new().backend("stable", &[origin.address])
    }

    /// Adds a backend with these endpoints.
    pub(crate) fn backend(self, name: &str, endpoints: &[SocketAddr]) -> Self {
        self.backend_with(name, endpoints, "")
    }

    /// The same with more keys, such as `idle_timeout: 1s`.
    pub(crate) fn backend_with(mut self, name: &str, endpoints: &[SocketAddr], keys: &str) -> Self {
        let endpoints: Vec<String> =
            endpoints.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
        self.backends.push(format!("{name}: {{ endpoints: [{}], {keys} }}", endpoints.join(", ")));
        self
    }

    /// Adds a backend whose endpoints are said in full, such as `unix: /run/app.sock`.
    pub(crate) fn backend_at(self, name: &str, endpoints: &[&str]) -> Self {
        self.backend_of(name, endpoints, "")
    }

    /// The same with more keys.
    pub(crate) fn backend_of(mut self, name: &str, endpoints: &[&str], keys: &str) -> Self {
        let endpoints: Vec<String> = endpoints.iter().map(|keys| format!("{{ {keys} }}")).collect();
        self.backends.push(format!("{name}: {{ endpoints: [{}], {keys} }}", endpoints.join(", ")));
        self
    }

    /// Adds a listener, e.g. `name: web, bind: 127.0.0.1:0`; the first one replaces the usual.
    pub(crate) fn listener(mut self, keys: &str) -> Self {
        self.listeners.push(keys.to_owned());
        self
    }

    /// The usual listener with these limits.
    pub(crate) fn limits(self, limits: &str) -> Self {
        self.listener(&format!("name: web, bind: \"127.0.0.1:0\", limits: {{ {limits} }}"))
    }

    /// The usual listener, for HTTP/2 in the clear as well, with these limits.
    pub(crate) fn h2c(self, limits: &str) -> Self {
        let protocols = "protocols: [h2c, http/1.1]";
        self.listener(&format!("name: web, bind: \"127.0.0.1:0\", {protocols}, limits: {{ {limits} }}"))
    }

    /// Adds a route; the first one replaces the usual.
    pub(crate) fn route(mut self, keys: &str) -> Self {
        self.routes.push(keys.to_owned());
        self
    }

    /// The route `all` with this split.
    pub(crate) fn split(self, split: &str) -> Self {
        self.route(&format!("name: all, split: {{ {split} }}"))
    }

    /// Timeouts of the usual route.
    pub(crate) fn timeouts(mut self, timeouts: &str) -> Self {
        timeouts.clone_into(&mut self.timeouts);
        self
    }

    /// How it stops; without it, at once.
    pub(crate) fn drain(mut self, drain: &str) -> Self {
        drain.clone_into(&mut self.drain);
        self
    }

    /// More keys of the admin API, such as `tokens: /run/tokens`.
    pub(crate) fn admin(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.admin);
        self
    }

    /// A line of the file's top level.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub(crate) fn start(&self) -> Weir {
        Weir::start(self)
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "workers: {}\nadmin: {{ bind: \"127.0.0.1:0\", {} }}\ndrain: {{ {} }}\n{}",
            self.workers, self.admin, self.drain, self.top
        );
        text.push_str("listeners:\n");
        for listener in &self.listeners {
            writeln!(text, "  - {{ {listener} }}").unwrap();
        }
        if self.listeners.is_empty() {
            text.push_str("  - { name: web, bind: \"127.0.0.1:0\" }\n");
        }
        text.push_str("backends:\n");
        for backend in &self.backends {
            writeln!(text, "  {backend}").unwrap();
        }
        text.push_str("routes:\n");
        for route in &self.routes {
            writeln!(text, "  - {{ {route} }}").unwrap();
        }
        if self.routes.is_empty() {
            let names = self.backends.iter().filter_map(|backend| backend.split(':').next()).enumerate();
            let weights: Vec<String> =
                names.map(|(at, name)| format!("{name}: {}", if at == 0 { 100 } else { 0 })).collect();
            let weights = weights.join(", ");
            let timeouts = &self.timeouts;
            writeln!(
                text,
                "  - {{ name: all, split: {{ key: none, backends: {{ {weights} }} }}, timeouts: {{ {timeouts} }} }}"
            )
            .unwrap();
        }
        text
    }
}

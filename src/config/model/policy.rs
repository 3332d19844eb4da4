//! Traffic policy as it is declared: what a route does to requests beside sending them somewhere.

use ipnet::IpNet;

/// What a route does to requests and responses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Who may ask; `None` is everybody.
    pub access: Option<Access>,
    /// Changes of what goes to the backend.
    pub request_headers: HeaderEdits,
    /// Changes of what goes to the client.
    pub response_headers: HeaderEdits,
    /// Another path or Host for the backend.
    pub rewrite: Option<Rewrite>,
}

/// Client addresses that a route takes; `deny` wins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Only these; empty is everybody.
    pub allow: Vec<IpNet>,
    /// Not these.
    pub deny: Vec<IpNet>,
}

/// Changes of header fields in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Fields to add: name and value.
    pub add: Vec<(String, String)>,
    /// Fields to put in place of all of the same name.
    pub set: Vec<(String, String)>,
    /// Names whose fields go.
    pub remove: Vec<String>,
}

/// What is sent on in place of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Goes off the front of the path, by whole segments.
    pub strip_prefix: Option<String>,
    /// Comes in front of the path.
    pub prefix: Option<String>,
    /// The Host.
    pub host: Option<String>,
}

// === impl HeaderEdits ===

impl HeaderEdits {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }
}

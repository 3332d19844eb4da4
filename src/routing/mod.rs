//! Which route takes a request: matchers over the request's head, and the table that ranks them.
//!
//! Everything here is pure over a [`RequestView`](crate::http::RequestView). Paths and values are compared as the bytes
//! that arrived, because those bytes are what is forwarded: a route decided on a decoded path would be decided on
//! something that the backend never sees. Query parameters are the one exception (see [`matcher`]).

pub mod matcher;
pub mod table;
#[cfg(test)]
mod tests;

pub use matcher::{HostMatcher, MatcherError, NamedMatcher, PathMatcher, Pattern, ValueMatcher};
pub use table::{RouteMatcher, RouteTable};

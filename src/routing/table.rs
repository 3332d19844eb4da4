//! The route table: every match of every route, ranked once, looked up per request.
//!
//! # Precedence
//! A match that names the scheme comes before all that do not. Then over all routes and matches the Gateway API's order holds, the
//! first that differs decides:
//! 1. the host: an exact name, then the longest wildcard, then any;
//! 2. the path: exact, then a regular expression, then the longest prefix;
//! 3. a match that names methods;
//! 4. more headers, cookies counted among them;
//! 5. more query parameters;
//! 6. the order in the file.
//!
//! The Gateway API leaves regular expressions to the implementation. Here they stand before prefixes, because a pattern
//! is written for what a prefix cannot say, and among themselves they do not rank: a longer pattern is not a narrower one.
//!
//! A request that the best match does not take goes on to the next best, also from an exact host to a wildcard and to
//! routes for any host. So a route without hosts is a default for everything that no other route takes.
//!
//! # Mechanics
//! Hosts and exact paths are found by hash. Prefixes are found by hash too: once per *distinct length* of the prefixes
//! that the host's routes have, from the longest, and only where a segment of the path ends. A thousand routes with one
//! prefix each cost a handful of probes, and a hostile path cannot make it more than there are lengths.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use super::matcher::{HostMatcher, NamedMatcher, PathMatcher, ends_segment, matches_method};
use crate::http::RequestView;

/// Requests that a route takes: all of what is given must hold.
#[derive(Debug, Clone, Default)]
pub struct RouteMatcher {
    /// Whether clients must speak TLS, or must not; `None` is either.
    pub secure: Option<bool>,
    /// One of these; empty is any.
    pub hosts: Vec<HostMatcher>,
    /// The path; `None` is any, which ranks as the prefix `/`.
    pub path: Option<PathMatcher>,
    /// One of these, with their case; empty is any.
    pub methods: Vec<Box<str>>,
    /// Header fields that must match.
    pub headers: Vec<NamedMatcher>,
    /// Query parameters that must match.
    pub query: Vec<NamedMatcher>,
    /// Cookies that must match.
    pub cookies: Vec<NamedMatcher>,
}

/// Finds the route of a request.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// The matches that name the scheme: in the clear, in TLS.
    by_scheme: Option<Box<[Hosts; 2]>>,
    either: Hosts,
}

/// Matches by host.
#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<str>, Paths>,
    wildcard: HashMap<Box<str>, Paths>,
    any: Paths,
}

/// The matches of one host, by path.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<[u8]>, Vec<Entry>>,
    regex: Vec<Entry>,
    prefixes: HashMap<Box<[u8]>, Vec<Entry>>,
    /// The distinct lengths of the prefixes, longest first.
    lengths: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    rank: Rank,
    route: usize,
    matcher: Arc<RouteMatcher>,
}

/// What decides among matches of the same host and path; the smallest comes first.
type Rank = (bool, Reverse<usize>, Reverse<usize>, usize);

// === impl RouteTable ===

impl RouteTable {
    /// A table of routes in file order, each with its matches; a route without matches takes nothing.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = Vec<RouteMatcher>>) -> Self {
        let mut table = Self::default();
        let matches = routes
            .into_iter()
            .enumerate()
            .flat_map(|(route, matches)| matches.into_iter().map(move |matcher| (route, Arc::new(matcher))));
        for (order, (route, matcher)) in matches.enumerate() {
            let rank = (
                matcher.methods.is_empty(),
                Reverse(matcher.headers.len() + matcher.cookies.len()),
                Reverse(matcher.query.len()),
                order,
            );
            let hosts = match matcher.secure {
                Some(secure) => &mut table.by_scheme.get_or_insert_default()[usize::from(secure)],
                None => &mut table.either,
            };
            hosts.insert(&Entry { rank, route, matcher });
        }
        table.by_scheme.iter_mut().flat_map(|both| both.iter_mut()).for_each(Hosts::rank);
        table.either.rank();
        table
    }

    /// The index of the route that takes the request, if any does.
    #[must_use]
    pub fn find(&self, request: &RequestView<'_>) -> Option<usize> {
        let by_scheme = self.by_scheme.as_ref().map(|both| &both[usize::from(request.secure)]);
        by_scheme.and_then(|hosts| hosts.find(request)).or_else(|| self.either.find(request))
    }
}

// === impl Hosts ===

impl Hosts {
    fn insert(&mut self, entry: &Entry) {
        if entry.matcher.hosts.is_empty() {
            self.any.insert(entry.clone());
        }
        for host in &entry.matcher.hosts {
            self.paths_mut(host).insert(entry.clone());
        }
    }

    fn rank(&mut self) {
        self.exact
            .values_mut()
            .chain(self.wildcard.values_mut())
            .chain([&mut self.any])
            .for_each(Paths::rank);
    }

    fn find(&self, request: &RequestView<'_>) -> Option<usize> {
        // The root's dot is part of a valid name, and nobody's route is written with it.
        let host = request.host.strip_suffix('.').unwrap_or(request.host);
        if let Some(route) = self.exact.get(host).and_then(|paths| paths.find(request)) {
            return Some(route);
        }
        if !self.wildcard.is_empty() {
            // From the first dot on, the suffixes get shorter. At 0 there would be no label for the `*`.
            for (dot, _) in host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                if let Some(route) = self.wildcard.get(&host[dot..]).and_then(|paths| paths.find(request)) {
                    return Some(route);
                }
            }
        }
        self.any.find(request)
    }

    fn paths_mut(&mut self, host: &HostMatcher) -> &mut Paths {
        match host {
            HostMatcher::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostMatcher::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
            HostMatcher::Any => &mut self.any,
        }
    }
}

// === impl Paths ===

impl Paths {
    fn insert(&mut self, entry: Entry) {
        match &entry.matcher.path {
            Some(PathMatcher::Exact(path)) => self.exact.entry(path.clone()).or_default().push(entry),
            Some(PathMatcher::Regex(_)) => self.regex.push(entry),
            Some(PathMatcher::Prefix(prefix)) => self.prefixes.entry(prefix.clone()).or_default().push(entry),
            None => self.prefixes.entry(Box::default()).or_default().push(entry),
        }
    }

    fn rank(&mut self) {
        for entries in self.exact.values_mut().chain(self.prefixes.values_mut()).chain([&mut self.regex]) {
            entries.sort_unstable_by_key(|entry| entry.rank);
        }
        self.lengths = self.prefixes.keys().map(|prefix| prefix.len()).collect();
        self.lengths.sort_unstable_by_key(|length| Reverse(*length));
        self.lengths.dedup();
    }

    fn find(&self, request: &RequestView<'_>) -> Option<usize> {
        let first = |entries: &[Entry]| entries.iter().find(|entry| entry.takes(request)).map(|e| e.route);
        let path = request.path;
        // Most hosts have no exact paths; not hashing the path then is worth the question.
        if !self.exact.is_empty()
            && let Some(route) = self.exact.get(path).and_then(|entries| first(entries))
        {
            return Some(route);
        }
        let by_regex = self.regex.iter().find(|entry| {
            entry.matcher.path.as_ref().is_some_and(|pattern| pattern.matches(path)) && entry.takes(request)
        });
        if let Some(entry) = by_regex {
            return Some(entry.route);
        }
        self.lengths
            .iter()
            .filter(|length| **length <= path.len() && ends_segment(path, **length))
            .find_map(|length| self.prefixes.get(&path[..*length]).and_then(|entries| first(entries)))
    }
}

// === impl Entry ===

impl Entry {
    /// Whether everything but host and path holds.
    fn takes(&self, request: &RequestView<'_>) -> bool {
        let matcher = &*self.matcher;
        matches_method(&matcher.methods, request)
            && matcher.headers.iter().all(|header| header.matches_header(request.headers))
            && matcher.cookies.iter().all(|cookie| cookie.matches_cookie(request.headers))
            && matcher.query.iter().all(|parameter| parameter.matches_query(request.query))
    }
}

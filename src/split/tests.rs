//! Splitting as a whole: allocation laws, steps of the assignment, and that `explain` tells what `assign` does.

mod allocation;
mod cookie;
mod regions;
mod signed;
mod steps;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::*;
use crate::{
    http::{HeaderList, RequestView},
    types::{BackendState, Name, StickyMode, Weight},
};

pub(super) const DAY: u64 = 86_400;
pub(super) const NOW: u64 = 20_000 * DAY;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn named(weights: &[u32]) -> Vec<(Name, Weight)> {
    weights.iter().enumerate().map(|(i, weight)| (name(&format!("v{i}")), Weight::of(*weight))).collect()
}

pub(super) fn cookie_settings() -> CookieSettings {
    CookieSettings {
        name: "weir".to_owned(),
        same_site: SameSite::Lax,
        path: "/".to_owned(),
        domain: None,
        secure: None,
        max_age: Duration::from_secs(30 * DAY),
    }
}

/// A split of `v0`, `v1`, ... with these weights, keyed by the header `x-user`.
pub(super) fn parts(weights: &[u32]) -> PlanParts {
    let backend = |(name, weight)| PlanBackend { name, weight, state: BackendState::Active };
    PlanParts {
        route: Name::new("shop").unwrap(),
        backends: named(weights).into_iter().map(backend).collect(),
        rules: vec![],
        keys: vec![KeySource::Header("x-user".into())],
        salt: "shop".to_owned(),
        mode: StickyMode::Bucket,
        cookie: Some(cookie_settings()),
        kill_switch: None,
        overrides: Vec::new(),
        epoch: 0,
    }
}

pub(super) fn plan(parts: PlanParts) -> SplitPlan {
    SplitPlan::new(parts).unwrap()
}

/// A browser and the instance it talks to: requests carry the cookies that responses have set.
pub(super) struct Client {
    pub(super) headers: Vec<(String, String)>,
    pub(super) jar: Vec<(String, String)>,
    pub(super) keyring: Keyring,
    pub(super) regions: RegionSources,
    pub(super) now: u64,
    pub(super) ip: IpAddr,
    pub(super) path: &'static str,
    pub(super) listener: Option<Name>,
    pub(super) claims: Option<Claims>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            headers: vec![],
            jar: vec![],
            keyring: Keyring::new([7; 16], None),
            regions: RegionSources::default(),
            now: NOW,
            ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            path: "/",
            listener: None,
            claims: None,
        }
    }

    pub(super) fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.push((header.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn on<R>(&self, ask: impl FnOnce(&RequestView<'_>, &AssignContext<'_>) -> R) -> R {
        let mut list = HeaderList::default();
        for (name, value) in &self.headers {
            list.push(name, value.as_bytes());
        }
        for (name, value) in &self.jar {
            list.push("cookie", format!("{name}={value}").as_bytes());
        }
        let request = RequestView {
            method: "GET",
            host: "shop.example.com",
            path: self.path.as_bytes(),
            query: None,
            headers: list.view(),
            client_ip: self.ip,
            peer_ip: self.ip,
            secure: true,
            listener_region: self.listener.as_ref(),
        };
        let context = AssignContext {
            keyring: &self.keyring,
            now_unix_secs: self.now,
            regions: &self.regions,
            secure: true,
            claims: self.claims.as_ref(),
        };
        ask(&request, &context)
    }

    /// Sends a request and keeps the cookie.
    pub(super) fn visit(&mut self, plan: &SplitPlan, entropy: u64) -> Assignment {
        let (assignment, header) = self.on(|request, context| {
            let assignment = assign(plan, request, context, entropy);
            let told = explain(plan, request, context, entropy);
            assert_eq!(told.backend, plan.backends()[assignment.backend].name);
            assert_eq!(
                (told.reason, told.bucket, told.sets_cookie),
                (assignment.reason, assignment.bucket, assignment.set_cookie.is_some())
            );
            assert_eq!(told.steps.iter().filter(|step| step.result == Outcome::Decided).count(), 1);
            let header = assignment.set_cookie.and_then(|value| plan.set_cookie_header(&value, context));
            (assignment, header)
        });
        if let Some(header) = header {
            let (name, rest) = header.split_once('=').unwrap();
            self.jar.retain(|(other, _)| other != name);
            self.jar.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
        }
        assignment
    }
}

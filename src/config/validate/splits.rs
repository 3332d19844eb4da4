//! Splits that can be drawn, and cookies that browsers keep.

use std::collections::HashMap;

use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        model::{Config, Route, SameSite, SplitBackend, Target},
    },
    types::{BackendState, StickyMode},
};

/// Backends of one split.
const MAX_SHARES: usize = 64;

pub(super) fn check(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        let whose = format!("route `{}`", route.name);
        shares(cx, &route.split.backends, &format!("/routes/{index}/split/backends"), &whose);
        for (at, rule) in route.rules.iter().enumerate() {
            if let Target::Split(split) = &rule.target {
                let split: Vec<SplitBackend> = split
                    .iter()
                    .map(|(name, weight)| SplitBackend {
                        name: name.clone(),
                        weight: *weight,
                        state: BackendState::Active,
                    })
                    .collect();
                let whose = format!("rule `{}` of route `{}`", rule.name, route.name);
                shares(cx, &split, &format!("/routes/{index}/rules/{at}/split"), &whose);
            }
        }
        sticky(cx, route, index);
    }
}

fn shares(cx: &mut Context, shares: &[SplitBackend], pointer: &str, whose: &str) {
    let Some(last) = shares.len().checked_sub(1) else { return };
    if shares.len() > MAX_SHARES {
        let message = format!("{whose} splits over {} backends", shares.len());
        let many = Diagnostic::new(Code::TooManyShares, pointer, message);
        cx.complain(many.help(format!("a split has at most {MAX_SHARES}")));
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, share) in shares.iter().enumerate() {
        if let Some(first) = seen.insert(share.name.as_str(), index) {
            let message = format!("{whose} has the backend `{}` twice", share.name);
            let first = cx.source.span(&format!("{pointer}/{first}/name"));
            let twice = Diagnostic::new(Code::DuplicateShare, &format!("{pointer}/{index}/name"), message);
            cx.complain(twice.label("again here").and(first, "first here"));
        }
    }
    if shares.iter().all(|share| share.weight.is_zero()) {
        let message = format!("all weights of {whose} are zero");
        let zero = Diagnostic::new(Code::ZeroWeights, &format!("{pointer}/{last}/weight"), message);
        cx.complain(zero.help("give at least one backend a weight above 0"));
    } else if !shares.iter().any(|share| share.state == BackendState::Active && !share.weight.is_zero()) {
        let message = format!("no backend of {whose} takes new users");
        let none = Diagnostic::new(Code::NothingActive, pointer, message);
        cx.complain(none.help("make at least one with a weight above 0 `active`"));
    }
}

fn sticky(cx: &mut Context, route: &Route, index: usize) {
    let sticky = &route.split.sticky;
    let pointer = format!("/routes/{index}/split/sticky");
    match &sticky.cookie {
        Some(cookie) if cookie.same_site == SameSite::None && cookie.secure != Some(true) => {
            let message =
                format!("the cookie of route `{}` has `same_site: none` without `secure: true`", route.name);
            let insecure =
                Diagnostic::new(Code::InsecureCookie, &format!("{pointer}/cookie/same_site"), message);
            cx.complain(insecure.help("browsers drop such a cookie: add `secure: true`, or use `lax`"));
        }
        None if sticky.mode == StickyMode::Pin => {
            let message = format!("route `{}` pins users without the cookie that remembers it", route.name);
            let pin = Diagnostic::new(Code::PinWithoutCookie, &format!("{pointer}/mode"), message);
            cx.complain(pin.help("remove `cookie: off`, or use `mode: bucket`"));
        }
        _ => {}
    }
}

//! Traffic policy of routes.

use super::{Map, Out, duration, named_match, texts};
use crate::config::model::{
    Answer, Cors, Fault, HeaderEdits, Policy, RateKey, RateLimit, Redirect, Respond, Rewrite, Scheme,
};

/// Adds the keys of a route that are policy.
pub(super) fn policy(map: Map, policy: &Policy) -> Map {
    let rate_limits: Vec<_> = policy.rate_limits.iter().map(rate_limit).collect();
    let access = policy
        .access
        .as_ref()
        .map(|access| Map::default().some("allow", texts(&access.allow)).some("deny", texts(&access.deny)));
    let headers = Map::default()
        .some("request", header_edits(&policy.request_headers))
        .some("response", header_edits(&policy.response_headers));
    let cors = policy.cors.as_ref().map(cors);
    let map = map.opt("access", access).opt("cors", cors).some("rate_limit", rate_limits);
    let body_rate = policy.min_body_rate.map(|rate| {
        Map::default().put("per_second", rate.per_second.get()).put("grace", duration(rate.grace))
    });
    let map = map.opt("max_body", policy.max_body).opt("min_body_rate", body_rate);
    let map = map.opt("fault", policy.fault.as_ref().map(fault));
    map.some("headers", headers).opt("rewrite", policy.rewrite.as_ref().map(rewrite))
}

fn header_edits(edits: &HeaderEdits) -> Map {
    let fields = |fields: &[(String, String)]| {
        Out::Map(fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect())
    };
    Map::default()
        .some("add", fields(&edits.add))
        .some("set", fields(&edits.set))
        .some("remove", edits.remove.clone())
}

fn cors(cors: &Cors) -> Map {
    Map::default()
        .put("origins", cors.origins.clone())
        .put("methods", cors.methods.clone())
        .some("headers", cors.headers.clone())
        .some("expose", cors.expose.clone())
        .put("credentials", cors.credentials)
        .opt("max_age", cors.max_age.map(duration))
}

fn fault(fault: &Fault) -> Map {
    let delay = fault
        .delay
        .map(|(share, time)| Map::default().put("time", duration(time)).put("percent", share.to_string()));
    let abort = fault
        .abort
        .map(|(share, status)| Map::default().put("status", status).put("percent", share.to_string()));
    let headers: Vec<_> = fault.headers.iter().map(named_match).collect();
    Map::default().opt("delay", delay).opt("abort", abort).some("header", headers)
}

fn rate_limit(limit: &RateLimit) -> Map {
    let key: Out = match &limit.key {
        RateKey::ClientIp => "client_ip".into(),
        RateKey::Route => "route".into(),
        RateKey::Header(name) => Map::default().put("header", name.clone()).into(),
    };
    Map::default()
        .put("key", key)
        .put("rate", limit.rate.to_string())
        .put("burst", limit.burst.get())
        .put("max_keys", limit.max_keys)
}

fn rewrite(rewrite: &Rewrite) -> Map {
    Map::default()
        .opt("strip_prefix", rewrite.strip_prefix.clone())
        .opt("prefix", rewrite.prefix.clone())
        .opt("host", rewrite.host.clone())
}

/// Adds what a route answers itself.
pub(super) fn answer(map: Map, answer: &Answer) -> Map {
    match answer {
        Answer::Redirect(redirect) => map.put("redirect", self::redirect(redirect)),
        Answer::Respond(respond) => map.put("respond", self::respond(respond)),
    }
}

fn redirect(redirect: &Redirect) -> Map {
    Map::default()
        .opt("scheme", redirect.scheme.map(Scheme::as_str))
        .opt("host", redirect.host.clone())
        .opt("port", redirect.port)
        .opt("path", redirect.path.clone())
        .opt("prefix", redirect.prefix.clone())
        .put("status", redirect.status)
}

fn respond(respond: &Respond) -> Map {
    Map::default()
        .put("status", respond.status)
        .opt("body", respond.body.clone())
        .put("content_type", respond.content_type.clone())
}

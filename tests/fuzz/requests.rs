//! Requests end to end: the origin sees what a strict reader reads in the client's bytes, in that order, and nothing else.

use super::{
    engine::{Target, Verdict, hash_of},
    head::{PIECES, requests},
    stage::{self, Stage},
    strict::{self, Framing, Request},
};

#[test]
fn requests_end_to_end() {
    let stage = Stage::plain();
    let judge = Box::new(|input: &[u8]| judge(&stage, input));
    Target { name: "requests", grammar: requests(), pieces: PIECES, judge }.run();
}

fn judge(stage: &Stage, input: &[u8]) -> Verdict {
    let (sent, whole) = strict::requests(input);
    // Where it is cut follows from the input, so that a corpus file means the same each time.
    let cut = usize::try_from(hash_of(input)).unwrap_or_default() % (2 * input.len() + 1);
    let answer = stage.send(input, cut)?;
    let seen = stage.seen()?;
    for (at, request) in seen.iter().enumerate() {
        let Some(expected) = sent.get(at) else {
            return Err(format!("{} requests were sent, and the origin saw also {request:?}", sent.len()));
        };
        same(expected, request)?;
    }
    let methods: Vec<String> = sent.iter().map(|request| request.method.clone()).collect();
    let (statuses, _) = stage::responses(&answer, &methods)?;
    let forwarded = statuses.iter().filter(|status| **status == 200).count();
    if forwarded > seen.len() || statuses.len() > sent.len() + 1 {
        return Err(format!(
            "{statuses:?} for {} requests, of which the origin saw {}",
            sent.len(),
            seen.len()
        ));
    }
    stage.check()?;
    Ok(hash_of(&(statuses, seen.len(), sent.len(), whole)))
}

/// What was forwarded is the request that was sent, and has one meaning.
fn same(sent: &Request, seen: &Request) -> Result<(), String> {
    if sent.method != seen.method || sent.origin_form() != seen.target || sent.body != seen.body {
        return Err(format!("sent {sent:?}, and the origin saw {seen:?}"));
    }
    if seen.all("host").count() != 1 || seen.minor != 1 {
        return Err(format!("without one Host, or not HTTP/1.1: {seen:?}"));
    }
    if seen.framing == Framing::None && !seen.body.is_empty() {
        return Err(format!("a body without framing: {seen:?}"));
    }
    for gone in ["keep-alive", "proxy-connection", "upgrade", "proxy-authorization", "trailer"] {
        if gone != "upgrade" && seen.all(gone).next().is_some() {
            return Err(format!("{gone} was forwarded: {seen:?}"));
        }
    }
    let odd = |(name, _): &&(String, Vec<u8>)| {
        let plain = name.replace('_', "-");
        *name != plain
            && ["content-length", "transfer-encoding", "host", "x-forwarded-for"].contains(&&*plain)
    };
    match seen.fields.iter().find(odd) {
        Some((name, _)) => Err(format!("{name} was forwarded, which some servers take for another")),
        None => Ok(()),
    }
}

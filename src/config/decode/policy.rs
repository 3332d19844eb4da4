//! Traffic policy of routes.

use super::{
    Context,
    reader::{self, Object},
};
use crate::config::{
    keys::{Kind, Scalar},
    model::{Access, Answer, HeaderEdits, Policy, Redirect, Respond, Rewrite, Scheme},
};

/// The keys of a route that are policy.
pub(super) fn policy(route: &mut Object<'_>, cx: &mut Context) -> Policy {
    let headers = route.object(cx, "headers");
    let (request_headers, response_headers) =
        headers.map(|headers| directions(headers, cx)).unwrap_or_default();
    let redirect = route.object(cx, "redirect").map(|object| Answer::Redirect(redirect(object, cx)));
    let respond = route.object(cx, "respond").map(|object| Answer::Respond(respond(object, cx)));
    Policy {
        answer: redirect.or(respond),
        access: route.object(cx, "access").map(|access| self::access(access, cx)),
        request_headers,
        response_headers,
        rewrite: route.object(cx, "rewrite").map(|rewrite| self::rewrite(rewrite, cx)),
    }
}

fn access(mut object: Object<'_>, cx: &mut Context) -> Access {
    Access { allow: object.list(cx, "allow"), deny: object.list(cx, "deny") }
}

fn directions(mut object: Object<'_>, cx: &mut Context) -> (HeaderEdits, HeaderEdits) {
    let [request, response] = ["request", "response"]
        .map(|key| object.object(cx, key).map(|edits| header_edits(edits, cx)).unwrap_or_default());
    (request, response)
}

fn header_edits(mut object: Object<'_>, cx: &mut Context) -> HeaderEdits {
    HeaderEdits {
        add: fields(&mut object, cx, "add"),
        set: fields(&mut object, cx, "set"),
        remove: object.list(cx, "remove"),
    }
}

fn fields(object: &mut Object<'_>, cx: &mut Context, key: &str) -> Vec<(String, String)> {
    let entries = object.entries(cx, key);
    let value = Kind::Scalar(Scalar::Text);
    entries.into_iter().map(|(name, place)| (name.to_string(), reader::scalar(cx, &place, &value))).collect()
}

fn rewrite(mut object: Object<'_>, cx: &mut Context) -> Rewrite {
    Rewrite {
        strip_prefix: object.opt(cx, "strip_prefix"),
        prefix: object.opt(cx, "prefix"),
        host: object.opt(cx, "host"),
    }
}

fn redirect(mut object: Object<'_>, cx: &mut Context) -> Redirect {
    Redirect {
        scheme: scheme(&mut object, cx),
        host: object.opt(cx, "host"),
        port: object.opt(cx, "port").map(small),
        path: object.opt(cx, "path"),
        prefix: object.opt(cx, "prefix"),
        status: small(object.get(cx, "status")),
    }
}

fn respond(mut object: Object<'_>, cx: &mut Context) -> Respond {
    Respond {
        status: small(object.get(cx, "status")),
        body: object.opt(cx, "body"),
        content_type: object.get(cx, "content_type"),
    }
}

/// A number that the tables keep below 65,536.
fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// The key `scheme` of a match or redirect.
pub(super) fn scheme(object: &mut Object<'_>, cx: &mut Context) -> Option<Scheme> {
    match object.word(cx, "scheme") {
        "https" => Some(Scheme::Https),
        "http" => Some(Scheme::Http),
        _ => None,
    }
}

//! Traffic policy of routes.

use std::num::{NonZeroU32, NonZeroU64};

use super::{
    Context,
    conditions::named_matches,
    reader::{self, Object, Place},
    top::number,
};
use crate::config::{
    keys::{Kind, MIN_BODY_RATE, RATE_KEY, Scalar},
    model::{
        Access, Answer, BodyRate, Cors, Fault, HeaderEdits, Policy, RateKey, RateLimit, Redirect, Respond,
        Rewrite, Scheme,
    },
    source::join,
    yaml::Value,
};
use crate::types::Rate;

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
        cors: route.object(cx, "cors").map(|cors| self::cors(cors, cx)),
        rate_limits: route.objects(cx, "rate_limit").into_iter().map(|limit| rate_limit(limit, cx)).collect(),
        max_body: route.opt(cx, "max_body"),
        min_body_rate: route.child(cx, "min_body_rate").map(|place| body_rate(&place, cx)),
        fault: route.object(cx, "fault").map(|fault| self::fault(fault, cx)),
        request_headers,
        response_headers,
        rewrite: route.object(cx, "rewrite").map(|rewrite| self::rewrite(rewrite, cx)),
    }
}

fn access(mut object: Object<'_>, cx: &mut Context) -> Access {
    Access { allow: object.list(cx, "allow"), deny: object.list(cx, "deny") }
}

fn cors(mut object: Object<'_>, cx: &mut Context) -> Cors {
    let mut methods: Vec<String> = object.list(cx, "methods");
    if methods.is_empty() {
        methods = ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
    }
    Cors {
        origins: object.list(cx, "origins"),
        methods,
        headers: object.list(cx, "headers"),
        expose: object.list(cx, "expose"),
        credentials: object.get(cx, "credentials"),
        max_age: object.opt(cx, "max_age"),
    }
}

fn rate_limit(mut object: Object<'_>, cx: &mut Context) -> RateLimit {
    let rate: Rate = object.get(cx, "rate");
    let burst = object.opt::<u64>(cx, "burst").map(number).and_then(NonZeroU32::new);
    RateLimit {
        key: object.child(cx, "key").map_or(RateKey::Route, |place| rate_key(&place, cx)),
        rate,
        burst: burst.unwrap_or(rate.number()),
        max_keys: number(object.get(cx, "max_keys")),
    }
}

fn body_rate(place: &Place<'_>, cx: &mut Context) -> BodyRate {
    let (mut object, short) = match &place.node.value {
        Value::Scalar { .. } => {
            // In canonical form the number stands in `per_second`.
            let inner = Place { node: place.node, pointer: join(&place.pointer, "per_second") };
            cx.places.note(&inner.pointer, None, place.node.span);
            let size = Kind::Scalar(Scalar::Size { min: 1, max: 1 << 40 });
            let blank = Object::blank(&MIN_BODY_RATE, &place.pointer, place.node.span);
            (blank, Some(reader::scalar::<u64>(cx, &inner, &size)))
        }
        _ => (Object::open(cx, place, &MIN_BODY_RATE), None),
    };
    let per_second = object.get(cx, "per_second");
    BodyRate {
        per_second: NonZeroU64::new(short.unwrap_or(per_second)).unwrap_or(NonZeroU64::MIN),
        grace: object.get(cx, "grace"),
    }
}

fn rate_key(place: &Place<'_>, cx: &mut Context) -> RateKey {
    if !matches!(place.node.value, Value::Scalar { .. }) {
        return RateKey::Header(Object::open(cx, place, &RATE_KEY).get(cx, "header"));
    }
    match reader::word(cx, place, &["client_ip", "route"], ("rate_limit", "key")) {
        Some("client_ip") => RateKey::ClientIp,
        _ => RateKey::Route,
    }
}

fn fault(mut object: Object<'_>, cx: &mut Context) -> Fault {
    Fault {
        delay: object.object(cx, "delay").map(|mut delay| (delay.get(cx, "percent"), delay.get(cx, "time"))),
        abort: object
            .object(cx, "abort")
            .map(|mut abort| (abort.get(cx, "percent"), number(abort.get(cx, "status")))),
        headers: named_matches(&mut object, cx, "header"),
    }
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
        port: object.opt(cx, "port").map(number),
        path: object.opt(cx, "path"),
        prefix: object.opt(cx, "prefix"),
        status: number(object.get(cx, "status")),
    }
}

fn respond(mut object: Object<'_>, cx: &mut Context) -> Respond {
    Respond {
        status: number(object.get(cx, "status")),
        body: object.opt(cx, "body"),
        content_type: object.get(cx, "content_type"),
    }
}

/// The key `scheme` of a match or redirect.
pub(super) fn scheme(object: &mut Object<'_>, cx: &mut Context) -> Option<Scheme> {
    match object.word(cx, "scheme") {
        "https" => Some(Scheme::Https),
        "http" => Some(Scheme::Http),
        _ => None,
    }
}

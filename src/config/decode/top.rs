//! The file itself, listeners and everything beside backends and routes.

use std::path::PathBuf;

use super::{
    Context, admin, backends, conditions, edge, jwt, notify,
    reader::{self, Object, Place},
    routes, tls,
};
use crate::config::{
    code::Code,
    diagnostic::Diagnostic,
    keys::{ACCESS_LOG, ADMIN, DNS, DRAIN, GEO, LIMITS, ROOT, STORE, TOTAL_LIMITS},
    model::{
        AccessLog, Config, Drain, Geo, GeoNetwork, Limits, Listener, ListenerProtocol, LogTarget,
        TrustedHeader,
    },
    yaml::{Node, Plain, Value, classify, shorten},
};

pub(super) fn config(root: &Node, cx: &mut Context) -> Config {
    let mut file = Object::open(cx, &Place { node: root, pointer: String::new() }, &ROOT);
    version(&mut file, cx);
    let backends = file.entries(cx, "backends");
    let segments = file.entries(cx, "segments");
    let providers = file.entries(cx, "jwt");
    let notifications = file.entries(cx, "notifications");
    cx.backends = backends.iter().map(|(name, _)| name.to_string()).collect();
    cx.segments = segments.iter().map(|(name, _)| name.to_string()).collect();
    cx.jwt_providers = providers.iter().map(|(name, _)| name.to_string()).collect();
    cx.notifications = notifications.iter().map(|(name, _)| name.to_string()).collect();
    Config {
        workers: number(file.get(cx, "workers")),
        data_dir: file.opt::<String>(cx, "data_dir").map(PathBuf::from),
        store: edge::store(file.object_or_default(cx, "store", &STORE), cx),
        trusted_proxies: file.list(cx, "trusted_proxies"),
        geo: geo(file.object_or_default(cx, "geo", &GEO), cx),
        admin: admin::admin(file.object_or_default(cx, "admin", &ADMIN), cx),
        access_log: access_log(file.object_or_default(cx, "access_log", &ACCESS_LOG), cx),
        drain: drain(file.object_or_default(cx, "drain", &DRAIN), cx),
        dns: edge::dns(file.object_or_default(cx, "dns", &DNS), cx),
        limits: edge::total_limits(file.object_or_default(cx, "limits", &TOTAL_LIMITS), cx),
        listeners: file.objects(cx, "listeners").into_iter().map(|object| listener(object, cx)).collect(),
        backends: backends.into_iter().map(|(name, place)| (name, backends::backend(&place, cx))).collect(),
        segments: segments
            .into_iter()
            .map(|(name, place)| (name, conditions::condition(&place, cx)))
            .collect(),
        jwt: providers.into_iter().map(|(name, place)| (name, jwt::provider(&place, cx))).collect(),
        notifications: notifications
            .into_iter()
            .map(|(name, place)| (name, notify::notification(&place, cx)))
            .collect(),
        routes: file.objects(cx, "routes").into_iter().map(|object| routes::route(object, cx)).collect(),
    }
}

/// Checks the version of the file format; there is one.
fn version(file: &mut Object<'_>, cx: &mut Context) {
    let Some(place) = file.child(cx, "version") else { return };
    if let Value::Scalar { text, plain: true } = &place.node.value
        && classify(text) == Plain::Integer
        && text.parse() != Ok(1)
    {
        let message = format!("version {} of the control file is unknown", shorten(text));
        let unknown = Diagnostic::new(Code::Range, &place.pointer, message);
        cx.report(unknown.help("this Weir knows version 1"), place.node.span);
        return;
    }
    let _: u64 = file.get(cx, "version");
}

/// A number that its table keeps in the range of the field.
pub(super) fn number<T: TryFrom<u64> + Default>(value: u64) -> T {
    let fits = T::try_from(value).ok();
    debug_assert!(fits.is_some(), "the key table limits {value} to the field's range");
    fits.unwrap_or_default()
}

fn geo(mut object: Object<'_>, cx: &mut Context) -> Geo {
    let headers = object.objects(cx, "trusted_header");
    let networks = object.objects(cx, "networks");
    Geo {
        trusted_headers: headers
            .into_iter()
            .map(|mut header| TrustedHeader { name: header.get(cx, "name"), from: header.list(cx, "from") })
            .collect(),
        database: object.opt::<String>(cx, "database").map(PathBuf::from),
        networks: networks
            .into_iter()
            .map(|mut network| GeoNetwork {
                cidr: network.get(cx, "cidr"),
                region: network.get(cx, "region"),
            })
            .collect(),
    }
}

fn access_log(mut object: Object<'_>, cx: &mut Context) -> AccessLog {
    let path: String = object.get(cx, "path");
    AccessLog {
        target: match path.as_str() {
            "off" => LogTarget::Off,
            "stdout" => LogTarget::Stdout,
            _ => LogTarget::File(PathBuf::from(path)),
        },
        sample: object.get(cx, "sample"),
        query: object.get(cx, "query"),
    }
}

fn drain(mut object: Object<'_>, cx: &mut Context) -> Drain {
    Drain { delay: object.get(cx, "delay"), timeout: object.get(cx, "timeout") }
}

/// What a listener speaks, by the words of the table.
fn protocols(object: &mut Object<'_>, cx: &mut Context, tls: bool) -> Vec<ListenerProtocol> {
    let places = object.items(cx, "protocols");
    let words = places
        .iter()
        .filter_map(|place| reader::word(cx, place, &["http/1.1", "h2", "h2c"], ("listener", "protocols")));
    let mut protocols: Vec<_> = words
        .map(|word| match word {
            "h2" => ListenerProtocol::H2,
            "h2c" => ListenerProtocol::H2c,
            _ => ListenerProtocol::Http11,
        })
        .collect();
    if protocols.is_empty() {
        protocols.extend(tls.then_some(ListenerProtocol::H2));
        protocols.push(ListenerProtocol::Http11);
    }
    protocols
}

fn listener(mut object: Object<'_>, cx: &mut Context) -> Listener {
    let tls = object.object(cx, "tls").map(|tls| tls::listener(tls, cx));
    let protocols = protocols(&mut object, cx, tls.is_some());
    let proxy_protocol = object.object(cx, "proxy_protocol").map(|object| edge::proxy_protocol(object, cx));
    let mut limits = object.object_or_default(cx, "limits", &LIMITS);
    Listener {
        name: object.get(cx, "name"),
        bind: object.get(cx, "bind"),
        mode: object.opt::<u64>(cx, "mode").map(number),
        protocols,
        tls,
        proxy_protocol,
        region: object.opt(cx, "region"),
        limits: Limits {
            max_connections: number(limits.get(cx, "max_connections")),
            max_connections_per_address: number(limits.get(cx, "max_connections_per_address")),
            max_header_bytes: number(limits.get(cx, "max_header_bytes")),
            max_headers: number(limits.get(cx, "max_headers")),
            header_timeout: limits.get(cx, "header_timeout"),
            idle_timeout: limits.get(cx, "idle_timeout"),
        },
    }
}

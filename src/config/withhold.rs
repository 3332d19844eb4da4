//! What of a control file may be a secret, and how to leave it out of what others than administrators see.
//!
//! The file names files of keys and tokens and has none of them itself. But a header that is set on the way to a backend may be what the
//! backend takes for proof, a condition may wait for a value that only some should know, and a fixed answer may say anything.

use serde_json::Value;

/// Replaces what may be a secret in a control file in canonical form, or in a part of one, by `mark` of it: the values of header fields
/// that are added or set and of conditions on fields, cookies, parameters and claims, the bodies of fixed answers, and of hooks and checks what
/// is given on to them and the queries of their addresses.
pub fn withhold(document: &mut Value, mark: &mut impl FnMut(&str) -> String) {
    match document {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), &mut *value) {
                    ("header" | "cookie" | "query" | "jwt", Value::Array(conditions)) => {
                        let parts = conditions.iter_mut().filter_map(Value::as_object_mut).flatten();
                        let values = parts.filter(|(key, _)| !["name", "claim"].contains(&key.as_str()));
                        values.for_each(|(_, value)| texts(value, mark));
                    }
                    ("add" | "set" | "metadata", Value::Object(_)) | ("body", Value::String(_)) => {
                        texts(value, mark)
                    }
                    ("url" | "webhook", Value::String(address)) => {
                        if let Some((place, query)) = address.split_once('?') {
                            *address = format!("{place}?{}", mark(query));
                        }
                    }
                    _ => withhold(value, mark),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| withhold(item, mark)),
        _ => {}
    }
}

/// Replaces every text.
fn texts(value: &mut Value, mark: &mut impl FnMut(&str) -> String) {
    match value {
        Value::String(text) => *text = mark(text),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, mark)),
        Value::Object(members) => members.values_mut().for_each(|member| texts(member, mark)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const FILE: &str = "\
version: 1
listeners: [ { name: web, bind: 127.0.0.1:0 } ]
backends: { stable: { endpoints: [ { address: 127.0.0.1:9001 } ] }, canary: { endpoints: [ { address: 127.0.0.1:9002 } ] } }
notifications: { events: { webhook: { url: 'http://events/to?hush-15' } } }
jwt: { staff: { issuer: https://id.example, keys_file: /etc/keys.pem } }
segments:
  testers: { any: [ { header: { name: X-Test, in: [ hush-1, hush-2 ] } }, { cookie: { name: t, prefix: hush-3 } } ] }
  deep: { not: { all: [ { query: { name: q, contains: hush-4 } }, { jwt: { claim: email, exact: hush-5 } } ] } }
routes:
  - name: shop
    match: { header: [ { name: X-Api, exact: hush-6 } ], query: { name: q, regex: hush-7 }, cookie: { name: c, exact: hush-8 } }
    jwt: { provider: staff }
    headers:
      request: { set: { Authorization: Bearer hush-9 }, add: { X-Key: hush-10 }, remove: [ X-Seen ] }
      response: { set: { X-Out: hush-11 } }
    fault: { abort: { status: 503, percent: 1% }, header: { name: X-Fault, exact: hush-12 } }
    rules:
      - { name: forced, match: { header: { name: X-Force, exact: hush-13 } }, backend: stable }
    split: { backends: { stable: 1, canary: 0 } }
    rollout:
      { baseline: stable, canary: canary, preset: fast, analysis: { gates: [ { webhook: 'http://checks/kpi?hush-16' } ] },
        hooks: [ { type: event, url: 'http://checks/all', metadata: { cmd: hush-17 } } ] }
  - { name: hello, match: { path: { prefix: /hello } }, respond: { status: 200, body: hush-14 } }
";

    #[test]
    fn what_may_be_a_secret_is_left_out_and_nothing_else() {
        let file = config::parse(FILE, "test").unwrap_or_else(|errors| panic!("{errors}"));
        let open = file.config.to_json();
        let mut seen = Vec::new();
        let mut shut = open.clone();
        withhold(&mut shut, &mut |text| {
            seen.push(text.to_owned());
            format!("#{}", seen.len())
        });
        let text = shut.to_string();
        assert!(!text.contains("hush-"), "{text}");
        assert_eq!(seen.len(), 17, "{seen:?}");
        assert!(seen.iter().all(|text| text.contains("hush-")), "{seen:?}");
        for name in [
            "X-Test",
            "Authorization",
            "X-Seen",
            "email",
            "/etc/keys.pem",
            "testers",
            "/hello",
            "http://checks/kpi",
        ] {
            assert!(text.to_lowercase().contains(&name.to_lowercase()), "{name}: {text}");
        }
    }
}

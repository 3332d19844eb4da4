//! Files drawn at random from the key tables: whatever the tables (and so the schema) allow, the decoder must take.

use proptest::{prelude::*, test_runner::RngAlgorithm};
use serde_json::{Map, Value, json};

use super::{
    super::{
        diagnostic::Severity,
        keys::{Choice, Kind, Need, ROOT, Scalar, Shape},
        parse, schema,
    },
    validator::violations,
};

/// Draws decisions from a list of random numbers.
struct Dice<'a>(std::slice::Iter<'a, u32>);

impl Dice<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().copied().unwrap_or(0) as usize % n.max(1)
    }
}

fn value(kind: &Kind, depth: usize, dice: &mut Dice<'_>) -> Value {
    match kind {
        Kind::Scalar(of) => scalar(*of, dice),
        Kind::Word(words) => json!(words[dice.below(words.len())]),
        Kind::Object(shape) => object(shape, depth + 1, dice),
        Kind::List(of, min) => {
            let count = (*min).max(dice.below(3));
            (0..count).map(|_| value(of, depth, dice)).collect()
        }
        Kind::OneOrMore(of) if dice.below(2) == 0 => value(of, depth, dice),
        Kind::OneOrMore(of) => (0..=dice.below(2)).map(|_| value(of, depth, dice)).collect(),
        Kind::Map(of) => {
            let names = (0..3).map(|n| (format!("name-{n}"), value(of, depth, dice)));
            Value::Object(names.collect())
        }
        Kind::Either(forms) => value(&forms[dice.below(forms.len())], depth, dice),
    }
}

fn object(shape: &'static Shape, depth: usize, dice: &mut Dice<'_>) -> Value {
    let mut map = Map::new();
    let chosen: Vec<&str> = match shape.choice {
        Choice::One(keys) => vec![keys[dice.below(keys.len())]],
        Choice::AtMostOne(keys) if dice.below(3) > 0 => vec![keys[dice.below(keys.len())]],
        Choice::Some => {
            // Conditions nest; deep inside only those that do not.
            let leaves = &shape.keys[if depth > 5 { 3.. } else { 0.. }];
            vec![leaves[dice.below(leaves.len())].name]
        }
        _ => Vec::new(),
    };
    for key in shape.keys {
        let among = match shape.choice {
            Choice::One(keys) | Choice::AtMostOne(keys) => keys.contains(&key.name),
            Choice::Some => true,
            Choice::Free => false,
        };
        let wanted = if among { chosen.contains(&key.name) } else { dice.below(3) == 0 };
        if wanted || key.need == Need::Required {
            map.insert(key.name.to_owned(), value(&key.kind, depth, dice));
        }
    }
    Value::Object(map)
}

fn scalar(of: Scalar, dice: &mut Dice<'_>) -> Value {
    let pick = |texts: &[&str], dice: &mut Dice<'_>| json!(texts[dice.below(texts.len())]);
    match of {
        Scalar::Bool => json!(dice.below(2) == 0),
        Scalar::True => json!(true),
        Scalar::Integer { min, max } => json!(min + (dice.below(1000) as u64).min(max - min)),
        Scalar::Duration { .. } => pick(&["1500ms", "5s", "2m", "1h", "30d"], dice),
        Scalar::Size { .. } => {
            [json!("32KiB"), json!("64KB"), json!("1MiB"), json!(4096)][dice.below(4)].clone()
        }
        Scalar::Percent => pick(&["0%", "0.5%", "2%", "99.999%", "100%"], dice),
        Scalar::Rate => pick(&["100/s", "6/m", "1000000/h", "1/d"], dice),
        Scalar::Weight => [json!(95), json!(1), json!(0.5), json!(7), json!(0)][dice.below(5)].clone(),
        Scalar::Name => pick(&["name-0", "name-1", "name-2"], dice),
        Scalar::Cidr => pick(&["10.0.0.0/8", "10.1.2.3", "fd00::/8", "unix"], dice),
        Scalar::Bind => json!(format!("127.0.0.1:{}", 1024 + dice.below(60_000))),
        Scalar::Listen if dice.below(4) == 0 => json!(format!("unix:/run/{}.sock", dice.below(60_000))),
        Scalar::Listen => json!(format!("127.0.0.1:{}", 1024 + dice.below(60_000))),
        Scalar::HostPort => {
            json!(format!("{}:{}", ["canary.internal", "B.example."][dice.below(2)], 1 + dice.below(60_000)))
        }
        Scalar::SocketPath => json!(format!("/run/{}.sock", dice.below(60_000))),
        Scalar::FileMode => pick(&["0660", "600"], dice),
        Scalar::Address => json!(format!(
            "{}:{}",
            ["10.1.0.1", "[fd00::1]", "localhost"][dice.below(3)],
            1 + dice.below(60_000)
        )),
        Scalar::HeaderName => pick(&["X-User", "cf-ipcountry"], dice),
        Scalar::CookieName => pick(&["uid", "__Host-x"], dice),
        Scalar::QueryName => pick(&["page", "a b"], dice),
        Scalar::Path => pick(&["/", "/a/b", "/%C3%A4"], dice),
        Scalar::Target => pick(&["/healthz", "/h?full=1"], dice),
        Scalar::CookiePath => pick(&["/", "/a"], dice),
        Scalar::Regex => pick(&["v[0-9]+", ".*", "(a|b)"], dice),
        Scalar::Host => pick(&["a.example", "*.b.example", "A.B"], dice),
        Scalar::Domain => pick(&["example.com", "localhost"], dice),
        Scalar::Authority => pick(&["a.example", "a:80", "[::1]:80"], dice),
        Scalar::Method => pick(&["GET", "M-SEARCH"], dice),
        Scalar::Status => [json!("200-299"), json!(204), json!("404")][dice.below(3)].clone(),
        Scalar::File => pick(&["/var/lib/x", "x"], dice),
        Scalar::LogTarget => pick(&["stdout", "off", "./log"], dice),
        Scalar::Text => pick(&["", "beta", "true", "1.0", "ä: #"], dice),
        Scalar::Body => pick(&["", "hello", "{\n\t\"a\": 1\n}\n"], dice),
        Scalar::Word => pick(&["salt", "5"], dice),
        Scalar::Share => [json!(5), json!(0.5), json!("20%"), json!(100), json!(0)][dice.below(5)].clone(),
        Scalar::Multiple => [json!(2), json!(1.5), json!("1.2x"), json!("1000x")][dice.below(4)].clone(),
        Scalar::Quantile => [json!(0.99), json!(0.5)][dice.below(2)].clone(),
        Scalar::Metric => pick(
            &["error_rate", "success_rate", "availability", "request_rate", "latency_p99", "latency_p999"],
            dice,
        ),
        Scalar::Limit => {
            [json!(3), json!(-0.5), json!("1%"), json!("500ms"), json!("10/s")][dice.below(5)].clone()
        }
        Scalar::Tolerance => pick(&["1.25x", "0.1%", "2x"], dice),
        Scalar::Url => pick(&["https://a.example/b?c=d", "http://[::1]:80"], dice),
        Scalar::Query => pick(&["up", "sum(\n\trate(x[1m])\n)\n"], dice),
        Scalar::Pointer => pick(&["", "/a/b", "/a~1b/0"], dice),
        Scalar::Repository => json!("example/shop"),
    }
}

/// A file of the tables; names are made to fit, so that many of them are right as a whole too.
fn draw(rolls: &[u32]) -> Value {
    let mut file = object(&ROOT, 0, &mut Dice(rolls.iter()));
    for list in ["listeners", "routes"] {
        for (index, item) in file[list].as_array_mut().into_iter().flatten().enumerate() {
            item["name"] = json!(format!("name-{index}"));
            for rule in item.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
                rule.as_object_mut().map(|rule| rule.remove("name"));
            }
            if list == "listeners" {
                continue;
            }
            if rolls.first().is_some_and(|roll| roll % 4 > 0) {
                plan(item);
            }
            // Each route has paths of its own, so that none takes another's requests.
            let path = json!({"exact": format!("/{index}")});
            match &mut item["match"] {
                Value::Array(several) => several.iter_mut().for_each(|one| one["path"] = path.clone()),
                one => one["path"] = path,
            }
        }
    }
    file
}

/// Makes the rollout of a route, if it has one, one that can be made.
fn plan(route: &mut Value) {
    if route.get("rollout").is_none() {
        return;
    }
    for key in ["split", "backend", "redirect", "respond", "rules", "mirror"] {
        route.as_object_mut().unwrap().remove(key);
    }
    route["split"] = json!({ "backends": { "name-0": 95, "name-1": 5 } });
    let rollout = &mut route["rollout"];
    merge(rollout, json!({ "baseline": "name-0", "canary": "name-1", "preset": "standard", "group": null }));
    for step in items(rollout, "/steps") {
        merge(step, json!({ "hold": "5s", "bake": null, "mirror": null }));
    }
    for freeze in items(rollout, "/freeze") {
        merge(freeze, json!({ "cron": "0 16 * * FRI", "zone": "Europe/Berlin" }));
    }
    for hook in items(rollout, "/hooks") {
        merge(hook, json!({ "name": null }));
    }
    if let Some(analysis) = rollout.get_mut("analysis") {
        merge(
            analysis,
            json!({ "interval": "5s", "window": "1m", "alpha": "1%", "prometheus": "http://p:9090" }),
        );
    }
    for gate in items(rollout, "/analysis/gates") {
        let (kind, own) = own_keys(gate);
        let mut kept = json!({ kind: gate[kind] });
        merge(&mut kept, json!({ "dry_run": gate["dry_run"] }));
        merge(&mut kept, own);
        *gate = kept;
    }
}

/// The kind of a gate, and limits that go with it.
fn own_keys(gate: &Value) -> (&'static str, Value) {
    let has = |key: &str| gate.get(key).is_some();
    if has("metric") {
        let limits = match gate["metric"].as_str().unwrap() {
            "error_rate" => json!({ "max": "0.125%", "max_ratio": gate["max_ratio"], "hard_max": "50%" }),
            "request_rate" => json!({ "min": "7/m" }),
            "success_rate" | "availability" => json!({ "min": "99.9%", "hard_min": "50%" }),
            _ => json!({ "max": "1001ms", "max_ratio": gate["max_ratio"] }),
        };
        return ("metric", limits);
    }
    if has("regression") {
        let of_latency = gate["regression"] == "latency";
        let tolerance = if of_latency { json!("1.3x") } else { json!(["1.2x", "0.1%"]) };
        let quantile = if of_latency { gate["quantile"].clone() } else { Value::Null };
        return ("regression", json!({ "tolerance": tolerance, "quantile": quantile }));
    }
    if has("prometheus") {
        return ("prometheus", json!({ "max": 3, "server": gate["server"] }));
    }
    if has("webhook") {
        return ("webhook", json!({ "max": -0.5, "pointer": "/a", "every": "1h", "timeout": "5s" }));
    }
    ("consecutive_failures", json!({}))
}

fn items<'v>(value: &'v mut Value, pointer: &str) -> Vec<&'v mut Value> {
    match value.pointer_mut(pointer) {
        Some(Value::Array(items)) => items.iter_mut().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

/// Sets these keys; `null` removes one.
fn merge(value: &mut Value, keys: Value) {
    let (Value::Object(map), Value::Object(keys)) = (value, keys) else { return };
    for (key, value) in keys {
        match value {
            Value::Null => drop(map.remove(&key)),
            value => drop(map.insert(key, value)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_algorithm: RngAlgorithm::ChaCha, ..ProptestConfig::with_cases(300) })]

    /// JSON is YAML, so a drawn file is read as it is. Errors about the meaning of the whole (`E01xx`) may come up, errors
    /// of decoding may not; but for `key: none` beside a mode, which no table can tell.
    #[test]
    fn what_the_tables_allow_is_read(rolls in prop::collection::vec(any::<u32>(), 0..600)) {
        let file = draw(&rolls);
        prop_assert_eq!(violations(&schema(), &file), Vec::<String>::new());
        let text = serde_json::to_string_pretty(&file).unwrap();
        match parse(&text, "drawn") {
            Ok(loaded) => {
                let again = super::config(&loaded.config.to_yaml());
                prop_assert_eq!(&again, &loaded.config);
                let canonical = loaded.config.to_json();
                prop_assert_eq!(violations(&schema(), &canonical), Vec::<String>::new());
            }
            Err(errors) => for error in errors.iter().filter(|error| error.severity() == Severity::Error) {
                let contradiction = error.message.starts_with("`key: none` contradicts");
                prop_assert!(error.code.as_str() >= "E0100" || contradiction, "{}\n{}", errors, text);
            }
        }
    }

    /// A drawn file with one value replaced: where the schema refuses it, the decoder does too.
    #[test]
    fn what_the_schema_refuses_is_refused(
        rolls in prop::collection::vec(any::<u32>(), 0..300),
        at in any::<prop::sample::Index>(),
        junk in prop::sample::select(vec![
            json!(null), json!(-1), json!(1.5), json!("x y\u{1}"), json!([]), json!({}), json!([[]]), json!({"frob": 1}),
            json!(true), json!("-")]),
    ) {
        let mut file = draw(&rolls);
        let mut pointers = Vec::new();
        collect(&file, String::new(), &mut pointers);
        let pointer = at.get(&pointers).clone();
        *file.pointer_mut(&pointer).unwrap() = junk;
        if !violations(&schema(), &file).is_empty() {
            let text = serde_json::to_string_pretty(&file).unwrap();
            prop_assert!(parse(&text, "drawn").is_err(), "{}: {}", pointer, text);
        }
    }
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| collect(item, format!("{pointer}/{index}"), found));
        }
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, item)| collect(item, crate::config::source::join(&pointer, key), found));
        }
        _ => {}
    }
    found.push(pointer);
}

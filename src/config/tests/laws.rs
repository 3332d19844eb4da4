//! What holds for any text.

use proptest::prelude::*;

use super::super::{Look, parse, parse_bytes};

const FULL: &str = include_str!("../../../config/full.yaml");

/// A config, or errors of which at least one has a place in the text; and every report can be drawn.
fn lawful(text: &str) -> Result<(), TestCaseError> {
    match parse(text, "any.yaml") {
        Ok(loaded) => {
            prop_assert_eq!(loaded.warnings.is_empty(), loaded.warnings.render(Look::default()).is_empty());
            let again = super::config(&loaded.config.to_yaml());
            prop_assert_eq!(again, loaded.config);
        }
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            let length = errors.source().text().len();
            for error in errors.iter() {
                let span = error.span.expect("every error about a text has a place");
                prop_assert!(span.start <= span.end && span.end <= length, "{:?}", error);
                let (start, end) = errors.position(error).expect("it has a span");
                prop_assert!(start.line >= 1 && start.column >= 1 && end >= start, "{:?}", error);
            }
            let drawn = errors.render(Look { colour: true, ascii: true });
            prop_assert!(drawn.len() > 20);
            prop_assert!(errors.to_json().as_array().is_some_and(|items| !items.is_empty()));
            let sarif = errors.to_sarif();
            prop_assert_eq!(
                sarif["runs"][0]["results"].as_array().map(Vec::len),
                Some(errors.iter().count())
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_gives_a_config_or_pointed_errors(text in any::<String>()) {
        lawful(&text)?;
    }

    #[test]
    fn any_yamlish_text_does(text in "([a-z]{1,3}: ?|- |[\\[\\]{},&*!|>'\"#%@\\t\\r\\n ]|[0-9ä\\-]|\n {0,4}){0,60}") {
        lawful(&text)?;
    }

    #[test]
    fn any_bytes_do(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Err(errors) = parse_bytes(&bytes, "any") {
            prop_assert!(!errors.render(Look::default()).is_empty());
        }
    }

    /// The full example with a few pieces cut out, doubled or replaced.
    #[test]
    fn a_mutated_example_does(edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, 0..10_usize), 1..4)) {
        let pieces = ["", ":", "\n", "  ", "- ", "{", "]", "\t", "*a", "x: &a [*a]"];
        let mut text = FULL.to_owned();
        for (at, length, piece) in edits {
            let start = at.index(text.len().max(1)).min(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, pieces[piece]);
        }
        lawful(&text)?;
    }
}

#[test]
fn hostile_files_are_refused_quickly() {
    let nested = "[".repeat(100_000);
    let bomb: String = std::iter::once("a0: &a0 [x, x]\n".to_owned())
        .chain((1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)))
        .collect();
    let wide = "a: [".to_owned() + &"[],".repeat(200_000) + "]";
    let chain: String = (0..50_000).map(|n| format!("  s{n}: {{ segment: s{} }}\n", n + 1)).collect();
    let circles: String = (0..40_000)
        .map(|n| format!("  s{n}: {{ segment: s{} }}\n", if n % 2 == 0 { n + 1 } else { n - 1 }))
        .collect();
    let routes: String = (0..20_000).map(|n| format!("  - {{ name: r{n}, backend: b{n} }}\n")).collect();
    for text in [
        nested.clone(),
        "a:\n".to_owned() + &"- ".repeat(50_000),
        "{a: ".repeat(10_000),
        bomb,
        wide,
        format!("segments:\n{chain}"),
        format!("segments:\n{circles}"),
        format!("{}routes:\n{routes}", super::HEAD),
        "? ".repeat(10_000),
        "&a ".repeat(10_000),
        "a: ".repeat(10_000),
    ] {
        assert!(parse(&text, "hostile").is_err());
    }
}

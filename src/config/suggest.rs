//! "Did you mean …?"

/// The candidate that is most like `written`, when one is like enough to be meant.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > 64 {
        return None;
    }
    let lower = written.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .filter(|candidate| *candidate != written)
        .map(|candidate| {
            let plain = candidate.to_ascii_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &plain), candidate)
        })
        // One edit for short words, a third of the letters for long ones.
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(written.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_is_like_enough_is_suggested() {
        for (written, expected) in [
            ("stiky", Some("sticky")),
            ("Backends", Some("backends")),
            ("on-unavailable", Some("on_unavailable")),
            ("slat", Some("salt")),
            ("frobnicate", None),
            ("x", None),
            ("", None),
        ] {
            let keys = ["sticky", "backends", "on_unavailable", "salt", "key"];
            assert_eq!(nearest(written, keys), expected, "{written}");
        }
    }
}

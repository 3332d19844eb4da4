//! Errors for people.

/// An error with its causes, on one line. A cause that its error has said already is not said again.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn every_cause_is_said_once() {
        let layer = |text, source: Option<Layer>| Layer { text, source: source.map(Box::new) };
        let io = || layer("no such file", None);
        assert_eq!(chain(&layer("cannot read", Some(io()))), "cannot read: no such file");
        assert_eq!(chain(&layer("i/o error: no such file", Some(io()))), "i/o error: no such file");
    }
}

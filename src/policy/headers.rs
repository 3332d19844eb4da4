//! Changes of header fields: what goes, and what is put there.

/// Changes of header fields in one direction. Names are compared in any case.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    gone: Box<[Box<str>]>,
    added: Box<[(Box<str>, Box<str>)]>,
}

// === impl HeaderEdits ===

impl HeaderEdits {
    /// Removes every field named in `remove` or `set`, then puts the fields of `set` and `add` there. White space around values
    /// goes: HTTP/2 has no such values (RFC 9113, section 8.2.1).
    #[must_use]
    pub fn new<'t>(
        remove: impl IntoIterator<Item = &'t str>,
        set: impl IntoIterator<Item = (&'t str, &'t str)> + Clone,
        add: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Self {
        let replaced = set.clone().into_iter().map(|(name, _)| name);
        let added = set.into_iter().chain(add);
        Self {
            gone: remove.into_iter().chain(replaced).map(Into::into).collect(),
            added: added.map(|(name, value)| (name.into(), value.trim_ascii().into())).collect(),
        }
    }

    /// Whether a field of this name that was received does not pass. With `_` for `-` it is the same name to CGI and WSGI
    /// servers, so it is here.
    #[must_use]
    pub fn drops(&self, name: &[u8]) -> bool {
        self.gone.iter().any(|gone| is_same(gone.as_bytes(), name))
    }

    /// The fields to write behind those that pass.
    pub fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        self.added.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Whether two names are one field, also to servers that take `_` for `-`.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.iter().map(plain).eq(b.iter().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_takes_the_place_of_all_and_add_stands_beside() {
        let edits = HeaderEdits::new(["X-Gone"], [("X-Set", " 1 ")], [("X-Set", "2"), ("X-Add", "3")]);
        for (name, drops) in
            [("x-gone", true), ("X-SET", true), ("x_set", true), ("X-Add", false), ("X-Gon", false)]
        {
            assert_eq!(edits.drops(name.as_bytes()), drops, "{name}");
        }
        let added: Vec<_> = edits.added().collect();
        assert_eq!(added, [("X-Set", "1"), ("X-Set", "2"), ("X-Add", "3")]);
    }
}

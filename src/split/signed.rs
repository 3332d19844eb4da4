//! The signed override: a header that gives whoever sends it one backend of one route for a while, to look at a version that gets no
//! other traffic, or to reproduce what one user sees. It changes nothing for anybody else, and nothing is kept of it.
//!
//! # Format
//! `X-Weir-Override: backend.route.expires.keyid.mac`
//!
//! | field | what |
//! |---|---|
//! | backend, route | their names; names may have dots, so the text is read from its end, with the name of the route that was matched |
//! | expires | the second from which it does not count, since 1970-01-01T00:00:00Z, decimal |
//! | keyid, mac | as in the [assignment cookie](super::cookie), over `override:=` and all that stands before the mac's dot |
//!
//! No cookie has a `:` in its name, so what signs a cookie signs no override, and the other way round.

use super::{
    cookie::{Keyring, decimal},
    plan::SplitPlan,
};
use crate::types::{BackendState, Name, name::MAX_NAME};

/// What stands in the place of a cookie's name under the mac.
const DOMAIN: &str = "override:";
/// The longest value that is looked at: two names and 50 bytes beside them.
const LONGEST: usize = 2 * MAX_NAME + 50;

/// Why a value gives nobody a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsigned {
    /// It has another form, or nobody here has signed it.
    Forged,
    /// Its time is over.
    Expired,
    /// It is for another route.
    OtherRoute,
    /// Its backend is not one of the split.
    NoBackend,
    /// Its backend takes nobody.
    Off,
}

// === impl Keyring ===

impl Keyring {
    /// The value of a header that gives its sender `backend` on `route` until `expires`, in seconds since 1970.
    #[must_use]
    pub fn sign_override(&self, (route, backend): (&Name, &Name), expires: u32) -> String {
        self.signed(DOMAIN, format!("{backend}.{route}.{expires}"))
    }
}

/// The backend, by its index, that a header's value gives its sender on the route of `plan`. Does not allocate.
pub(super) fn verify(
    text: &[u8],
    plan: &SplitPlan,
    (keyring, now): (&Keyring, u64),
) -> Result<usize, Unsigned> {
    if text.len() > LONGEST {
        return Err(Unsigned::Forged);
    }
    let said = keyring.verified(DOMAIN, text).ok_or(Unsigned::Forged)?;
    let dot = memchr::memrchr(b'.', said).ok_or(Unsigned::Forged)?;
    let expires = decimal(&said[dot + 1..]).ok_or(Unsigned::Forged)?;
    if now >= u64::from(expires) {
        return Err(Unsigned::Expired);
    }
    let of_route = said[..dot].strip_suffix(plan.route().as_str().as_bytes());
    let backend = of_route.and_then(|text| text.strip_suffix(b".")).ok_or(Unsigned::OtherRoute)?;
    let own = &plan.backends()[..plan.split_len()];
    let found = own.iter().position(|known| known.name.as_str().as_bytes() == backend);
    let found = found.ok_or(Unsigned::NoBackend)?;
    if own[found].state == BackendState::Off { Err(Unsigned::Off) } else { Ok(found) }
}

// === impl Unsigned ===

impl Unsigned {
    /// For people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "it was not signed by this Weir",
            Self::Expired => "its time is over",
            Self::OtherRoute => "it is for another route",
            Self::NoBackend => "the split has no such backend",
            Self::Off => "its backend takes nobody",
        }
    }
}

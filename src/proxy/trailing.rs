//! Which fields behind a body go on.
//!
//! Some servers put trailer fields beside those of the head, or take them for such. So what a route keeps from its backend in the
//! head, it keeps from it here: what it removes or sets itself, what only verified claims say, regions of who may not name any.

use std::net::IpAddr;

use super::{fields::may_trail, identity::Testimony, policy::Edits};
use crate::{policy::is_same, split::RegionHeader};

/// What a route keeps from its backend. The default keeps only what may not stand behind any body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trailing<'a> {
    pub(super) edits: Edits<'a>,
    pub(super) testimony: Testimony<'a>,
    /// Headers that name a region, and who sends them.
    pub(super) regions: Option<(&'a [RegionHeader], IpAddr)>,
}

// === impl Trailing ===

impl Trailing<'_> {
    /// Whether a trailer field of this name goes on.
    pub(super) fn passes(self, name: &[u8]) -> bool {
        may_trail(name) && !self.keeps(name)
    }

    /// Whether the route keeps it back.
    pub(super) fn keeps(self, name: &[u8]) -> bool {
        self.edits.drops(name) || self.testimony.drops(name) || self.is_forged_region(name)
    }

    fn is_forged_region(self, name: &[u8]) -> bool {
        self.regions.is_some_and(|(headers, peer)| is_forged_region(headers, peer, name))
    }
}

/// Whether the field names a region and the peer is not one that may. With `_` for `-` it is the same field to CGI and WSGI servers.
pub(super) fn is_forged_region(headers: &[RegionHeader], peer: IpAddr, name: &[u8]) -> bool {
    headers.iter().any(|header| is_same(header.name.as_bytes(), name) && !header.from.contains(peer))
}

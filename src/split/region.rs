//! Where a request comes from.
//!
//! The first source that knows decides: the listener's label, a trusted header, the database, the table of networks.
//! A header is believed only from peers in its own list, because anyone can send it. What no source knows is the region
//! `ZZ`, which ISO 3166 leaves to users and CLDR uses for "unknown"; it matches a rule only by that name.
//!
//! Regions are compared without regard to ASCII case: networks in front write country codes as they like, and no two
//! labels of one operator should differ in case alone.

use std::{fmt, net::IpAddr, path::Path};

use maxminddb::{MaxMindDbError, PathElement, Reader};

use super::networks::{NetworkSet, Networks};
use crate::{http::RequestView, types::Name};

/// The region of a request that no source knows.
pub const UNKNOWN: &str = "ZZ";

/// All sources of regions.
#[derive(Debug, Default)]
pub struct RegionSources {
    /// Headers, in order.
    pub headers: Vec<RegionHeader>,
    /// The database, if there is one.
    pub database: Option<GeoDatabase>,
    /// Regions by network.
    pub networks: Networks<Name>,
}

/// A header that names the region, such as `CF-IPCountry`.
#[derive(Debug)]
pub struct RegionHeader {
    /// Its name, any case.
    pub name: Box<str>,
    /// The peers it is believed from.
    pub from: NetworkSet,
}

/// A MaxMind database (country or city), held in memory: a file that is replaced under a map would change under the
/// reader.
pub struct GeoDatabase(Reader<Vec<u8>>);

/// A region: a label, or a country with a subdivision if it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region<'a> {
    code: &'a str,
    subdivision: Option<&'a str>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoDatabaseError {
    /// It cannot be read, or is no MaxMind database.
    #[error("cannot read the database")]
    Unreadable(#[source] MaxMindDbError),
    /// It has no countries: an ASN or ISP database, say.
    #[error("the database is a `{0}`; a country or city database is needed")]
    Kind(String),
}

// === impl RegionSources ===

impl RegionSources {
    /// The request's region.
    #[must_use]
    pub fn region<'a>(&'a self, request: &RequestView<'a>) -> Region<'a> {
        let label = |name: &'a Name| Region { code: name.as_str(), subdivision: None };
        request
            .listener_region
            .map(label)
            .or_else(|| self.named_by_header(request))
            .or_else(|| self.database.as_ref()?.region(request.client_ip))
            .or_else(|| self.networks.get(request.client_ip).map(label))
            .unwrap_or(Region { code: UNKNOWN, subdivision: None })
    }

    fn named_by_header<'a>(&self, request: &RequestView<'a>) -> Option<Region<'a>> {
        self.headers.iter().filter(|header| header.from.contains(request.peer_ip)).find_map(|header| {
            let code = std::str::from_utf8(request.headers.get(&header.name)?).ok()?.trim_ascii();
            // `XX` is Cloudflare's word for unknown.
            let known =
                !code.is_empty() && !["XX", UNKNOWN].iter().any(|word| code.eq_ignore_ascii_case(word));
            known.then_some(Region { code, subdivision: None })
        })
    }
}

// === impl GeoDatabase ===

impl GeoDatabase {
    /// Reads a database file into memory.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or has no countries.
    pub fn open(path: &Path) -> Result<Self, GeoDatabaseError> {
        Reader::open_readfile(path).map_err(GeoDatabaseError::Unreadable).and_then(Self::checked)
    }

    /// A database that has been read already.
    ///
    /// # Errors
    /// When it is damaged, or has no countries.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GeoDatabaseError> {
        Reader::from_source(bytes).map_err(GeoDatabaseError::Unreadable).and_then(Self::checked)
    }

    fn checked(reader: Reader<Vec<u8>>) -> Result<Self, GeoDatabaseError> {
        let kind = &reader.metadata().database_type;
        if ["Country", "City", "Enterprise"].iter().any(|word| kind.contains(word)) {
            Ok(Self(reader))
        } else {
            Err(GeoDatabaseError::Kind(kind.clone()))
        }
    }

    /// The country of an address, and its first subdivision where the database has one.
    #[must_use]
    pub fn region(&self, address: IpAddr) -> Option<Region<'_>> {
        let found = self.0.lookup(address.to_canonical()).ok()?;
        let code =
            found.decode_path(&[PathElement::Key("country"), PathElement::Key("iso_code")]).ok().flatten()?;
        let subdivision = found
            .decode_path(&[
                PathElement::Key("subdivisions"),
                PathElement::Index(0),
                PathElement::Key("iso_code"),
            ])
            .ok()
            .flatten();
        Some(Region { code, subdivision })
    }
}

impl fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GeoDatabase").field(&self.0.metadata().database_type).finish()
    }
}

// === impl Region ===

impl Region<'_> {
    /// Whether a rule that names `name` means this region: `US` is the country with all its subdivisions, `US-CA` one.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let code = self.code.len();
        name.eq_ignore_ascii_case(self.code)
            || self.subdivision.is_some_and(|subdivision| {
                // `get` instead of slicing: a name may have any characters where the code ends.
                name.get(..code).is_some_and(|country| country.eq_ignore_ascii_case(self.code))
                    && name
                        .get(code..)
                        .and_then(|rest| rest.strip_prefix('-'))
                        .is_some_and(|rest| rest.eq_ignore_ascii_case(subdivision))
            })
    }
}

impl fmt::Display for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)?;
        self.subdivision.map_or(Ok(()), |subdivision| write!(f, "-{subdivision}"))
    }
}

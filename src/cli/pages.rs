//! Lists of the API that come in pages.

use serde::de::DeserializeOwned;

use super::{Failure, client::Client};

/// The largest page that the API gives.
const LARGEST: usize = 500;

/// Asks for pages at `path`, which ends in `?` or `&`, until there are `limit` items or no more. `take` keeps a page and gives the
/// cursor of the next.
pub(super) async fn collect<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    limit: usize,
    mut take: impl FnMut(T) -> Option<String>,
) -> Result<(), Failure> {
    let mut left = limit;
    let mut cursor = String::new();
    while left > 0 {
        let size = left.min(LARGEST);
        match take(client.get(&format!("{path}limit={size}{cursor}")).await?) {
            Some(next) => cursor = format!("&cursor={}", encode(&next)),
            None => break,
        }
        left -= size;
    }
    Ok(())
}

/// A value of a query, percent-encoded (RFC 3986, section 3.4).
pub(super) fn encode(text: &str) -> String {
    super::client::segment(text)
}

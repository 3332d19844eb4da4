//! The admin API in canonical form.

use super::Map;
use crate::config::model::Admin;

pub(super) fn admin(admin: &Admin) -> Map {
    Map::default()
        .put("bind", admin.bind.to_string())
        .some("hosts", admin.hosts.clone())
        .opt("tokens", admin.tokens.as_ref().map(|path| path.to_string_lossy().into_owned()))
        .put("insecure", admin.insecure)
        .put("metrics", admin.metrics.as_str())
        .put("max_failures", admin.max_failures.to_string())
}

//! The admin API.

use std::path::PathBuf;

use super::{Context, reader::Object};
use crate::config::model::{Admin, OpenMetrics};

pub(super) fn admin(mut object: Object<'_>, cx: &mut Context) -> Admin {
    let hosts = object.list::<String>(cx, "hosts").into_iter();
    Admin {
        bind: object.get(cx, "bind"),
        hosts: hosts.map(|host| host.to_ascii_lowercase()).collect(),
        tokens: object.opt::<String>(cx, "tokens").map(PathBuf::from),
        insecure: object.get(cx, "insecure"),
        metrics: match object.word(cx, "metrics") {
            "all" => OpenMetrics::All,
            "nobody" => OpenMetrics::Nobody,
            _ => OpenMetrics::Local,
        },
        max_failures: object.get(cx, "max_failures"),
    }
}

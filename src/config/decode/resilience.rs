//! What a backend does about endpoints that fail.

use super::{Context, reader::Object, top::number};
use crate::config::model::{OutlierDetection, SuccessRate};

pub(super) fn outlier_detection(mut object: Object<'_>, cx: &mut Context) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: number(object.get(cx, "consecutive_5xx")),
        consecutive_gateway_failures: number(object.get(cx, "consecutive_gateway_failures")),
        success_rate: object.object(cx, "success_rate").map(|mut rate| SuccessRate {
            threshold: rate.get(cx, "threshold"),
            min_requests: number(rate.get(cx, "min_requests")),
        }),
        interval: object.get(cx, "interval"),
        base_ejection_time: object.get(cx, "base_ejection_time"),
        max_ejection_percent: number(object.get(cx, "max_ejection_percent")),
    }
}

//! What a backend does about endpoints that fail, in canonical form.

use super::{Map, duration};
use crate::config::model::OutlierDetection;

pub(super) fn outlier_detection(detection: &OutlierDetection) -> Map {
    let rate = detection.success_rate.as_ref().map(|rate| {
        Map::default().put("threshold", rate.threshold.to_string()).put("min_requests", rate.min_requests)
    });
    Map::default()
        .put("consecutive_5xx", detection.consecutive_5xx)
        .put("consecutive_gateway_failures", detection.consecutive_gateway_failures)
        .opt("success_rate", rate)
        .put("interval", duration(detection.interval))
        .put("base_ejection_time", duration(detection.base_ejection_time))
        .put("max_ejection_percent", detection.max_ejection_percent)
}

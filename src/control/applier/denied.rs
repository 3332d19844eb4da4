//! Calls of the admin API that were not allowed: they change nothing, and are written to the audit like what does.

use serde_json::Value;

use super::{Applier, Control, Message, Publisher};
use crate::control::audit::{AuditResult, Denied, Row};

impl Control {
    /// Writes to the audit that somebody was not allowed to do something. Whoever calls this bounds how often.
    pub async fn record_denied(&self, denied: Denied) {
        // Nobody is left to write it when the applier has stopped.
        let _ = self.inbox.send(Message::Denied(Box::new(denied))).await;
    }
}

impl<P: Publisher> Applier<P> {
    pub(super) async fn denied(&mut self, denied: Denied) {
        let Denied { origin, route, what } = denied;
        let row = self.row("denied", AuditResult::Refused, (Value::Null, what));
        if let Err(error) = self.audit(Row { origin, route, ..row }).await {
            self.note_store(Some(error));
        }
    }
}

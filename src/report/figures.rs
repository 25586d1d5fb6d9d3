//! The figures of a group of deliveries, and the rates that follow from them.

use std::ops::Deref;

use serde::Serialize;

use crate::store::Count;

/// How a group of deliveries fared.
///
/// A delivery is one message to one recipient. It is counted where it stands now: a bounce moves it out of
/// `delivered`, so `delivered`, `failed`, `bounced`, `open` and [`not_sent`](Figures::not_sent) add up to `queued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Deliveries that were queued within the range.
    pub queued: u64,
    /// Accepted by a remote host and not returned so far. That is not to say that they reached an inbox.
    pub delivered: u64,
    /// Refused in the conversation, or given up.
    pub failed: u64,
    /// Accepted by a remote host, then returned.
    pub bounced: u64,
    /// Not ended yet.
    pub open: u64,
    /// Deliveries about which somebody complained; counted beside the others.
    pub complained: u64,
}

/// The figures of one group: a reason, a domain, a mailing. It dereferences to its [`Figures`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The reason's name, the recipient's domain (an A-label) or the mailing; empty for deliveries without a mailing.
    pub name: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Figures {
    /// Deliveries that a remote host accepted, whether they came back or not.
    pub fn accepted(&self) -> u64 {
        self.delivered.saturating_add(self.bounced)
    }

    /// Deliveries about which a remote host, or the deadline, has decided: the whole of the rates below.
    pub fn decided(&self) -> u64 {
        self.accepted().saturating_add(self.failed)
    }

    /// Deliveries that ended without being sent: suppressed, cancelled, or held as uncertain.
    pub fn not_sent(&self) -> u64 {
        self.queued.saturating_sub(self.decided()).saturating_sub(self.open)
    }

    /// The share of decided deliveries that were accepted and not returned, from 0 to 1; `None` while none is decided.
    pub fn delivery_rate(&self) -> Option<f64> {
        share(self.delivered, self.decided())
    }

    /// The share of decided deliveries that were refused or given up; `None` while none is decided.
    pub fn failure_rate(&self) -> Option<f64> {
        share(self.failed, self.decided())
    }

    /// The share of decided deliveries that were returned; `None` while none is decided.
    pub fn bounce_rate(&self) -> Option<f64> {
        share(self.bounced, self.decided())
    }

    /// Complaints for each accepted delivery; `None` while none is accepted.
    pub fn complaint_rate(&self) -> Option<f64> {
        share(self.complained, self.accepted())
    }

    /// The figures of both groups together.
    pub(super) fn plus(self, other: &Figures) -> Figures {
        Figures {
            queued: self.queued.saturating_add(other.queued),
            delivered: self.delivered.saturating_add(other.delivered),
            failed: self.failed.saturating_add(other.failed),
            bounced: self.bounced.saturating_add(other.bounced),
            open: self.open.saturating_add(other.open),
            complained: self.complained.saturating_add(other.complained),
        }
    }

    /// Each figure with its name, in the order in which they are shown.
    pub(super) fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("queued", self.queued),
            ("delivered", self.delivered),
            ("failed", self.failed),
            ("bounced", self.bounced),
            ("open", self.open),
            ("complained", self.complained),
        ]
    }
}

impl Deref for Row {
    type Target = Figures;

    fn deref(&self) -> &Figures {
        &self.figures
    }
}

impl From<Count> for Row {
    fn from(count: Count) -> Row {
        let Count { name, queued, delivered, failed, bounced, open, complained } = count;
        Row { name, figures: Figures { queued, delivered, failed, bounced, open, complained } }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shares_of_what_is_decided() {
        let figures = Figures { queued: 120, delivered: 60, failed: 30, bounced: 10, open: 15, complained: 7 };
        assert_eq!((figures.accepted(), figures.decided(), figures.not_sent()), (70, 100, 5));
        assert_eq!(figures.delivery_rate(), Some(0.6));
        assert_eq!(figures.failure_rate(), Some(0.3));
        assert_eq!(figures.bounce_rate(), Some(0.1));
        assert_eq!(figures.complaint_rate(), Some(0.1));
    }

    #[test]
    fn nothing_decided_has_no_rate() {
        let figures = Figures { queued: 3, open: 3, ..Figures::default() };
        assert_eq!((figures.delivery_rate(), figures.complaint_rate()), (None, None));
    }

    #[test]
    fn a_row_is_flat_in_json() {
        let row = Row { name: "example.net".into(), figures: Figures { queued: 1, open: 1, ..Figures::default() } };
        let json = serde_json::json!({
            "name": "example.net", "queued": 1, "delivered": 0, "failed": 0, "bounced": 0, "open": 1, "complained": 0
        });
        assert_eq!(serde_json::to_value(&row).unwrap(), json);
        assert_eq!(row.queued, 1);
    }
}

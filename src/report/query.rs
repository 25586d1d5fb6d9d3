//! Counts deliveries in the store and puts them in order. How they are shown is decided in `render`.

use std::ops::Range;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::figures::{Figures, Row};
use super::render;
use crate::error::Error;
use crate::store::{CountBy, Store};
use crate::time::Timestamp;

/// The figures of one mailer, counted when they are asked for.
///
/// A range is a range of the times at which messages were queued: its end is not part of it. For everything so far,
/// ask for `Timestamp::EPOCH..Timestamp::MAX`. How far back the figures reach depends on how long ended deliveries
/// are kept.
///
/// ```
/// use returnpath::report::Reports;
/// use returnpath::{Error, Timestamp};
///
/// async fn worst_domains(reports: &Reports, since: Timestamp) -> Result<(), Error> {
///     for row in reports.by_domain(since..Timestamp::MAX).await? {
///         if row.bounce_rate().is_some_and(|rate| rate > 0.05) {
///             println!("{}: {} of {} came back", row.name, row.bounced, row.queued);
///         }
///     }
///     Ok(())
/// }
/// ```
///
/// Every method fails if the store fails ([`Error::is_storage`]) or the mailer was shut down ([`Error::is_closed`]).
#[derive(Clone)]
pub struct Reports {
    store: Arc<dyn Store>,
}

impl Reports {
    pub(crate) fn new(store: Arc<dyn Store>) -> Reports {
        Reports { store }
    }

    /// Deliveries that failed or bounced, by the [name](crate::Reason::name) of the reason; the commonest first.
    pub async fn by_reason(&self, range: Range<Timestamp>) -> Result<Vec<Row>, Error> {
        self.rows(CountBy::Reason, range, |row| row.failed.saturating_add(row.bounced)).await
    }

    /// All deliveries by the recipient's domain; the largest first.
    pub async fn by_domain(&self, range: Range<Timestamp>) -> Result<Vec<Row>, Error> {
        self.rows(CountBy::Domain, range, |row| row.queued).await
    }

    /// All deliveries by mailing; the largest first. Those without a mailing are under the empty name.
    pub async fn by_mailing(&self, range: Range<Timestamp>) -> Result<Vec<Row>, Error> {
        self.rows(CountBy::Mailing, range, |row| row.queued).await
    }

    /// All deliveries together.
    pub async fn summary(&self, range: Range<Timestamp>) -> Result<Figures, Error> {
        Ok(sum(&self.by_mailing(range).await?))
    }

    /// Everything above as one value. `now` is written into the report as the time at which it was made.
    ///
    /// The counts are taken one after the other: while mail goes out they may differ by what happened in between.
    pub async fn report(&self, range: Range<Timestamp>, now: Timestamp) -> Result<Report, Error> {
        let by_mailing = self.by_mailing(range.clone()).await?;
        Ok(Report {
            made_at: now,
            summary: sum(&by_mailing),
            by_reason: self.by_reason(range.clone()).await?,
            by_domain: self.by_domain(range.clone()).await?,
            by_mailing,
            range,
        })
    }

    /// The report as one HTML page; see [`Report::to_html`].
    pub async fn html(&self, range: Range<Timestamp>, now: Timestamp) -> Result<String, Error> {
        Ok(self.report(range, now).await?.to_html())
    }

    /// Rows by descending weight, those of equal weight by name: the same figures always read the same.
    async fn rows(
        &self,
        by: CountBy,
        range: Range<Timestamp>,
        weight: impl Fn(&Row) -> u64,
    ) -> Result<Vec<Row>, Error> {
        let counts = self.store.count(by, range).await?;
        let mut rows: Vec<Row> = counts.into_iter().map(Row::from).collect();
        rows.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.name.cmp(&b.name)));
        Ok(rows)
    }
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}

/// The figures of one range at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The range of times at which the messages were queued.
    #[serde(serialize_with = "from_and_to")]
    pub range: Range<Timestamp>,
    /// When the report was made.
    pub made_at: Timestamp,
    /// All deliveries together.
    pub summary: Figures,
    /// See [`Reports::by_reason`].
    pub by_reason: Vec<Row>,
    /// See [`Reports::by_domain`].
    pub by_domain: Vec<Row>,
    /// See [`Reports::by_mailing`].
    pub by_mailing: Vec<Row>,
}

impl Report {
    /// One HTML page that needs nothing else: no script, no font, no picture, no connection. It reads on a telephone
    /// and on paper, in light and in dark. The 100 largest rows of each table are shown, the rest as one line.
    pub fn to_html(&self) -> String {
        render::html(self)
    }

    /// All rows as JSON; times in milliseconds since the Unix epoch.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report has only string keys")
    }

    /// All rows as CSV (RFC 4180): `by` is `total`, `reason`, `domain` or `mailing`, then the name and the figures. A
    /// name that a spreadsheet would take for a formula gets an apostrophe in front.
    pub fn to_csv(&self) -> String {
        render::csv(self)
    }
}

fn sum(rows: &[Row]) -> Figures {
    rows.iter().fold(Figures::default(), |sum, row| sum.plus(row))
}

fn from_and_to<S: Serializer>(range: &Range<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct FromAndTo {
        from: Timestamp,
        to: Timestamp,
    }
    FromAndTo { from: range.start, to: range.end }.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Count;
    use crate::store::rigged::RiggedStore;

    const ALL: Range<Timestamp> = Timestamp::EPOCH..Timestamp::MAX;

    fn count(name: &str, [queued, delivered, failed, bounced, open, complained]: [u64; 6]) -> Count {
        Count { name: name.into(), queued, delivered, failed, bounced, open, complained }
    }

    fn reports() -> Reports {
        let counts = vec![
            (
                CountBy::Reason,
                vec![
                    count("spam", [2, 0, 1, 1, 0, 0]),
                    count("user_unknown", [7, 0, 3, 4, 0, 0]),
                    count("policy", [2, 0, 2, 0, 0, 0]),
                ],
            ),
            (CountBy::Domain, vec![count("b.example", [9, 5, 2, 1, 1, 1]), count("a.example", [9, 1, 4, 4, 0, 0])]),
            (CountBy::Mailing, vec![count("", [3, 1, 1, 1, 0, 0]), count("autumn", [15, 5, 5, 4, 1, 1])]),
        ];
        Reports::new(Arc::new(RiggedStore::counting(counts)))
    }

    fn names(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.name.as_str()).collect()
    }

    #[tokio::test]
    async fn rows_come_by_weight_then_by_name() {
        let reports = reports();
        assert_eq!(names(&reports.by_reason(ALL).await.unwrap()), ["user_unknown", "policy", "spam"]);
        assert_eq!(names(&reports.by_domain(ALL).await.unwrap()), ["a.example", "b.example"]);
        assert_eq!(names(&reports.by_mailing(ALL).await.unwrap()), ["autumn", ""]);
    }

    #[tokio::test]
    async fn the_summary_is_the_sum_of_all_deliveries() {
        let summary = reports().summary(ALL).await.unwrap();
        assert_eq!(summary.named().map(|(_, figure)| figure), [18, 6, 6, 5, 1, 1]);
    }

    #[tokio::test]
    async fn json_has_range_time_and_all_rows() {
        let report = reports().report(ALL, Timestamp::from_millis(5)).await.unwrap();
        let json = report.to_json();
        assert_eq!(json["range"], serde_json::json!({"from": 0, "to": i64::MAX}));
        assert_eq!(json["made_at"], 5);
        assert_eq!(json["summary"]["bounced"], 5);
        assert_eq!(json["by_reason"][0]["name"], "user_unknown");
        assert_eq!(json["by_mailing"][0]["complained"], 1);
    }

    #[tokio::test]
    async fn a_failing_store_is_told() {
        let store = RiggedStore::default();
        store.failing_reads.store(1, std::sync::atomic::Ordering::SeqCst);
        assert!(Reports::new(Arc::new(store)).html(ALL, Timestamp::EPOCH).await.unwrap_err().is_storage());
    }
}

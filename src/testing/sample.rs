//! Sample events: what a handler would be given, without any mail.
//!
//! A sample's verdict is not put together by hand: words of the remote host are judged as they are in earnest, so a
//! test of a handler sees the same combinations of outcome, address state and advice as the handler will.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use crate::address::Address;
use crate::event::{
    Alert, AutoReply, Bounce, Cancelled, Complaint, Delay, Delivered, Event, EventKind, EventRecord, Failure, Origin,
    Other, Reply, Success, Suppressed, Trust, Uncertain, Unsubscribe,
};
use crate::id::{DeliveryId, EventId, MessageId};
use crate::session::Stage;
use crate::smtp::{Reply as SmtpReply, ReplyParser};
use crate::tag::Tag;
use crate::time::Timestamp;
use crate::verdict::{
    AddressState, Advice, Evidence, Outcome, Reason, Reported, Rules, Source, Trouble, Verdict, judge_reply,
    judge_report, judge_trouble,
};

/// A sample event under construction. It dereferences to the event, so that `&sample` can be passed to a handler as it
/// is; to read from it, [`build`](Sample::build) it, since here `tag` and others set what they read there.
///
/// ```
/// use returnpath::event::{Bounce, Failure, from_fn, Event};
/// use returnpath::{FailureHandler, Reason};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let handler = from_fn(|_: Event| async { Ok(()) });
/// let bounce = Bounce::sample("ann@example.net").tag(4711).reason(Reason::MailboxFull).build();
/// assert_eq!(bounce.recipient(), "ann@example.net");
/// assert_eq!(bounce.tag().and_then(|tag| tag.as_i64()), Some(4711));
/// handler.on_bounce(&bounce).await?;
///
/// let failure = Failure::sample("ann@example.net").said("550 5.1.1 No such user here");
/// handler.on_fail(&failure).await?;
/// # Ok::<(), returnpath::HandlerError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Sample<V> {
    record: EventRecord,
    view: V,
}

/// A typed view of an event: [`Failure`], [`Bounce`] and so on.
pub trait View: Sized + sealed::View {}

mod sealed {
    use crate::event::{Event, EventKind};

    pub trait View {
        const KIND: EventKind;

        fn of(event: &Event) -> Option<Self>
        where
            Self: Sized;
    }
}

/// When samples happen, unless told otherwise: 2025-01-01T00:00:00Z.
const HAPPENED: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// Ids of the delivery and the message, unless told otherwise: issued five minutes before.
const DELIVERY: u64 = ((HAPPENED.as_millis() - 1_577_836_800_000 - 300_000) as u64) << 23 | 1;
const MESSAGE: u64 = DELIVERY - 1;

macro_rules! samples {
    ($($view:ident of $kind:ident: $origin:ident;)*) => {
        $(
            impl View for $view {}

            impl sealed::View for $view {
                const KIND: EventKind = EventKind::$kind;

                fn of(event: &Event) -> Option<$view> {
                    $view::from_event(event)
                }
            }

            impl $view {
                /// A sample of such an event about this recipient, for tests of handlers.
                ///
                /// # Panics
                ///
                /// If the recipient is not a mail address.
                pub fn sample(recipient: &str) -> Sample<$view> {
                    let address = recipient.parse().unwrap_or_else(|error| panic!("sample: {error}"));
                    Sample::new(Some(address), Origin::$origin)
                }
            }
        )*
    };
}

samples! {
    Failure of Fail: Conversation;
    Bounce of Bounce: Report;
    Delivered of Delivered: Conversation;
    Delay of Delay: Conversation;
    Complaint of Complaint: Report;
    AutoReply of AutoReply: Report;
    Reply of Reply: Report;
    Success of Success: Report;
    Unsubscribe of Unsubscribe: Report;
    Uncertain of Uncertain: Conversation;
    Suppressed of Suppressed: Local;
    Cancelled of Cancelled: Local;
    Other of Other: Report;
}

impl View for Alert {}

impl sealed::View for Alert {
    const KIND: EventKind = EventKind::Alert;

    fn of(event: &Event) -> Option<Alert> {
        Alert::from_event(event)
    }
}

impl Alert {
    /// A sample alert with these words, for tests of handlers.
    pub fn sample(text: &str) -> Sample<Alert> {
        Sample::<Alert>::new(None, Origin::Local).text(text)
    }
}

impl<V: View> Sample<V> {
    fn new(recipient: Option<Address>, origin: Origin) -> Sample<V> {
        let name = recipient.as_ref().map_or("", Address::as_str);
        let id = EventId::derive(&[b"sample", V::KIND.name().as_bytes(), name.as_bytes()]);
        let mut record = EventRecord::bare(id, V::KIND, HAPPENED, origin);
        if recipient.is_some() {
            record.delivery = Some(DeliveryId::from_u64(DELIVERY));
            record.message = Some(MessageId::from_u64(MESSAGE));
            record.trust = Some(Trust::Sealed);
        }
        record.recipient = recipient;
        if origin == Origin::Conversation {
            record.attempts = 1;
            record.host = Some("mx.example.net[192.0.2.25]:25".into());
        }
        match V::KIND {
            EventKind::Fail | EventKind::Bounce => judge_words(&mut record, typical(Reason::UserUnknown)),
            EventKind::Delay => judge_words(&mut record, &later(typical(Reason::MailboxFull))),
            EventKind::Delivered => judge_words(&mut record, "250 2.0.0 Ok: queued"),
            EventKind::Uncertain => {
                let verdict = judge_trouble(Stage::EndOfData, &Trouble::Closed).0;
                record.stage = Some(Stage::EndOfData);
                record.text = Some(verdict.evidence.text.clone());
                record.verdict = Some(verdict);
            }
            EventKind::Suppressed => decide(&mut record, Outcome::Suppressed, Reason::Suppressed),
            EventKind::Cancelled => decide(&mut record, Outcome::Cancelled, Reason::Undetermined),
            _ => {}
        }
        Sample::of(record)
    }

    fn of(record: EventRecord) -> Sample<V> {
        let view = V::of(&Event::new(record.clone())).expect("the record is of this kind");
        Sample { record, view }
    }

    fn with(mut self, change: impl FnOnce(&mut EventRecord)) -> Sample<V> {
        change(&mut self.record);
        Sample::of(self.record)
    }

    /// The event itself.
    pub fn build(self) -> V {
        self.view
    }

    /// The tag that was given at sending.
    ///
    /// # Panics
    ///
    /// If it is longer than 16 bytes.
    pub fn tag<T>(self, tag: T) -> Sample<V>
    where
        T: TryInto<Tag>,
        T::Error: Debug,
    {
        let tag = tag.try_into().unwrap_or_else(|error| panic!("sample: {error:?}"));
        self.with(|record| record.tag = Some(tag))
    }

    /// The mailing that was given at sending.
    pub fn mailing(self, mailing: &str) -> Sample<V> {
        self.with(|record| record.mailing = Some(mailing.into()))
    }

    /// The metadata that was given at sending.
    pub fn metadata(self, metadata: serde_json::Value) -> Sample<V> {
        self.with(|record| record.metadata = Some(metadata))
    }

    /// The event's id; by default it follows from the kind and the recipient.
    pub fn id(self, id: EventId) -> Sample<V> {
        self.with(|record| record.id = id)
    }

    /// The delivery.
    pub fn delivery(self, delivery: DeliveryId) -> Sample<V> {
        self.with(|record| record.delivery = Some(delivery))
    }

    /// The message.
    pub fn message(self, message: MessageId) -> Sample<V> {
        self.with(|record| record.message = Some(message))
    }

    /// When it happened.
    pub fn at(self, at: Timestamp) -> Sample<V> {
        self.with(|record| record.at = at)
    }

    /// The words of [`Event::text`]; the verdict stays as it is.
    pub fn text(self, text: &str) -> Sample<V> {
        self.with(|record| record.text = Some(text.into()))
    }

    /// The raw message that came in.
    pub fn raw(self, raw: &[u8]) -> Sample<V> {
        self.with(|record| record.raw = Some(Arc::from(raw)))
    }

    /// How the event is known to belong to its delivery.
    pub fn trust(self, trust: Trust) -> Sample<V> {
        self.with(|record| record.trust = Some(trust))
    }

    /// How many attempts were made.
    pub fn attempts(self, attempts: u32) -> Sample<V> {
        self.with(|record| record.attempts = attempts)
    }

    /// The address that the report names, where a forwarder stands between.
    pub fn reported_recipient(self, address: &str) -> Sample<V> {
        self.with(|record| record.reported_recipient = Some(address.into()))
    }
}

macro_rules! judged_samples {
    ($($view:ident),*) => {
        $(
            impl Sample<$view> {
                /// What the remote host said, as `550 5.1.1 No such user`. It is judged as it is in earnest: reason,
                /// address state, advice, code, status and text follow from it. The outcome stays that of the kind.
                ///
                /// # Panics
                ///
                /// If it is not one line of an SMTP reply (RFC 5321 §4.2).
                pub fn said(self, reply: &str) -> Sample<$view> {
                    self.with(|record| judge_words(record, reply))
                }

                /// Typical words for this reason, judged as by `said`.
                pub fn reason(self, reason: Reason) -> Sample<$view> {
                    self.with(|record| give_reason(record, reason))
                }
            }
        )*
    };
}

judged_samples!(Failure, Bounce, Delay);

impl<V> Deref for Sample<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.view
    }
}

/// Fills in everything that follows from the words of a remote host.
fn judge_words(record: &mut EventRecord, words: &str) {
    let reply = parsed(words).unwrap_or_else(|| panic!("sample: {words:?} is not one line of an SMTP reply"));
    let outcome = match record.kind {
        EventKind::Delivered => Outcome::Delivered,
        EventKind::Delay => Outcome::Delayed,
        _ => Outcome::Failed,
    };
    (record.code, record.status, record.text) = (Some(reply.code), reply.status, Some(reply.text.clone()));
    let mut verdict = if record.origin == Origin::Report {
        let (code, status) = (Some(reply.code), reply.status);
        let diagnostic = reply.text;
        judge_report(
            &Rules::built_in(),
            &Reported { outcome: Some(outcome), code, status, diagnostic, ..Reported::default() },
        )
    } else {
        let stage = if outcome == Outcome::Delivered { Stage::EndOfData } else { Stage::Rcpt };
        record.stage = Some(stage);
        judge_reply(&Rules::built_in(), stage, None, &reply).0
    };
    verdict.outcome = outcome;
    record.verdict = Some(verdict);
}

fn give_reason(record: &mut EventRecord, reason: Reason) {
    let words = typical(reason);
    match record.kind {
        EventKind::Delay => judge_words(record, &later(words)),
        _ => judge_words(record, words),
    }
    // Not every reason has words of its own: some follow from what happened here.
    if let Some(verdict) = &mut record.verdict {
        verdict.reason = reason;
    }
    if reason == Reason::Expired {
        record.cause = Some(Reason::Network);
    }
}

/// A verdict that this program itself reached.
fn decide(record: &mut EventRecord, outcome: Outcome, reason: Reason) {
    let evidence = Evidence { source: Source::Local, text: String::new(), rule: "local".into(), confidence: 1.0 };
    let (address, advice) = (AddressState::NoStatement, Advice::None);
    record.verdict = Some(Verdict { outcome, address, advice, reason, status: None, evidence });
}

fn parsed(words: &str) -> Option<SmtpReply> {
    let line = format!("{words}\r\n");
    let mut input = line.as_bytes();
    let reply = ReplyParser::default().next(&mut input).ok()??;
    input.is_empty().then_some(reply)
}

/// The same words, but temporary (RFC 5321 §4.2.1, 4yz).
fn later(words: &str) -> String {
    words.replacen('5', "4", 1).replacen(" 5.", " 4.", 1)
}

/// Words with which remote hosts give this reason.
fn typical(reason: Reason) -> &'static str {
    match reason {
        Reason::UserUnknown => "550 5.1.1 No such user here",
        Reason::MailboxDisabled => "550 5.2.1 This account is disabled",
        Reason::MailboxFull => "552 5.2.2 Mailbox full",
        Reason::RecipientMoved => "551 5.1.6 User has moved",
        Reason::RecipientRejected => "550 Recipient rejected",
        Reason::DomainUnknown => "550 5.1.2 Domain not found",
        Reason::DomainRefusesMail => "556 5.1.10 The domain has a null MX",
        Reason::Network => "550 Connection timed out",
        Reason::MessageTooLarge => "552 5.3.4 Message too large",
        Reason::RateLimited => "550 5.7.28 Too many messages, slow down",
        Reason::Spam => "554 5.7.1 The message is considered spam",
        Reason::ContentRejected => "550 Content rejected",
        Reason::Virus => "554 5.7.1 The message contains a virus",
        Reason::Authentication => "550 5.7.26 The message did not pass DMARC",
        Reason::Blocklisted => "554 5.7.606 Access denied, the sending address is on a blacklist",
        Reason::ReverseDns => "550 5.7.25 The sending address has no reverse DNS",
        Reason::SenderRejected => "550 5.1.8 Sender domain not found",
        Reason::Policy => "550 5.7.1 Refused for policy reasons",
        Reason::Protocol => "554 HELO command rejected",
        Reason::Tls => "530 5.7.10 Must issue a STARTTLS command first",
        Reason::RelayDenied => "554 5.7.1 Relay access denied",
        Reason::Expired => "550 5.4.7 Retry timeout exceeded",
        Reason::System => "554 5.3.0 Local error in processing",
        Reason::RoutingLoop => "554 5.4.6 Too many hops",
        Reason::Mailer => "554 The child process failed",
        Reason::Suppressed | Reason::Undetermined => "559 Not this time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_each_reason_are_judged_to_be_of_that_reason() {
        for reason in Reason::ALL {
            if matches!(reason, Reason::Suppressed) {
                continue; // No remote host says so.
            }
            let (failure, bounce) = (Failure::sample("ann@example.net"), Bounce::sample("ann@example.net"));
            let (failure, bounce) = (failure.said(typical(reason)), bounce.said(typical(reason)));
            assert_eq!(failure.verdict().reason, reason, "{:?}", failure.verdict());
            assert_eq!(bounce.verdict().reason, reason, "{:?}", bounce.verdict());
            let delay = Delay::sample("ann@example.net").reason(reason).build();
            assert!(matches!(delay.code(), Some(400..=499)));
            assert!(!delay.verdict().is_hard(), "a delay never ends an address");
        }
    }

    #[test]
    fn a_sample_is_whole_as_it_comes() {
        macro_rules! assert_whole {
            ($($view:ident: $outcome:ident),*) => {$(
                let sample = $view::sample("ann@example.net").build();
                assert_eq!((sample.recipient().as_str(), sample.verdict().outcome), ("ann@example.net", Outcome::$outcome));
                assert!(sample.delivery().issued_at() < sample.at());
                assert_eq!(sample.trust(), Some(Trust::Sealed));
            )*};
        }
        assert_whole!(
            Failure: Failed, Bounce: Failed, Delivered: Delivered, Delay: Delayed, Uncertain: Uncertain,
            Suppressed: Suppressed, Cancelled: Cancelled
        );
        let failure = Failure::sample("ann@example.net").build();
        assert_eq!((failure.code(), failure.stage()), (Some(550), Some(Stage::Rcpt)));
        assert_eq!(failure.verdict().advice, Advice::Remove);
        assert_eq!(Alert::sample("a flood of reports").build().text(), Some("a flood of reports"));
        assert_eq!(Reply::sample("ann@example.net").raw(b"Subject: hi\r\n\r\n").build().raw().unwrap().len(), 15);
    }

    #[test]
    #[should_panic(expected = "not one line of an SMTP reply")]
    fn words_without_a_code_are_refused() {
        let _ = Failure::sample("ann@example.net").said("no such user");
    }
}

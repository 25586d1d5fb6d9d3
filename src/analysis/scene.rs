//! Mail that returns nothing: which kind it is, told by its form and by who speaks in it.
//!
//! Asked where a message holds no delivery report, before its words are read as one. Every kind is told by more than
//! a phrase: a person answers or quotes, a responder names itself in fields, a list writes about its own list, a
//! digest has many lines of one form, a lure wants something opened and encloses no original. What names a recipient
//! who is not its own, and why, or encloses what was sent, is left to be read as returned mail.

use super::Kind;
use super::auto_reply::{self, Automatic};
use super::fields::Fields;
use super::labels;
use super::mailbox;
use super::original;
use super::parts::Part;
use super::prose;
use super::signs::{self, SubjectSigns, TextSigns};
use super::voice::{self, Voice};
use crate::verdict::codes_in;

/// From how many lines with a time at their start on a text is taken for a log.
const LOG_LINES: usize = 3;
/// From how many characters on a text is too long for a vacation reply that names itself nowhere else.
const LONG: usize = 2_000;

/// Up to how many characters what stands above a message that is passed on says nothing.
const SILENT: usize = 60;

/// What a message shows of itself.
pub(super) struct Scene<'s, 'm> {
    parts: &'s [Part<'m>],
    fields: &'s Fields<'m>,
    subject: SubjectSigns,
    automatic: Automatic,
    /// Without quotations.
    text: TextSigns,
    voice: Voice,
    /// The sender has a mail system's address or name.
    from_daemon: bool,
    /// `Return-Path: <>` was written at delivery.
    null_sender: bool,
    /// X-Failed-Recipients, which only mail systems write.
    failed_field: bool,
    /// It encloses the original, or its header fields.
    enclosed: bool,
    /// It names an address that is not the reader's own.
    named: bool,
    /// It quotes a code of class 4 or 5.
    code: bool,
}

impl<'s, 'm> Scene<'s, 'm> {
    /// Looks at a message: its parts, the signs of its subject, its text up to the original, what follows in the same
    /// text, and the addresses that it was sent to.
    pub(super) fn new(
        parts: &'s [Part<'m>],
        subject: SubjectSigns,
        prose: &str,
        tail: &str,
        ours: &[String],
    ) -> Option<Scene<'s, 'm>> {
        let message = parts.first()?;
        let fields = &message.fields;
        let from_daemon = is_from_daemon(fields);
        let voice = if from_daemon && !subject.reply { voice::unmarked(prose) } else { Voice::of(prose) };
        let mut text = signs::in_text(&voice.own);
        let marks = labels::marks_in(&voice.own);
        text.failed |= marks.failed;
        text.delayed |= marks.delayed;
        let named = mailbox::in_text(&voice.own)
            .any(|(_, _, address)| !mailbox::is_among(address, ours) && !is_daemon(address));
        Some(Scene {
            parts,
            fields,
            subject,
            automatic: auto_reply::read(fields, subject),
            text,
            from_daemon,
            null_sender: prose::has_null_path(fields),
            failed_field: fields.has("X-Failed-Recipients"),
            enclosed: parts.iter().skip(1).any(original::is_original) || holds_fields(tail),
            named,
            code: prose::quotes_refusal(&voice.own),
            voice,
        })
    }

    /// What the message is, if it returns nothing; `None` if its words are to be read.
    pub(super) fn kind(&self) -> Option<Kind> {
        if self.is_challenge() {
            return Some(Kind::Other);
        }
        if self.failed_field || self.calls_itself_report() || self.passes_on_silently() || self.is_data() {
            return None;
        }
        if self.is_aggregate() || self.is_calendar() || self.is_digest() {
            return Some(Kind::Other);
        }
        if self.is_moderation() || self.is_about_own_mailbox() || self.is_lure() {
            return Some(Kind::Other);
        }
        if self.is_receipt() || self.is_recall() {
            return Some(Kind::Other);
        }
        let returns = self.returns();
        if self.is_answer() && !returns {
            return Some(Kind::AutoReply);
        }
        if self.is_personal() {
            return Some(if self.answers() && !self.is_bulk() { Kind::Reply } else { Kind::Other });
        }
        let spared = self.from_daemon && returns && (self.enclosed || !self.is_mass());
        if self.is_bulk() && !spared && !self.reports_plainly() {
            return Some(Kind::Other);
        }
        let shown = self.named || self.code || self.enclosed;
        if !shown && !self.from_daemon {
            return Some(self.kind_without_findings());
        }
        // A mail system that names nobody and returns nothing tells something else.
        let says_why = (self.named || self.enclosed) && self.code;
        (!returns && !says_why && self.from_daemon && !self.names_somebody()).then_some(Kind::Other)
    }

    /// Whether a report that the message holds is not its own: a person passes it on, or it asks the sender to prove
    /// himself instead of refusing the message.
    pub(super) fn disowns_report(&self) -> bool {
        let is_report = self.parts.first().is_some_and(|message| message.report_type.is_some());
        let passed_on =
            !is_report && !self.from_daemon && !self.null_sender && self.subject.reply && self.is_personal();
        passed_on || (self.text.challenge && codes_in(&self.voice.own).code.is_none_or(|code| code < 500))
    }

    /// The kind of a message that speaks of no delivery: an answer, by a program or a person, or anything else.
    pub(super) fn kind_without_findings(&self) -> Kind {
        if self.parts.first().is_none_or(|message| message.report_type.is_some()) {
            return Kind::Other;
        }
        match self.automatic {
            Automatic::Answer => Kind::AutoReply,
            Automatic::Notice if self.answers() => Kind::AutoReply,
            Automatic::Notice => Kind::Other,
            Automatic::No if self.answers() && !self.is_bulk() => Kind::Reply,
            Automatic::No => Kind::Other,
        }
    }

    /// Whether it has what returned mail has: a system that sends it, somebody who failed and why, in words or by what
    /// is enclosed; and does not call itself an answer.
    fn returns(&self) -> bool {
        let announced = self.subject.failed || self.subject.delayed;
        let told = self.text.failed || self.text.delayed;
        let shown = self.named || self.code || self.enclosed;
        let by_system = self.from_daemon
            || ((self.null_sender || self.automatic != Automatic::No)
                && (announced || (told && (self.code || self.enclosed))));
        let answers = self.subject.answer || (!self.from_daemon && (self.text.away || self.subject.reply));
        by_system && (told || announced) && shown && !answers
    }

    /// Whether it returns something in words that nobody has listed: a mail system says so in its subject and names
    /// somebody.
    pub(super) fn returns_surely(&self) -> bool {
        self.returns() && self.subject.failed && self.named && (self.from_daemon || self.enclosed) && !self.is_mass()
    }

    /// Whether the media type says that it is a delivery report, though no part of it can be read as one.
    fn calls_itself_report(&self) -> bool {
        self.parts.first().is_some_and(|message| message.report_type.as_deref() == Some("delivery-status"))
    }

    /// Whether its text is written by a program for programs: what it says is not said in words.
    fn is_data(&self) -> bool {
        let own = self.voice.own.trim_start();
        own.starts_with('{') && (own.contains("\":") || own.contains("\" :"))
    }

    /// Whether somebody passes a message on without a word of his own, as filters and people do who hand reports to
    /// where they are read.
    fn passes_on_silently(&self) -> bool {
        let own = self.voice.own.trim();
        let silent = own.chars().count() <= SILENT && self.text.personal == 0 && !asks(own);
        self.subject.reply && !self.answered() && silent && (self.voice.quotes || self.enclosed)
    }

    /// Whether fields say which message it answers.
    fn answered(&self) -> bool {
        self.fields.has("In-Reply-To")
    }

    /// Whether it says in its subject and in its words that somebody was not reached, and wants nothing else: so speak
    /// systems that have no name of their own in the From field, also where a list passes it on to its owner.
    fn reports_plainly(&self) -> bool {
        self.subject.failed
            && self.text.failed
            && self.named
            && self.text.lures == 0
            && self.text.personal == 0
            && !self.voice.quotes
            && !self.voice.own.contains("http")
            && !asks(&self.voice.own)
    }

    /// Whether its words speak of a failure or a delay and of somebody, be it the reader himself.
    fn names_somebody(&self) -> bool {
        (self.text.failed || self.text.delayed) && (self.subject.failed || self.subject.delayed)
    }

    /// Whether the sender calls it an answer or a copy, by its subject or its fields.
    fn answers(&self) -> bool {
        self.subject.reply || self.fields.has("In-Reply-To") || self.fields.has("References")
    }

    /// Whether it was sent to many: by a list, or as a newsletter.
    fn is_bulk(&self) -> bool {
        self.is_mass()
            || self.fields.value("Precedence").is_some_and(|value| {
                ["bulk", "list", "junk"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
            })
    }

    /// Whether a list or a sender of newsletters sent it: not so by Precedence, which programs set on anything.
    fn is_mass(&self) -> bool {
        ["List-Id", "List-Unsubscribe", "List-Post", "Feedback-ID", "X-Campaign"]
            .iter()
            .any(|name| self.fields.has(name))
    }

    /// Whether a list sent it.
    fn is_list(&self) -> bool {
        self.fields.iter().any(|(name, _)| name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("List-")))
    }

    /// DMARC (RFC 7489 §7.2) and TLS (RFC 8460 §5) reports.
    fn is_aggregate(&self) -> bool {
        self.fields.has("TLS-Report-Domain")
            || self.parts.iter().any(|part| part.media.contains("tlsrpt"))
            || (self.subject.aggregate && !self.enclosed)
            || (self.parts.iter().any(|part| is_archive(&part.media) || part.media.ends_with("/xml"))
                && self.parts.iter().any(|part| file_name(part).is_some_and(|name| is_aggregate_name(&name))))
    }

    /// Invitations and the answers to them (RFC 6047).
    fn is_calendar(&self) -> bool {
        self.parts.iter().any(|part| part.media == "text/calendar")
            || (self.subject.calendar && !self.from_daemon && !self.null_sender)
    }

    /// Summaries of many deliveries, logs, output of timed jobs.
    fn is_digest(&self) -> bool {
        let timed = self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("X-Cron-Env"));
        let logged = self.voice.own.lines().filter(|line| begins_with_time(line)).take(LOG_LINES).count() == LOG_LINES;
        timed || ((logged || self.subject.digest) && !self.enclosed)
    }

    /// A sender is to prove that he is a person.
    fn is_challenge(&self) -> bool {
        (self.text.challenge || self.subject.challenge) && !self.code
    }

    /// A mailing list about a post or a subscription.
    fn is_moderation(&self) -> bool {
        let administers = self.fields.has("X-List-Administrivia") || self.fields.has("X-Mailman-Version");
        if self.subject.failed && self.text.failed && self.named {
            return false;
        }
        (self.subject.moderation && (self.text.moderation || administers || self.is_list()))
            || (self.text.moderation && !self.code && !self.subject.failed)
            || (administers && self.text.moderation)
    }

    /// A warning about the reader's own mailbox.
    fn is_about_own_mailbox(&self) -> bool {
        (self.text.quota || self.subject.quota) && !self.named && !self.enclosed && !self.code
    }

    /// Mail in the shape of a report that wants something opened.
    fn is_lure(&self) -> bool {
        if self.parts.iter().skip(1).any(original::is_original) {
            return false;
        }
        let loaded = self.parts.iter().any(is_loaded);
        let linked = self.voice.own.contains("http") || self.parts.iter().any(|part| part.media == "text/html");
        loaded
            || (linked
                && self.text.lures > 0
                && !(self.named && self.code)
                && !holds_transcript(&self.voice.own)
                && !self.enclosed)
    }

    /// The message was opened, or deleted unread: receipts without a machine-readable part.
    fn is_receipt(&self) -> bool {
        self.text.read && !self.code && !self.text.failed
    }

    /// Somebody wants a message back.
    fn is_recall(&self) -> bool {
        self.text.recall || (self.subject.recall && !self.code && !self.enclosed)
    }

    /// An automatic answer: it says so in its fields, its subject or its words, or has the form of one.
    fn is_answer(&self) -> bool {
        if self.from_daemon && (self.text.failed || self.text.delayed) {
            return false;
        }
        if self.automatic == Automatic::Answer {
            return true;
        }
        if self.is_list() {
            return false;
        }
        let unasked = self.automatic == Automatic::Notice || (self.null_sender && !self.from_daemon);
        let precedence = self
            .fields
            .value("Precedence")
            .is_some_and(|value| ["bulk", "junk"].iter().any(|word| value.trim().eq_ignore_ascii_case(word)));
        let words = self.text.away || self.text.received;
        let ticket = auto_reply::is_from_desk(self.fields);
        let made = self.automatic == Automatic::Notice && (self.null_sender || self.answers());
        if made && !self.from_daemon {
            return true;
        }
        // A responder uses the null sender, or asks not to be answered; a person does neither.
        (unasked && (words || self.text.automatic || ticket || precedence))
            || (precedence && (words || self.text.automatic))
            || (self.text.automatic && (words || self.answers()))
            || (self.text.away && self.answers() && !self.voice.quotes && self.voice.own.len() < LONG)
            || (ticket && self.text.received)
    }

    /// Whether a person wrote it.
    fn is_personal(&self) -> bool {
        if self.null_sender
            && (self.text.failed || self.text.delayed)
            && (self.named || self.code)
            && !self.voice.quotes
        {
            return false;
        }
        let answered = self.subject.reply || (self.voice.quotes && self.answers());
        if self.from_daemon {
            // A postmaster is a person too: he answers and quotes, and greets, or has nothing to return himself.
            let told = (self.text.failed || self.text.delayed) && (self.named || self.code);
            return answered && self.voice.quotes && !self.enclosed && (self.text.personal > 0 || !told);
        }
        answered
            || self.voice.quotes
            || is_written_with_a_mail_program(self.fields)
            || self.text.personal >= 2
            || (self.text.personal > 0 && !self.null_sender && !self.enclosed)
            || (asks(&self.voice.own) && !self.null_sender && !self.enclosed)
    }
}

/// Whether the From field names a mail system.
fn is_from_daemon(fields: &Fields<'_>) -> bool {
    fields.value("From").is_some_and(|from| match mailbox::in_text(&from).next() {
        Some((_, _, address)) => is_daemon(address),
        None => from.split(|c: char| c.is_whitespace() || "<>\"@()".contains(c)).any(signs::is_daemon),
    })
}

fn is_daemon(address: &str) -> bool {
    address.rsplit_once('@').is_some_and(|(local, _)| signs::is_daemon(local) || is_numbered(local))
}

/// Whether a local part ends in a long number, as those of system mailboxes do that a program has set up.
fn is_numbered(local: &str) -> bool {
    local.bytes().rev().take_while(u8::is_ascii_hexdigit).count() >= NUMBERED
}

/// How many hexadecimal digits make such a number: those of a UUID without its hyphens.
const NUMBERED: usize = 32;

/// Fields that programs for reading and writing mail add.
fn is_written_with_a_mail_program(fields: &Fields<'_>) -> bool {
    const PROGRAMS: [&str; 16] = [
        "mozilla",
        "thunderbird",
        "apple mail",
        "iphone mail",
        "ipad mail",
        "ios",
        "android",
        "outlook",
        "mutt",
        "alpine",
        "evolution",
        "kmail",
        "claws",
        "gnus",
        "roundcube",
        "webmail",
    ];
    ["User-Agent", "X-Mailer"].iter().filter_map(|name| fields.value(name)).any(|value| {
        let value = value.to_ascii_lowercase();
        PROGRAMS.iter().any(|program| value.contains(program))
    })
}

/// Whether a text holds header fields of a message: a returned original without a part of its own.
fn holds_fields(tail: &str) -> bool {
    tail.lines()
        .take(40)
        .filter(|line| {
            ["from:", "to:", "subject:", "date:", "received:", "message-id:", "return-path:", "mime-version:"]
                .iter()
                .any(|name| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        })
        .take(2)
        .count()
        == 2
}

/// Whether a text holds a question: the sign at the end of a word, and not in an address of the web.
fn asks(text: &str) -> bool {
    text.split(['?', '\u{37e}', '\u{61f}', '\u{ff1f}']).skip(1).any(|after| {
        after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || "!?)\"'\u{bb}\u{201d}".contains(c))
    })
}

/// Whether a text shows a conversation between mail hosts.
fn holds_transcript(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(">>> ") || line.starts_with("<<< "))
}

/// Whether a line begins with a date or a time, as lines of logs do.
fn begins_with_time(line: &str) -> bool {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let line = line.trim_start_matches([' ', '\t', '[']);
    let digits =
        |from: usize, to: usize| line.get(from..to).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let clock =
        |from: usize| digits(from, from + 2) && line.get(from + 2..from + 3) == Some(":") && digits(from + 3, from + 5);
    (line.get(..3).is_some_and(|month| MONTHS.contains(&month)) && clock(7))
        || (digits(0, 4) && matches!(line.get(4..5), Some("-" | "/" | ".")) && clock(11))
        || (clock(0) && line.get(5..6) == Some(":"))
}

/// A file that a report never holds: an archive, a page, a program.
fn is_loaded(part: &Part<'_>) -> bool {
    const ENDINGS: [&str; 26] = [
        ".zip", ".rar", ".7z", ".gz", ".arj", ".ace", ".cab", ".iso", ".img", ".exe", ".scr", ".pif", ".com", ".bat",
        ".cmd", ".js", ".vbs", ".jar", ".lnk", ".htm", ".html", ".shtml", ".svg", ".docm", ".xlsm", ".one",
    ];
    is_archive(&part.media) || file_name(part).is_some_and(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

fn is_archive(media: &str) -> bool {
    matches!(
        media,
        "application/zip"
            | "application/x-zip"
            | "application/x-zip-compressed"
            | "application/gzip"
            | "application/x-gzip"
            | "application/x-rar-compressed"
            | "application/vnd.rar"
            | "application/x-msdownload"
            | "application/x-7z-compressed"
    )
}

/// The name of an attached file, in lower case.
fn file_name(part: &Part<'_>) -> Option<String> {
    ["Content-Disposition", "Content-Type"].iter().find_map(|field| {
        let value = part.fields.value(field)?.to_ascii_lowercase();
        let at = ["filename=", "filename*=", "name=", "name*="]
            .iter()
            .find_map(|name| value.find(name).map(|at| at + name.len()))?;
        let name = value.get(at..)?.trim_start_matches(['"', ' ']);
        Some(name.split(['"', ';']).next().unwrap_or_default().trim().to_string())
    })
}

/// The name that RFC 7489 §7.2.1.1 gives to a report: receiver, domain, begin and end, with exclamation marks between.
fn is_aggregate_name(name: &str) -> bool {
    name.split('!').count() >= 4
}

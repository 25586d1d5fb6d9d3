//! What is known of particular mail systems: one file for each, as data where it can be.
//!
//! Read only where a message has no machine-readable report, before the general reader of prose. A form adds what
//! structure alone cannot tell: that a text of unknown words is a report, where in it the failed address stands, and
//! which of its lines are the remote host's. The general reader must do without any of them
//! ([`Options::without_dialects`](super::Options::without_dialects)).

mod form;
mod notification;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::prose::{self, Mention, Setting};
pub(super) use form::Form;
use form::Sign;

/// How much of a text is searched for the signs of a form, in bytes: they stand in its first paragraphs.
const MAX_SEARCHED: usize = 4 * 1024;

macro_rules! dialects {
    ($($file:ident),* $(,)?) => {
        $(mod $file;)*

        /// The forms, in the order in which they are asked.
        static FORMS: &[&Form] = &[$(&$file::FORM),*];

        #[cfg(test)]
        static SAMPLES: &[(&str, &[tests::Sample])] = &[$((stringify!($file), $file::SAMPLES)),*];
    };
}

// A form that others have taken over, word for word, stands below those that add to it.
dialects!(
    activehunter,
    mfilter,
    oneandone,
    mxlogic,
    zoho,
    mcafee,
    biglobe,
    interscan,
    chasquid,
    haraka,
    nullmailer,
    james,
    messagelabs,
    symantec,
    mimecast,
    mdaemon,
    ecelerity,
    facebook,
    mailru,
    tencent,
    netease,
    docomo,
    ezweb,
    aol,
    yahoo,
    gmail,
    workmail,
    hmailserver,
    mailenable,
    exchange,
    exchange_old,
    domino,
    groupwise,
    imail,
    barracuda,
    messagingserver,
    kerio,
    surgemail,
    icewarp,
    communigate,
    xmail,
    verizon,
    courier,
    opensmtpd,
    dma,
    exim,
    sendmail,
    postfix,
    qmail,
);

static SIGNS: LazyLock<TextSigns> = LazyLock::new(TextSigns::new);

/// The words that tell forms, looked for in one pass.
struct TextSigns {
    forms: Vec<usize>,
    words: Option<AhoCorasick>,
}

impl TextSigns {
    fn new() -> TextSigns {
        let (mut forms, mut words) = (Vec::new(), Vec::new());
        for (place, form) in FORMS.iter().enumerate() {
            for sign in form.signs {
                if let Sign::Text(text) = sign {
                    forms.push(place);
                    words.push(*text);
                }
            }
        }
        TextSigns { forms, words: AhoCorasick::new(words).ok() }
    }
}

/// Reads a text in the form of the system that wrote it. Empty if none is known, or if it does not return mail.
pub(super) fn read(text: &str, setting: &Setting<'_, '_>) -> Vec<Mention> {
    if setting.subject.reply || setting.subject.answer {
        return Vec::new();
    }
    let lower = text.to_ascii_lowercase();
    if let Some(mentions) = notification::read(text) {
        return mentions;
    }
    let announced = prose::is_announced(setting);
    let Some(form) = form_of(&lower, setting, announced) else { return Vec::new() };
    form.read(text, &lower, setting)
}

/// Whose form it is. What stands in the text counts only where something around it says that mail comes back.
fn form_of(lower: &str, setting: &Setting<'_, '_>, announced: bool) -> Option<&'static Form> {
    let searched = &lower[..lower.floor_char_boundary(MAX_SEARCHED)];
    let mut in_text = vec![false; FORMS.len()];
    if announced {
        for hit in SIGNS.words.iter().flat_map(|words| words.find_overlapping_iter(searched)) {
            let line = searched[..hit.start()].rfind('\n').map_or(0, |at| at + 1);
            let quoted = searched.get(line..).is_some_and(|line| line.starts_with('>'));
            if let (Some(place), false) = (SIGNS.forms.get(hit.pattern().as_usize()), quoted)
                && let Some(found) = in_text.get_mut(*place)
            {
                *found = true;
            }
        }
    }
    let value = |name: &str| setting.fields.value(name).map(|value| value.to_lowercase()).unwrap_or_default();
    let (from, subject) = (value("From"), setting.fields.text("Subject").unwrap_or_default().to_lowercase());
    FORMS.iter().zip(in_text).find_map(|(form, in_text)| {
        let told = form.signs.iter().any(|sign| match sign {
            Sign::Text(_) => in_text,
            Sign::From(words) => from.contains(words),
            Sign::Subject(words) => subject.starts_with(words),
            Sign::Field(name) => setting.fields.has(name),
            Sign::FieldHas(name, words) => value(name).contains(words),
        });
        told.then_some(*form)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fields::Fields;
    use crate::analysis::signs::in_subject;
    use crate::verdict::Outcome;

    /// A report in the form of one system, and what is to be read in it.
    pub(super) struct Sample {
        pub(super) head: &'static str,
        pub(super) text: &'static str,
        /// The failed addresses.
        pub(super) recipients: &'static [&'static str],
        /// A piece of the first one's reason.
        pub(super) says: &'static str,
        pub(super) outcome: Outcome,
    }

    #[test]
    fn each_form_is_read() {
        let mut wrong = Vec::new();
        for (file, samples) in SAMPLES {
            assert!(!samples.is_empty(), "{file} has no sample");
            for sample in *samples {
                let head = format!("{}To: <b-tok@send.example>\n", sample.head);
                let (fields, _) = Fields::read(head.as_bytes());
                let setting = Setting {
                    fields: &fields,
                    subject: in_subject(&fields.text("Subject").unwrap_or_default()),
                    ours: &["b-tok@send.example".to_string()],
                    is_report: false,
                    is_answer: false,
                    returns: false,
                };
                let mentions = read(sample.text, &setting);
                let named: Vec<&str> = mentions.iter().filter_map(|mention| mention.recipient.as_deref()).collect();
                let right = named == sample.recipients
                    && mentions.iter().all(|mention| mention.outcome == sample.outcome)
                    && mentions.first().is_some_and(|mention| mention.reason.contains(sample.says));
                if !right {
                    wrong.push(format!("{file}: {}\n{mentions:?}", sample.text));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn signs_are_in_lower_case_and_names_are_told_once() {
        let mut names = std::collections::HashSet::new();
        for (form, (name, _)) in FORMS.iter().zip(SAMPLES) {
            assert!(names.insert(name), "{name} stands twice");
            assert!(!form.signs.is_empty(), "{name}");
            let words = form.recipients.iter().chain(form.replies).chain(form.ends).chain(form.delayed);
            for words in words {
                assert_eq!(*words, words.to_ascii_lowercase(), "{name}");
            }
        }
    }

    #[test]
    fn who_quotes_a_form_does_not_write_it() {
        let text = "What is this?\n> Hi. This is the qmail-send program at mx.example.\n> <ann@example.net>:\n> no\n";
        let (fields, _) = Fields::read(b"From: ann@example.net\nSubject: Re: failure notice\n");
        let subject = in_subject("Re: failure notice");
        let setting =
            Setting { fields: &fields, subject, ours: &[], is_report: false, is_answer: false, returns: false };
        assert!(read(text, &setting).is_empty());
    }
}

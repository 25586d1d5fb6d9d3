//! The form of one mail system's reports, as data, and the one reader of all forms.

use crate::analysis::mailbox;
use crate::analysis::prose::{self, Mention, Setting};
use crate::verdict::Outcome;

/// How far behind its announcement an address may stand, how long a reply is at most, in bytes, and how many
/// recipients are read.
const MAX_DISTANCE: usize = 400;
const MAX_REPLY: usize = 2 * 1024;
const MAX_RECIPIENTS: usize = 50;

/// How a mail system writes its reports. Words are in lower case as far as they are ASCII, and as the system writes
/// them beyond that.
pub(in crate::analysis) struct Form {
    /// One of these tells the form.
    pub(super) signs: &'static [Sign],
    /// Words that the failed address, or a list of them, follows. Empty: each stands at the start of a line, or where
    /// a sentence speaks of it.
    pub(super) recipients: &'static [&'static str],
    /// Words that the remote host's reply follows.
    pub(super) replies: &'static [&'static str],
    /// Words at which the reply ends.
    pub(super) ends: &'static [&'static str],
    /// Words that say the message is only late.
    pub(super) delayed: &'static [&'static str],
    /// Whether users of the reporting system are named without their domain.
    pub(super) bare_names: bool,
}

/// What tells a form.
pub(super) enum Sign {
    /// Words in the text, not in a quoted line.
    Text(&'static str),
    /// Words in the From field.
    From(&'static str),
    /// How the subject begins.
    Subject(&'static str),
    /// A field that only this system writes.
    Field(&'static str),
    /// Words in a field.
    FieldHas(&'static str, &'static str),
}

impl Form {
    /// A form without signs, whose reports the general reader can read: what a form does not say of itself.
    pub(super) const PLAIN: Form =
        Form { signs: &[], recipients: &[], replies: &[], ends: &[], delayed: &[], bare_names: false };

    /// Reads a text in this form. `lower` is the text in lower case as far as it is ASCII.
    pub(super) fn read(&self, text: &str, lower: &str, setting: &Setting<'_, '_>) -> Vec<Mention> {
        let late = self.delayed.iter().any(|words| lower.contains(words));
        let outcome = late.then_some(Outcome::Delayed);
        let mut mentions = self.announced(text, lower, setting, outcome.unwrap_or(Outcome::Failed));
        if mentions.is_empty() {
            mentions = prose::read_known(text, setting, outcome);
        }
        let single = mentions.len() == 1;
        for mention in &mut mentions {
            let said = mention.reason.to_ascii_lowercase();
            let reply = match self.reply_in(&said) {
                Some((start, end)) => mention.reason.get(start..end),
                // Before the address, or above all of them: with one recipient it is still its own.
                None if single && !prose::quotes_refusal(&mention.reason) => {
                    self.reply_in(lower).and_then(|(start, end)| text.get(start..end))
                }
                None => None,
            };
            if let Some(reply) = reply.map(str::trim).filter(|reply| !reply.is_empty()) {
                mention.reason = reply.to_string();
            }
        }
        mentions
    }

    /// The addresses that stand behind an announcement, each with the words from there to the next one.
    fn announced(&self, text: &str, lower: &str, setting: &Setting<'_, '_>, outcome: Outcome) -> Vec<Mention> {
        let mut places: Vec<usize> = Vec::new();
        for words in self.recipients {
            places.extend(lower.match_indices(words).map(|(at, _)| at + words.len()).take(MAX_RECIPIENTS));
        }
        places.sort_unstable();
        places.truncate(MAX_RECIPIENTS);
        let mut mentions: Vec<Mention> = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let end = places.get(number + 1).copied().unwrap_or(text.len());
            let Some(region) = text.get(*place..end) else { continue };
            for (address, rest) in self.addresses(region, setting) {
                let has_room = mentions.len() < MAX_RECIPIENTS;
                match mentions.iter_mut().find(|mention| mention.recipient.as_deref() == Some(address.as_str())) {
                    Some(known) if known.reason.len() + rest.len() < MAX_REPLY => {
                        known.reason.push('\n');
                        known.reason.push_str(rest);
                    }
                    Some(_) => {}
                    None if has_room => {
                        let reason = rest[..rest.floor_char_boundary(MAX_REPLY)].to_string();
                        mentions.push(Mention { recipient: Some(address), outcome, reason });
                    }
                    None => {}
                }
            }
        }
        mentions
    }

    /// The first address of a region, and those that stand below it in a list; each with what follows the list.
    fn addresses<'t>(&self, region: &'t str, setting: &Setting<'_, '_>) -> Vec<(String, &'t str)> {
        let near = &region[..region.floor_char_boundary(MAX_DISTANCE)];
        let first = mailbox::in_text(near).find(|(_, _, address)| prose::may_have_failed(address, setting));
        let Some((start, end, address)) = first else {
            let name =
                if self.bare_names { prose::bare_name(&["x:\n", region].concat(), setting.fields) } else { None };
            return name.map(|name| vec![(name, region)]).unwrap_or_default();
        };
        let mut found = vec![address.to_string()];
        let mut at = end;
        // More of them, each on a line of its own directly below.
        let mut line_start = region[..start].rfind('\n').map_or(0, |before| before + 1);
        for line in region.get(line_start..).unwrap_or_default().split_inclusive('\n').take(MAX_RECIPIENTS) {
            let Some(address) = alone(line) else { break };
            if prose::may_have_failed(address, setting) && !mailbox::is_among(address, &found) {
                found.push(address.to_string());
            }
            line_start += line.len();
            at = at.max(line_start);
        }
        let rest = region.get(at..).unwrap_or_default();
        found.into_iter().map(|address| (address, rest)).collect()
    }

    /// Where the reply begins and ends in a text in lower case.
    fn reply_in(&self, lower: &str) -> Option<(usize, usize)> {
        let start = self.replies.iter().filter_map(|words| Some(lower.find(words)? + words.len())).min()?;
        let rest = lower.get(start..)?;
        let led = rest.len() - rest.trim_start().len();
        let paragraph = rest.get(led..)?.find("\n\n").map_or(rest.len(), |at| at + led);
        let marked = self.ends.iter().filter_map(|words| rest.find(words)).min().unwrap_or(rest.len());
        let end = start + paragraph.min(marked).min(rest.floor_char_boundary(MAX_REPLY));
        (end > start).then_some((start, end))
    }
}

/// The address that a line has nothing but.
fn alone(line: &str) -> Option<&str> {
    let (start, end, address) = mailbox::in_text(line).next()?;
    let around = |text: &str| text.chars().all(|c| !c.is_alphanumeric());
    (around(&line[..start]) && around(&line[end..])).then_some(address)
}

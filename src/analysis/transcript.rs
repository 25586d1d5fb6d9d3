//! Transcripts of a conversation (RFC 5321) that some systems put into their reports: which reply belongs to which
//! recipient.
//!
//! The forms differ in what marks a side only: `>>>` and `<<<`, `In:` and `Out:`, `C:` and `S:`, `->` and `<-`.

use super::mailbox;

/// How many lines one reply may have, and how many refusals are read.
const MAX_REPLY_LINES: usize = 20;
const MAX_REFUSALS: usize = 50;

/// Whether a text is the transcript of a conversation in which the reporting host answered: what it refused there never
/// was in its hands.
pub(super) fn is_of_server(text: &str) -> bool {
    text.lines()
        .map(str::trim_start)
        .find(|line| line.starts_with("Out:") || line.starts_with("In:"))
        .is_some_and(|line| said(line, &["Out:"]).is_some_and(|answer| answer.starts_with("220")))
}

/// The recipients whose RCPT was refused, each with the reply; with one recipient, the refusal of a later command too.
pub(super) fn refusals(text: &str) -> Vec<(String, String)> {
    let mut refused: Vec<(String, String)> = Vec::new();
    let mut asked: Vec<String> = Vec::new();
    // The recipient that the next reply answers; `None` within it after another command.
    let mut waiting: Option<String> = None;
    let mut reply = String::new();
    let mut lines_of_reply = 0;
    let by_server = is_of_server(text);
    for line in text.lines() {
        let line = line.trim();
        if let Some(command) = said(line, &ASKED) {
            waiting = recipient(command);
            if let Some(address) = &waiting
                && asked.len() < MAX_REFUSALS
            {
                asked.push(address.clone());
            }
            reply.clear();
            lines_of_reply = 0;
        } else if let Some(answer) = said(line, &ANSWERED)
            && lines_of_reply < MAX_REPLY_LINES
            && is_refusal(answer)
        {
            lines_of_reply += 1;
            let goes_on = answer.as_bytes().get(3) == Some(&b'-');
            if !reply.is_empty() {
                reply.push('\n');
            }
            reply.push_str(answer);
            if goes_on {
                continue;
            }
            let whole = std::mem::take(&mut reply);
            if by_server && waiting.is_some() {
                asked.retain(|address| waiting.as_ref() != Some(address));
                waiting = None;
                continue;
            }
            let of = waiting.take().or_else(|| match asked.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            });
            if let Some(address) = of
                && refused.len() < MAX_REFUSALS
                && !refused.iter().any(|(known, _)| mailbox::same(known, &address))
            {
                refused.push((address, whole));
            }
        }
    }
    refused
}

/// What marks the two sides.
const ASKED: [&str; 7] = [">>>", "In:", "C:", "->", "CLIENT:", "SMTP>", "=>"];
const ANSWERED: [&str; 7] = ["<<<", "Out:", "S:", "<-", "SERVER:", "SMTP<", "<="];

fn said<'l>(line: &'l str, marks: &[&str]) -> Option<&'l str> {
    marks.iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim_start)
}

fn recipient(command: &str) -> Option<String> {
    let rest = command.get(..8).filter(|verb| verb.eq_ignore_ascii_case("RCPT TO:")).and_then(|_| command.get(8..))?;
    mailbox::in_text(rest).next().map(|found| found.2.to_string())
}

fn is_refusal(answer: &str) -> bool {
    matches!(answer.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..])
        || (answer.len() == 3 && answer.bytes().all(|b| b.is_ascii_digit()) && answer.starts_with(['4', '5']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_reply_belongs_to_the_recipient_before_it() {
        for (ask, answer) in [(">>>", "<<<"), (" In: ", " Out:"), ("C:", "S:"), ("->", "<-")] {
            let text = format!(
                "{ask} MAIL FROM:<b@send.example>\n{answer} 250 ok\n{ask} RCPT TO:<ann@example.net> X=1\n{answer} 550-5.1.1 no\n\
                 {answer} 550 5.1.1 such user\n{ask} RCPT To:<bob@example.net>\n{answer} 250 ok\n{ask} DATA\n{answer} 554 5.7.1 no\n"
            );
            assert_eq!(
                refusals(&text),
                [("ann@example.net".to_string(), "550-5.1.1 no\n550 5.1.1 such user".to_string())],
                "{ask}"
            );
        }
    }

    #[test]
    fn with_one_recipient_a_later_refusal_is_its_own() {
        let text = ">>> RCPT To:<ann@example.net>\n<<< 250 ok\n>>> DATA\n<<< 354 go\n<<< 554 5.7.1 no\n";
        assert_eq!(refusals(text), [("ann@example.net".to_string(), "554 5.7.1 no".to_string())]);
        assert!(refusals("RCPT TO:<ann@example.net>\n550 no\n").is_empty());
    }

    #[test]
    fn what_a_server_refused_was_never_in_its_hands() {
        let begin = " Out: 220 mx.example.net\n In:  RCPT TO:<ann@example.net>\n";
        assert!(refusals(&format!("{begin} Out: 550 5.1.1 no\n")).is_empty());
        let lost = format!("{begin} Out: 250 ok\n In:  DATA\n Out: 354 go\n Out: 451 4.3.0 queue file write error\n");
        assert_eq!(refusals(&lost).len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((>>>|<<<|In:|Out:) ?(RCPT TO:<a@b.c>|[2-5][0-9]{2}[ -]?|DATA)\n){0,30}") {
            let _ = refusals(&text);
        }
    }
}

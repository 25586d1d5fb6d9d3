//! Header fields of the application's own: which it may write, and what their values may be.
//!
//! RFC 5322 §3.6.8 for names, RFC 3834 §5 and RFC 2919 §3 for the two fields with a syntax that is checked here.

use super::headers::{InvalidMessage, is_field_name};

/// Checks a field that the application names itself.
pub(super) fn field(name: String, value: String) -> Result<(String, String), InvalidMessage> {
    if !is_field_name(&name) || name.len() > MAX_FIELD_NAME {
        let shown: String = name.chars().take(40).collect();
        let rule =
            format!("the name {shown:?} is not 1 to {MAX_FIELD_NAME} printable ASCII characters without a colon");
        return Err(InvalidMessage::new("header", rule));
    }
    if let Some((_, rule)) = RESERVED.iter().find(|(reserved, _)| reserved.eq_ignore_ascii_case(&name)) {
        return Err(InvalidMessage::new(name, *rule));
    }
    if has_control(&value) {
        return Err(InvalidMessage::new(name, CONTROL_IN_VALUE));
    }
    if !value.is_ascii() && STRUCTURED.iter().any(|structured| structured.eq_ignore_ascii_case(&name)) {
        return Err(InvalidMessage::new(name, "this field holds ids or addresses and must be ASCII"));
    }
    Ok((name, value.trim().into()))
}

/// The Auto-Submitted field.
pub(super) fn auto_submitted(keyword: &str) -> Result<(String, String), InvalidMessage> {
    if !AUTO_SUBMITTED.contains(&keyword) {
        let rule = "the keyword is not one of auto-generated, auto-replied, auto-notified, no";
        return Err(InvalidMessage::new("auto_submitted", rule));
    }
    Ok(("Auto-Submitted".into(), keyword.into()))
}

/// The List-Id field of `phrase <id>` or `id`.
pub(super) fn list_id(given: &str) -> Result<(String, String), InvalidMessage> {
    let refuse = |rule| Err(InvalidMessage::new("list_id", rule));
    let given = given.trim();
    let (phrase, id) = match given.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((phrase, id)) => (phrase.trim(), id),
        None => ("", given),
    };
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+".contains(&b));
    if id.len() > MAX_LIST_ID || !id.contains('.') || !id.split('.').all(label) {
        return refuse("the id is not a name like `news.example.org` of at most 255 characters");
    }
    let phrase = phrase.trim_matches('"');
    if !phrase.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\"\\<>".contains(&b)) {
        return refuse("the description is not plain ASCII without quotes and angle brackets");
    }
    let value = if phrase.is_empty() { format!("<{id}>") } else { format!("\"{phrase}\" <{id}>") };
    Ok(("List-Id".into(), value))
}

/// Whether a value could end its field, or holds another control character that no field may hold.
pub(super) fn has_control(value: &str) -> bool {
    value.chars().any(|c| c.is_control() && c != '\t')
}

pub(super) const CONTROL_IN_VALUE: &str =
    "has a line break or another control character (this would inject header fields)";

/// RFC 2919 §3.
const MAX_LIST_ID: usize = 255;
/// In octets: with its colon it must leave room on a line of 78.
const MAX_FIELD_NAME: usize = 76;
/// The registered keywords (RFC 3834 §5, RFC 5436 §2.7.1).
const AUTO_SUBMITTED: [&str; 4] = ["auto-generated", "auto-replied", "auto-notified", "no"];

/// Fields that [`MessageBuilder::header`] refuses, and what to do instead.
const RESERVED: [(&str, &str); 21] = [
    ("From", "use `from`"),
    ("To", "use `to`"),
    ("Cc", "use `cc`"),
    ("Bcc", "use `bcc`: the field itself would show the addresses"),
    ("Resent-Bcc", "use `bcc`: the field itself would show the addresses"),
    ("Reply-To", "use `reply_to`"),
    ("Subject", "use `subject`"),
    ("Auto-Submitted", "use `auto_submitted`"),
    ("List-Id", "use `list_id`"),
    ("Return-Path", RETURN_PATH),
    ("Received", "hosts on the way write this field"),
    ("Authentication-Results", "receiving hosts write this field"),
    ("Delivered-To", "receiving hosts write this field"),
    ("DKIM-Signature", "a message that is signed already is given by `Message::raw`"),
    ("ARC-Seal", "a message that is sealed already is given by `Message::raw`"),
    ("ARC-Message-Signature", "a message that is sealed already is given by `Message::raw`"),
    ("MIME-Version", "it is written with the content"),
    ("Content-Type", "it is written with the content; a message of your own making is given by `Message::raw`"),
    ("Content-Transfer-Encoding", "it is written with the content"),
    ("Content-Disposition", "it is written with the content"),
    ("Content-ID", "it is written with the content"),
];

/// Why a Return-Path field is refused, wherever it comes from.
pub(super) const RETURN_PATH: &str = "the last host writes this field from the envelope, whose sender is the sealed return path; \
     remove it, and use `return_domain` to choose the domain";

/// Fields whose words are ids, addresses or addresses of the web: an encoded word may not stand in them.
const STRUCTURED: [&str; 14] = [
    "Message-ID",
    "In-Reply-To",
    "References",
    "Date",
    "Sender",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Help",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Precedence",
    "Feedback-ID",
];

//! Mail addresses as reports write them, and as they stand in running text.
//!
//! What is found here is compared and shown, never put into a command, so it is a plain string: a report may name an
//! address that we would not send to.

use std::borrow::Cow;

/// The longest path (RFC 5321 §4.5.3.1.3), with room for what reports write around it.
const MAX_LENGTH: usize = 320;

/// The address in a Final-Recipient or Original-Recipient field, or in a field of that kind: without its type
/// (`rfc822;`, RFC 3464 §2.3.2), comments, brackets and xtext (RFC 3461 §4) or unitext (RFC 6533 §3). A bare local
/// part is answered as it is. `None` if nothing is left.
pub(super) fn in_field(value: &str) -> Option<String> {
    if let Some(inner) = unwrapped(value.trim()) {
        return Some(inner);
    }
    // Some write the type twice, some write none; a semicolon may also end the value, or stand within a quoted part.
    let typed = value.find('"').map_or(value, |quote| &value[..quote]);
    let mut address = match typed.rfind(';') {
        Some(semicolon) if value[semicolon + 1..].trim().is_empty() => {
            let before = value[..semicolon].trim_end_matches(';');
            let rest = before.rsplit(';').next().unwrap_or(before).trim();
            if !rest.contains('@') && !before.contains(';') {
                return None;
            }
            rest
        }
        Some(semicolon) => value[semicolon + 1..].trim(),
        None => value.trim(),
    };
    if let (Some(open), Some(close)) = (address.find('<'), address.rfind('>'))
        && open < close
    {
        address = &address[open + 1..close];
    }
    let uncommented = without_comments(address);
    let mut address = uncommented.trim().trim_matches(|c: char| matches!(c, '<' | '>' | ',') || c.is_whitespace());
    for scheme in ["smtp:", "mailto:", "smtp="] {
        if address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
            address = &address[scheme.len()..];
        }
    }
    let unescaped = xtext(address);
    let decoded = unitext(&unescaped);
    let decoded = decoded.trim();
    let decoded = unwrapped(decoded).map_or(Cow::Borrowed(decoded), Cow::Owned);
    let fits = !decoded.is_empty() && decoded.len() <= MAX_LENGTH && !decoded.contains(char::is_whitespace);
    // A quoted local part may hold white space (RFC 5321 §4.1.2).
    (fits || (decoded.starts_with('"') && decoded.len() <= MAX_LENGTH)).then(|| decoded.into_owned())
}

/// The SMTP address inside a form of another mail world, where it holds one: an encapsulated address
/// (`IMCEASMTP-ann+40example+2Enet@gateway.example`), an X.400 name with a domain-defined attribute
/// (`c=us;a= ;dda:SMTP=ann(a)example.net;`). `None` if it is a plain address, or a name that holds none.
fn unwrapped(address: &str) -> Option<String> {
    const CAPSULES: [&str; 2] = ["imceasmtp-", "imcearfc822-"];
    if let Some(capsule) =
        CAPSULES.iter().find(|capsule| address.get(..capsule.len()).is_some_and(|at| at.eq_ignore_ascii_case(capsule)))
    {
        let inner = address.get(capsule.len()..)?.rsplit_once('@')?.0;
        return plus_decoded(inner).filter(|inner| in_text(inner).next().is_some_and(|found| found.2 == inner));
    }
    let lower = address.to_ascii_lowercase();
    let at = ["dda:smtp=", "rfc-822=", "rfc822=", "dd.rfc-822=", "/smtp="]
        .iter()
        .find_map(|attribute| lower.find(attribute).map(|at| at + attribute.len()))?;
    let value = address.get(at..)?.split([';', '/']).next()?.replace("(a)", "@").replace("(A)", "@");
    in_text(&value).next().filter(|found| found.2.len() == value.trim().len()).map(|found| found.2.to_string())
}

/// Undoes `+40` for `@` and its like: how gateways hide what a local part may not hold.
fn plus_decoded(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('+') {
        plain.push_str(before);
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii_graphic)?;
        plain.push(char::from(code));
        rest = after.get(2..)?;
    }
    plain.push_str(rest);
    Some(plain)
}

/// The addresses in a text, in order, each with where it starts and where it ends. Only what has a local part and a
/// domain with a dot: a tag, a time or a message id in brackets is none.
pub(super) fn in_text(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(at) = text.get(from..)?.find('@').map(|at| at + from) {
            let start = match quoted_start(&text[from..at]) {
                Some(quote) => from + quote,
                None => text[from..at].rfind(|c: char| !is_local(c)).map_or(from, |before| {
                    let before = before + from;
                    before + text[before..].chars().next().map_or(1, char::len_utf8)
                }),
            };
            let length = text[at + 1..].find(|c: char| !is_domain(c)).unwrap_or(text.len() - at - 1);
            let end = at + 1 + text[at + 1..at + 1 + length].trim_end_matches(['.', '-']).len();
            from = end.max(at + 1);
            // Quotation marks, the hyphens of a list and the name of an attribute belong to the text around.
            let local = text[start..at].trim_start_matches(['\'', '`', '-', '*', '/', '|', '{']);
            let local = without_attribute(local);
            // An encoded word (RFC 2047) as a local part begins with an equals sign; else one belongs to the text.
            let local = if local.starts_with("=?") { local } else { local.trim_start_matches('=') };
            let start = at - local.len();
            if !local.is_empty() && is_domain_name(&text[at + 1..end]) && end - start <= MAX_LENGTH {
                return Some((start, end, &text[start..end]));
            }
        }
        None
    })
}

/// Where a quoted local part (RFC 5321 §4.1.2) begins that ends at the end of this text.
fn quoted_start(text: &str) -> Option<usize> {
    const MAX_LOCAL: usize = 66;
    let inner = text.strip_suffix('"')?;
    let window = inner.ceil_char_boundary(inner.len().saturating_sub(MAX_LOCAL));
    let open = window + inner[window..].rfind('"')?;
    let fits = open + 1 < inner.len() && !inner[open + 1..].contains(['\r', '\n', '<', '>', '@']);
    // `"Ann" "b"@`: the quotation mark opens only where no word ends.
    (fits && !text[..open].ends_with(|c: char| c.is_alphanumeric())).then_some(open)
}

/// Takes the name of an attribute off: `SMTP=ann`, `dda:SMTP=ann`.
fn without_attribute(local: &str) -> &str {
    ["SMTP=", "smtp=", "RFC822=", "rfc822=", "RFC-822="]
        .iter()
        .find_map(|name| local.rfind(name).map(|at| &local[at + name.len()..]))
        .unwrap_or(local)
}

/// Whether two addresses are the same for a reader: case does not count.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Whether an address is one of these.
pub(super) fn is_among(address: &str, known: &[String]) -> bool {
    known.iter().any(|known| same(known, address))
}

fn is_local(c: char) -> bool {
    c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || c == '.' || c == '-'
}

fn is_domain_name(domain: &str) -> bool {
    let mut labels = domain.split('.');
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.contains('.')
        && labels.all(|label| !label.is_empty() && label.len() <= 63)
        && last.chars().any(char::is_alphabetic)
}

/// Takes comments in parentheses off, unless the parentheses are all there is.
fn without_comments(text: &str) -> Cow<'_, str> {
    if !text.contains('(') || text.starts_with('"') {
        return Cow::Borrowed(text);
    }
    let mut depth = 0_usize;
    let kept: String = text
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' if depth > 0 => {
                    depth -= 1;
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect();
    if kept.trim().is_empty() { Cow::Borrowed(text) } else { Cow::Owned(kept) }
}

/// xtext escapes only `+`, `=` and what is not printable (RFC 3461 §4). Only the first two can stand in an address, so
/// only they are undone: `ann+24` is more likely a tag than an escape.
fn xtext(text: &str) -> Cow<'_, str> {
    if text.contains("+2B") || text.contains("+3D") {
        Cow::Owned(text.replace("+3D", "=").replace("+2B", "+"))
    } else {
        Cow::Borrowed(text)
    }
}

/// `\x{E9}` stands for é where the report had to be ASCII (RFC 6533 §3).
fn unitext(text: &str) -> Cow<'_, str> {
    if !text.contains("\\x{") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        plain.push_str(before);
        let decoded = after.split_once('}').and_then(|(hex, after)| {
            let code = (hex.len() <= 6).then(|| u32::from_str_radix(hex, 16).ok())??;
            Some((char::from_u32(code)?, after))
        });
        match decoded {
            Some((c, after)) => {
                plain.push(c);
                rest = after;
            }
            None => {
                plain.push_str("\\x{");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_give_their_address() {
        for (value, address) in [
            ("rfc822; ann@example.net", Some("ann@example.net")),
            ("RFC822;<ann@example.net>", Some("ann@example.net")),
            ("rfc822;rfc822;ann@example.net", Some("ann@example.net")),
            ("ann@example.net", Some("ann@example.net")),
            ("rfc822; ann@example.net (Ann)", Some("ann@example.net")),
            ("rfc822; ann+2Bnews@example.net", Some("ann+news@example.net")),
            ("rfc822; ann+24@example.net", Some("ann+24@example.net")),
            ("utf-8; jos\\x{E9}@example.net", Some("jos\u{e9}@example.net")),
            ("utf-8; jos\u{e9}@example.net", Some("jos\u{e9}@example.net")),
            ("rfc822; \"john smith\"@example.net", Some("\"john smith\"@example.net")),
            ("local; ann", Some("ann")),
            ("rfc822; \"a; b\"@example.net", Some("\"a; b\"@example.net")),
            ("rfc822; IMCEASMTP-ann+40example+2Enet@gw.example.org", Some("ann@example.net")),
            ("rfc822; IMCEAEX-_O=ORG_CN=ANN@gw.example.org", Some("IMCEAEX-_O=ORG_CN=ANN@gw.example.org")),
            ("x400; c=us;a= ;p=x;dda:SMTP=ann(a)example.net;", Some("ann@example.net")),
            ("rfc822; ann@example.net;", Some("ann@example.net")),
            ("rfc822; mailto:ann@example.net", Some("ann@example.net")),
            ("rfc822;", None),
            ("rfc822; no such thing", None),
        ] {
            assert_eq!(in_field(value).as_deref(), address, "{value:?}");
        }
    }

    #[test]
    fn texts_give_addresses_with_a_dotted_domain() {
        let text = "<br> to 'ann@example.net', <bob@b.example>: see <a@b> at 12@34.56. caf\u{e9}@b\u{fc}cher.example.";
        let found: Vec<&str> = in_text(text).map(|(_, _, address)| address).collect();
        let quoted = "<\"a..b\"@example.net>: dda:SMTP=ann@example.net; \"Ann\" <c@example.net>";
        let others: Vec<&str> = in_text(quoted).map(|(_, _, address)| address).collect();
        assert_eq!(others, ["\"a..b\"@example.net", "ann@example.net", "c@example.net"]);
        assert_eq!(found, ["ann@example.net", "bob@b.example", "caf\u{e9}@b\u{fc}cher.example"]);
    }

    proptest! {
        #[test]
        fn any_text_is_searched(text in "[@.a\u{e9} <>(){}\\\\x+3D;-]{0,60}") {
            let _ = in_field(&text);
            for (start, end, address) in in_text(&text) {
                prop_assert_eq!(&text[start..end], address);
            }
        }
    }
}

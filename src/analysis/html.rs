//! HTML reduced to the text that a reader sees: blocks and rows are lines, cells stand beside each other, quotations
//! are marked as in plain text.
//!
//! Not a parser of documents: one pass, no nesting kept, nothing that a report could grow by. Character references are
//! decoded by mail-parser, a line at a time.

use mail_parser::decoders::html::html_to_text;

/// The longest tag that is looked at; a longer one is text.
const MAX_TAG: usize = 4 * 1024;

/// What a reader sees.
pub(super) fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut preformatted = false;
    // How many quotations are open: their lines are marked as in plain text, so that nobody takes them for the
    // writer's own.
    let mut quoted = 0_usize;
    // Once an element has no end, none behind it is looked for: each search may go to the end of the text.
    let mut all_end = true;
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        let (before, tag) = rest.split_at(open);
        put(&mut text, before, preformatted, quoted);
        if let Some(comment) = tag.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let looked_at = &tag[..tag.floor_char_boundary(MAX_TAG)];
        let is_tag = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        let close =
            looked_at[1..].find(['<', '>']).map(|at| at + 1).filter(|at| is_tag && looked_at[*at..].starts_with('>'));
        let Some(close) = close else {
            put(&mut text, "<", preformatted, quoted);
            rest = &tag[1..];
            continue;
        };
        let inside = &tag[1..close];
        rest = &tag[close + 1..];
        let (closes, name) = inside.strip_prefix('/').map_or((false, inside), |name| (true, name));
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let name = name[..end].to_ascii_lowercase();
        // `<ann@example.net>`: an address in brackets that nobody has escaped.
        if inside.contains('@') && !inside.contains(['=', ' ']) {
            put(&mut text, &tag[..=close], preformatted, quoted);
            continue;
        }
        match name.as_str() {
            "style" | "script" | "head" | "title" if !closes && all_end => match after_element(rest, &name) {
                Some(after) => rest = after,
                None => all_end = false,
            },
            "pre" => {
                preformatted = !closes;
                end_line(&mut text);
            }
            "br" => text.push('\n'),
            "td" | "th" if !closes => space(&mut text),
            "p" | "h1" | "h2" | "h3" | "h4" if !text.is_empty() => {
                end_line(&mut text);
                text.push('\n');
            }
            "blockquote" => {
                end_line(&mut text);
                quoted = if closes { quoted.saturating_sub(1) } else { quoted + 1 };
            }
            "div" | "tr" | "table" | "li" | "ul" | "ol" | "hr" | "body" | "dt" | "dd" | "h5" | "h6" => {
                end_line(&mut text);
            }
            _ => {}
        }
    }
    put(&mut text, rest, preformatted, quoted);
    decoded(&text)
}

/// Adds text; white space counts only where it is preformatted.
fn put(text: &mut String, piece: &str, preformatted: bool, quoted: usize) {
    if preformatted && quoted == 0 {
        text.push_str(piece);
        return;
    }
    for c in piece.chars() {
        if preformatted && c == '\n' {
            text.push('\n');
        } else if c.is_whitespace() && c != '\u{a0}' {
            space(text);
        } else {
            if quoted > 0 && (text.is_empty() || text.ends_with('\n')) {
                text.push_str("> ");
            }
            text.push(c);
        }
    }
}

fn space(text: &mut String) {
    if !text.is_empty() && !text.ends_with([' ', '\n']) {
        text.push(' ');
    }
}

fn end_line(text: &mut String) {
    while text.ends_with(' ') {
        text.pop();
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// What follows the end tag of an element whose content is not shown. An element that does not end shows the rest:
/// rather a style sheet too much than a report lost.
fn after_element<'h>(rest: &'h str, name: &str) -> Option<&'h str> {
    let mut from = 0;
    while let Some(at) = rest[from..].find("</").map(|at| at + from) {
        let after = &rest[at + 2..];
        if after.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return Some(after.split_once('>').map_or("", |(_, after)| after));
        }
        from = at + 2;
    }
    None
}

/// Character references decoded: `&lt;`, `&#233;`, `&eacute;`.
fn decoded(text: &str) -> String {
    if !text.contains('&') {
        return text.to_string();
    }
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(at) = rest.find('&') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let reference = rest.get(..rest.floor_char_boundary(12)).and_then(|start| start.find(';'));
            match reference.and_then(|end| rest.get(..=end)) {
                Some("&nbsp;" | "&#160;" | "&#xa0;") => {
                    plain.push(' ');
                    rest = rest.split_once(';').map_or("", |(_, after)| after);
                }
                Some(reference) => {
                    // The reference alone: the decoder would fold the white space around it.
                    let character = html_to_text(reference);
                    plain.push_str(character.trim_end_matches('\n'));
                    rest = &rest[reference.len()..];
                }
                None => {
                    plain.push('&');
                    rest = &rest[1..];
                }
            }
        }
        plain.push_str(rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_stand_apart_and_blocks_are_lines() {
        let html = "<html><head><title>x</title><style>p{a:b}</style></head><body><p>Sorry,\n  Ann</p><table><tr><td>To:</td>\
            <td>ann@example.net</td></tr><tr><td>Error:</td><td>550 no</td></tr></table>a<br>b &lt;bob@example.net&gt; &eacute;&#233;&nbsp;!\
            <pre>x\n y</pre><!-- c --></body></html>";
        let text = to_text(html);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        assert_eq!(
            lines,
            [
                "Sorry, Ann",
                "To: ann@example.net",
                "Error: 550 no",
                "a",
                "b <bob@example.net> \u{e9}\u{e9} !",
                "x",
                " y"
            ]
        );
    }

    #[test]
    fn quotations_are_marked() {
        let text = to_text("said:<blockquote>one<br>two<blockquote>in</blockquote><pre>a\nb</pre></blockquote>own");
        assert_eq!(text, "said:\n> one\n> two\n> in\n> a\n> b\nown");
    }

    #[test]
    fn what_is_no_tag_stays() {
        assert_eq!(to_text("<ann@example.net>: 1 < 2 & <b>3</b>"), "<ann@example.net>: 1 < 2 & 3");
        assert_eq!(to_text("<style>never ends"), "never ends");
        assert_eq!(to_text("<p"), "<p");
    }

    #[test]
    fn open_tags_without_end_cost_no_more_than_their_length() {
        let text = to_text(&"<style><".repeat(50_000));
        assert!(text.len() <= 400_000);
    }

    proptest! {
        #[test]
        fn any_text_is_reduced(html in "(<[a-z/!]{0,6}>?|&[a-z#0-9]{0,5};?|[a-z@ \u{e9}\n]{0,5}|<!--|-->|</style>){0,40}") {
            let _ = to_text(&html);
        }
    }
}

//! Forms of return paths: domain, prefix and separator, and where the tag goes.
//!
//! A form that was used once stays accepted while a path of it may still come back, so a new prefix, separator or
//! domain orphans no mail in flight.

use std::collections::HashMap;
use std::time::Duration;

use super::token::Token;
use crate::address::{Address, domain_to_ascii};
use crate::store::PathForm;
use crate::time::Timestamp;

/// How the local part of a return path starts: a prefix, then a separator, then the token.
///
/// The default is the prefix `b` without a separator. A separator helps where the return paths share a domain with
/// other mail and a front server sorts by it (`bounce+…`, `bounce-…`); on a domain of their own they need none.
///
/// ```
/// use returnpath::return_path::Layout;
///
/// let layout = Layout::new("bounce", "-")?;
/// assert_eq!((layout.prefix(), layout.separator()), ("bounce", "-"));
///
/// let refused = Layout::new("bounce", "=").unwrap_err().to_string();
/// assert!(refused.starts_with("layout: separator \"=\":"), "{refused}");
/// # Ok::<(), returnpath::return_path::InvalidLayout>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    pub(crate) prefix: String,
    pub(crate) separator: String,
}

/// A prefix or separator that cannot be used; the text names which, and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layout: {field} {value:?}: {rule}")]
#[non_exhaustive]
pub struct InvalidLayout {
    field: &'static str,
    value: String,
    rule: &'static str,
}

impl Layout {
    /// A layout of this prefix (letters and digits, kept in lower case) and separator (none, `-` or `+`).
    ///
    /// # Errors
    ///
    /// The prefix has another character, would be read as another host's wrapper (`prvs`, `btv1`, `srs0`, `srs1`),
    /// leaves too little of the 64 octets of a local part (RFC 5321 §4.5.3.1.1) for a token, or is missing before a
    /// separator; the separator is another one.
    pub fn new(prefix: impl Into<String>, separator: impl Into<String>) -> Result<Layout, InvalidLayout> {
        let (prefix, separator) = (prefix.into().to_ascii_lowercase(), separator.into());
        if !matches!(separator.as_str(), "" | "-" | "+") {
            let rule = "must be none, `-` or `+`: other characters are rewritten or refused on the way";
            return Err(InvalidLayout { field: "separator", value: separator, rule });
        }
        let rule = if !prefix.bytes().all(|b| b.is_ascii_alphanumeric()) {
            "only letters and digits are allowed"
        } else if ["prvs", "btv1", "srs0", "srs1"].contains(&prefix.as_str()) {
            "forwarders read it as a wrapper of their own"
        } else if prefix.is_empty() && !separator.is_empty() {
            "must not be empty before a separator"
        } else if prefix.len() + separator.len() + Token::MIN_CHARS > Address::MAX_LOCAL {
            "too long: prefix, separator and the 26 characters of a token share 64 octets (RFC 5321 §4.5.3.1.1)"
        } else {
            return Ok(Layout { prefix, separator });
        };
        Err(InvalidLayout { field: "prefix", value: prefix, rule })
    }

    /// What each local part begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What stands between prefix and token.
    pub fn separator(&self) -> &str {
        &self.separator
    }

    /// What follows prefix and separator.
    pub(crate) fn strip<'a>(&self, local: &'a str) -> Option<&'a str> {
        local.strip_prefix(self.prefix.as_str())?.strip_prefix(self.separator.as_str())
    }
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { prefix: "b".into(), separator: String::new() }
    }
}

/// Where the tag goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TagPlacement {
    /// Into the return path while a forwarder's SRS address still fits 64 octets, else into the store only.
    #[default]
    Fit,
    /// Into the return path; an error only above 64 octets.
    Always,
    /// Into the store only.
    Store,
}

/// One form of return paths of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    /// Lower-case A-label.
    pub(crate) domain: String,
    pub(crate) layout: Layout,
}

impl Form {
    /// Checks the domain; the rule that it breaks is answered.
    pub(crate) fn new(domain: &str, layout: Layout) -> Result<Form, &'static str> {
        let domain = domain_to_ascii(domain)?;
        if !domain.contains('.') {
            return Err("has no dot: remote hosts could not look it up");
        }
        if domain.len() > MAX_DOMAIN {
            return Err("is longer than 189 octets: a path has at most 256 with its brackets (RFC 5321 §4.5.3.1.3)");
        }
        Ok(Form { domain, layout })
    }

    /// For the store, as used at `now`.
    pub(crate) fn to_stored(&self, now: Timestamp) -> PathForm {
        PathForm {
            domain: self.domain.clone(),
            prefix: self.layout.prefix.clone(),
            separator: self.layout.separator.clone(),
            last_used: now,
        }
    }
}

/// The forms that are accepted: those configured, and those used before that may still come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms {
    /// By domain, so that a gate of many domains looks at those of one; each with the time until which it counts.
    by_domain: HashMap<String, Vec<(Form, Timestamp)>>,
}

impl Forms {
    /// The configured forms for ever, and each form used before until `honour_for` after its last path was made.
    pub(crate) fn new<'a>(
        configured: impl IntoIterator<Item = &'a Form>,
        used: &[PathForm],
        honour_for: Duration,
    ) -> Forms {
        let mut forms = Forms::default();
        for form in configured {
            forms.accept(form.clone(), Timestamp::MAX);
        }
        for used in used {
            let layout = Layout { prefix: used.prefix.clone(), separator: used.separator.clone() };
            forms.accept(Form { domain: used.domain.clone(), layout }, used.last_used + honour_for);
        }
        forms
    }

    /// Accepts a form until then; a form that is there already keeps the later time.
    pub(crate) fn accept(&mut self, form: Form, until: Timestamp) {
        let of_domain = self.by_domain.entry(form.domain.clone()).or_default();
        match of_domain.iter_mut().find(|(known, _)| *known == form) {
            Some((_, known)) => *known = until.max(*known),
            None => of_domain.push((form, until)),
        }
    }

    /// The forms of a domain that are accepted at `now`.
    pub(crate) fn of_domain(&self, domain: &str, now: Timestamp) -> impl Iterator<Item = &Form> {
        let of_domain = self.by_domain.get(domain).map_or(&[][..], Vec::as_slice);
        of_domain.iter().filter(move |(_, until)| now <= *until).map(|(form, _)| form)
    }
}

/// 254 octets of a path without its brackets (RFC 5321 §4.5.3.1.3), less a full local part and the `@`.
const MAX_DOMAIN: usize = 254 - Address::MAX_LOCAL - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_checked_and_the_rule_is_named() {
        for (prefix, separator, rule) in [
            ("bounce", "=", "separator \"=\": must be none"),
            ("bounce", "--", "separator \"--\""),
            ("bounce.x", "", "prefix \"bounce.x\": only letters and digits"),
            ("b b", "", "only letters and digits"),
            ("bücher", "", "only letters and digits"),
            ("", "-", "must not be empty"),
            ("SRS0", "-", "prefix \"srs0\": forwarders read it"),
            (&"b".repeat(39), "", "share 64 octets"),
            (&"b".repeat(38), "-", "share 64 octets"),
        ] {
            let error = Layout::new(prefix, separator).unwrap_err().to_string();
            assert!(error.contains(rule) && error.starts_with("layout: "), "{error}");
        }
        for (prefix, separator) in [("b", ""), ("Bounce", "-"), ("bounce", "+"), ("", ""), (&"b".repeat(38), "")] {
            assert!(Layout::new(prefix, separator).is_ok(), "{prefix:?} {separator:?}");
        }
        assert_eq!(Layout::new("b", "").unwrap(), Layout::default());
    }

    #[test]
    fn domains_are_checked_and_folded() {
        for (domain, rule) in [
            ("localhost", "has no dot"),
            ("", "missing"),
            ("b_..example", "label"),
            ("a b.example", "not a valid internet name"),
            (&format!("{}.example", ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".")), "longer than 189"),
        ] {
            let error = Form::new(domain, Layout::default()).unwrap_err();
            assert!(error.contains(rule), "{domain}: {error}");
        }
        assert_eq!(Form::new("B.BÜCHER.example", Layout::default()).unwrap().domain, "b.xn--bcher-kva.example");
    }

    #[test]
    fn a_form_once_used_is_accepted_until_its_last_path_is_too_old() {
        let day = Duration::from_secs(86_400);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let current = Form::new("b.example.org", Layout::default()).unwrap();
        let former = Form::new("b.example.org", Layout::new("bounce", "+").unwrap()).unwrap();
        let used = [former.to_stored(now), current.to_stored(now)];
        let forms = Forms::new([&current], &used, 90 * day);
        let at = |now| forms.of_domain("b.example.org", now).cloned().collect::<Vec<_>>();
        assert_eq!(at(now + 90 * day), [current.clone(), former]);
        assert_eq!(at(now + 90 * day + Duration::from_millis(1)), [current]);
        assert_eq!(forms.of_domain("c.example.org", now).count(), 0);
    }
}

//! Which return-path domain a message gets.
//!
//! SPF is checked for the domain of the return path, and counts for DMARC only if this domain is aligned with the
//! domain of the From field (RFC 7489 §3.1.2). Whoever sends for several customers therefore gives each From domain
//! a return-path domain below it. Whether the DNS agrees is left to the administrator.

use std::collections::HashMap;

use super::{Form, Layout};
use crate::address::domain_to_ascii;
use crate::error::{Error, Kind};

/// The return-path domains of an instance, and the choice between them.
#[derive(Debug, Clone)]
pub(crate) struct ReturnDomains {
    /// The first one is taken where nothing else is said.
    forms: Vec<Form>,
    /// From a From domain to the place of its form.
    by_from: HashMap<String, usize>,
}

/// A setting that cannot be used; the text names the field and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {domain:?}: {rule}")]
pub(crate) struct InvalidReturnDomain {
    field: &'static str,
    domain: String,
    rule: &'static str,
}

/// A message asks for a return-path domain that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "return_domain: {asked:?} is not a return-path domain of this mailer (it has {known}); add it with `return_domain_for`"
)]
pub(crate) struct UnknownReturnDomain {
    asked: String,
    known: String,
}

impl ReturnDomains {
    /// The first domain, and for each From domain of `further` (and what is below it) another one. Everything that is
    /// wrong is named at once.
    pub(crate) fn new(
        first: &str,
        further: &[(String, String)],
        layout: &Layout,
    ) -> Result<ReturnDomains, Vec<InvalidReturnDomain>> {
        let mut wrong = Vec::new();
        let mut domains = ReturnDomains { forms: Vec::new(), by_from: HashMap::new() };
        if let Err(rule) = domains.add(first, layout) {
            wrong.push(InvalidReturnDomain { field: "return-path domain", domain: first.into(), rule });
        }
        for (from, domain) in further {
            let place = domains.add(domain, layout);
            let from_ascii = domain_to_ascii(from);
            let mut refuse = |domain: &str, rule| {
                wrong.push(InvalidReturnDomain { field: "return_domain_for", domain: domain.into(), rule })
            };
            match (from_ascii, place) {
                (Ok(from_ascii), Ok(place)) => {
                    if *domains.by_from.entry(from_ascii).or_insert(place) != place {
                        refuse(from, "has two return-path domains");
                    }
                }
                (from_ascii, place) => {
                    from_ascii.err().into_iter().for_each(|rule| refuse(from, rule));
                    place.err().into_iter().for_each(|rule| refuse(domain, rule));
                }
            }
        }
        if wrong.is_empty() { Ok(domains) } else { Err(wrong) }
    }

    /// The form for a message: the domain it asks for, else the one given for its From domain or the nearest of the
    /// domains above it, else the first.
    pub(crate) fn choose(&self, asked: Option<&str>, from_domain: &str) -> Result<&Form, UnknownReturnDomain> {
        if let Some(asked) = asked {
            let ascii = domain_to_ascii(asked);
            let form = self.forms.iter().find(|form| ascii.as_ref() == Ok(&form.domain));
            return form.ok_or_else(|| UnknownReturnDomain { asked: asked.into(), known: self.names() });
        }
        let folded = from_domain.to_ascii_lowercase();
        let mut domain = folded.as_str();
        loop {
            if let Some(form) = self.by_from.get(domain).and_then(|place| self.forms.get(*place)) {
                return Ok(form);
            }
            match domain.split_once('.') {
                Some((_, above)) => domain = above,
                None => return Ok(self.first()),
            }
        }
    }

    /// The one that is taken where nothing else is said.
    pub(crate) fn first(&self) -> &Form {
        &self.forms[0]
    }

    /// All of them, the first one first.
    pub(crate) fn forms(&self) -> &[Form] {
        &self.forms
    }

    fn add(&mut self, domain: &str, layout: &Layout) -> Result<usize, &'static str> {
        let form = Form::new(domain, layout.clone())?;
        if let Some(place) = self.forms.iter().position(|known| *known == form) {
            return Ok(place);
        }
        self.forms.push(form);
        Ok(self.forms.len() - 1)
    }

    fn names(&self) -> String {
        self.forms.iter().map(|form| form.domain.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl From<UnknownReturnDomain> for Error {
    fn from(error: UnknownReturnDomain) -> Error {
        Error::new(Kind::Message, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(further: &[(&str, &str)]) -> Result<ReturnDomains, Vec<InvalidReturnDomain>> {
        let further: Vec<_> = further.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
        ReturnDomains::new("bounces.vendor.example", &further, &Layout::default())
    }

    /// A shared return-path domain passes SPF without being aligned with the customer's From, and DMARC fails.
    #[test]
    fn the_domain_follows_the_from_domain_so_that_spf_is_aligned() {
        let domains = domains(&[
            ("customer.example", "b.customer.example"),
            ("shop.customer.example", "b.shop.customer.example"),
            ("bücher.example", "b.bücher.example"),
        ])
        .unwrap();
        for (from, chosen) in [
            ("customer.example", "b.customer.example"),
            ("Customer.EXAMPLE", "b.customer.example"),
            ("news.customer.example", "b.customer.example"),
            ("shop.customer.example", "b.shop.customer.example"),
            ("de.shop.customer.example", "b.shop.customer.example"),
            ("xn--bcher-kva.example", "b.xn--bcher-kva.example"),
            ("notcustomer.example", "bounces.vendor.example"),
            ("example", "bounces.vendor.example"),
            ("other.example", "bounces.vendor.example"),
            ("", "bounces.vendor.example"),
        ] {
            assert_eq!(domains.choose(None, from).unwrap().domain, chosen, "{from}");
        }
    }

    #[test]
    fn a_message_may_ask_for_one_of_ours_only() {
        let domains = domains(&[("customer.example", "b.customer.example")]).unwrap();
        let asked = domains.choose(Some("B.Customer.example"), "other.example").unwrap();
        assert_eq!(asked.domain, "b.customer.example");
        let error = domains.choose(Some("b.elsewhere.example"), "customer.example").unwrap_err();
        assert!(Error::from(error.clone()).is_message());
        let text = error.to_string();
        assert!(
            text.starts_with("return_domain: \"b.elsewhere.example\"") && text.contains("b.customer.example"),
            "{text}"
        );
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let wrong = domains(&[
            ("customer.example", "b.customer.example"),
            ("CUSTOMER.example", "c.customer.example"),
            ("a b", "localhost"),
        ])
        .unwrap_err();
        let texts: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("return_domain_for: \"CUSTOMER.example\": has two"), "{texts:?}");
        assert!(texts[1].contains("\"a b\"") && texts[2].contains("\"localhost\": has no dot"), "{texts:?}");
        let wrong = ReturnDomains::new("", &[], &Layout::default()).unwrap_err();
        assert_eq!(wrong[0].to_string(), "return-path domain: \"\": the domain is missing");
    }
}

//! Mailboxes: an address with the name that is shown beside it, as the builder takes them and as To and Cc list them.
//!
//! RFC 5322 §3.4. One text given to the builder is one mailbox: a comma in it never makes two, so that a name typed
//! into a form cannot add a recipient.

use crate::address::{Address, InvalidAddress};

/// What can be given as a sender or as recipients: `"ann@example.net"`, `"Ann <ann@example.net>"`, an [`Address`],
/// a pair of name and address, or a list of these.
///
/// A text is always one mailbox, whatever it contains; several are given as a list or in several calls.
///
/// ```
/// use returnpath::{Address, Message};
///
/// let subscribers: Vec<Address> = vec!["cy@example.net".parse()?, "dee@example.net".parse()?];
/// let message = Message::builder()
///     .from(("News, daily", "news@example.org"))
///     .to("Ann <ann@example.net>")
///     .to(["bob@example.net"])
///     .to(subscribers)
///     .text("…")
///     .build()?;
/// assert_eq!(message.recipients().len(), 4);
///
/// // Not two recipients, but one that is refused.
/// assert!(Message::builder().from("news@example.org").to("ann@a.example, eve@b.example").text("…").build().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoMailboxes: sealed::Given {}

impl<T: sealed::Given> IntoMailboxes for T {}

/// An address and the name that is shown beside it.
#[derive(Debug, Clone)]
pub struct Mailbox {
    pub(super) name: Option<String>,
    pub(super) address: Address,
}

mod sealed {
    use super::{Address, InvalidAddress, Mailbox};

    pub trait Given {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>);
    }

    impl Given for &str {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            list.push(Address::parse_mailbox(self).map(|(name, address)| Mailbox { name, address }));
        }
    }

    impl Given for &String {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            self.as_str().add_to(list);
        }
    }

    impl Given for String {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            self.as_str().add_to(list);
        }
    }

    impl Given for Address {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            list.push(Ok(Mailbox { name: None, address: self }));
        }
    }

    impl Given for &Address {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            self.clone().add_to(list);
        }
    }

    impl<N: Into<String>, A: AsRef<str>> Given for (N, A) {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            let address = self.1.as_ref().parse();
            list.push(address.map(|address| Mailbox { name: Some(self.0.into()), address }));
        }
    }

    impl<T: Given> Given for Vec<T> {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            self.into_iter().for_each(|one| one.add_to(list));
        }
    }

    impl<T: Given, const N: usize> Given for [T; N] {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            self.into_iter().for_each(|one| one.add_to(list));
        }
    }

    impl<T: Given + Clone> Given for &[T] {
        fn add_to(self, list: &mut Vec<Result<Mailbox, InvalidAddress>>) {
            self.iter().cloned().for_each(|one| one.add_to(list));
        }
    }
}

/// The addresses that an address field lists: of mailboxes and of the members of groups (RFC 5322 §3.4), quoted
/// local parts as they stand. Names and comments are skipped.
pub(super) fn listed(value: &[u8]) -> Result<Vec<Address>, String> {
    let text = std::str::from_utf8(value).map_err(|_| "has octets that are not UTF-8".to_string())?;
    let mut addresses = Vec::new();
    let mut entry = Entry::default();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                entry.push('"');
                loop {
                    match chars.next().ok_or("has a quote that is not closed")? {
                        '\\' => {
                            entry.push('\\');
                            entry.push(chars.next().ok_or("has a quote that is not closed")?);
                        }
                        '\r' | '\n' => {}
                        c => {
                            entry.push(c);
                            if c == '"' {
                                break;
                            }
                        }
                    }
                }
            }
            '(' => {
                // Comments nest; a count is enough to find the end.
                let mut depth = 1usize;
                while depth > 0 {
                    match chars.next().ok_or("has a comment that is not closed")? {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        '\\' => drop(chars.next()),
                        _ => {}
                    }
                }
            }
            '<' if entry.angle.is_none() => entry.angle = Some(String::new()),
            '>' if entry.angle.is_some() && !entry.closed => entry.closed = true,
            // The name of a group ends and its members follow, unless this is within `ann@[IPv6:…]`.
            ':' if entry.angle.is_none() && !entry.outside.contains("@[") => entry = Entry::default(),
            ',' | ';' if entry.angle.is_none() || entry.closed => std::mem::take(&mut entry).finish(&mut addresses)?,
            ' ' | '\t' | '\r' | '\n' => entry.space(),
            c => entry.push(c),
        }
    }
    entry.finish(&mut addresses)?;
    Ok(addresses)
}

/// One mailbox while it is read.
#[derive(Default)]
struct Entry {
    /// What stands outside angle brackets: the address, or the name.
    outside: String,
    /// What stands inside them.
    angle: Option<String>,
    closed: bool,
}

impl Entry {
    fn push(&mut self, c: char) {
        match &mut self.angle {
            Some(angle) if !self.closed => angle.push(c),
            _ => self.outside.push(c),
        }
    }

    /// White space separates the words of a name and says nothing within an address (RFC 5322 §4.4).
    fn space(&mut self) {
        if self.angle.is_none() && !self.outside.is_empty() {
            self.outside.push(' ');
        }
    }

    fn finish(self, addresses: &mut Vec<Address>) -> Result<(), String> {
        let text = match (&self.angle, self.closed) {
            (Some(_), false) => return Err("has a `<` that is not closed".into()),
            (Some(angle), true) => angle.as_str(),
            (None, _) => self.outside.trim(),
        };
        if text.is_empty() && self.angle.is_none() {
            // An empty place between two commas (RFC 5322 §4.4).
            return Ok(());
        }
        addresses.push(text.parse().map_err(|error: InvalidAddress| error.to_string())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_field_is_read_as_its_addresses() {
        for (value, addresses) in [
            (" ann@example.net", vec!["ann@example.net"]),
            (
                " Ann <ann@example.net>,\r\n \"Smith, Bob\" <bob@example.net>",
                vec!["ann@example.net", "bob@example.net"],
            ),
            (
                " Team: ann@example.net, Bob <bob@example.net>; , cy@example.net",
                vec!["ann@example.net", "bob@example.net", "cy@example.net"],
            ),
            (" undisclosed-recipients:;", vec![]),
            (" ann@[IPv6:2001:db8::1], <bob@[192.0.2.1]>", vec!["ann@[ipv6:2001:db8::1]", "bob@[192.0.2.1]"]),
            (" \"a b, <c>\"@example.net (a (nested) comment, with eve@example.com)", vec!["\"a b, <c>\"@example.net"]),
            (" Grüße <ann@Bücher.example>", vec!["ann@xn--bcher-kva.example"]),
            ("", vec![]),
        ] {
            assert_eq!(listed(value.as_bytes()).unwrap(), addresses, "{value}");
        }
    }

    #[test]
    fn a_broken_address_field_says_how() {
        for (value, rule) in [
            (&b" Ann <ann@example.net"[..], "not closed"),
            (b" \"Ann <ann@example.net>", "not closed"),
            (b" Ann (never", "not closed"),
            (b" Ann Smith", "no `@`"),
            (b" <>", "no `@`"),
            (b" \xe9 <ann@example.net>", "not UTF-8"),
        ] {
            let error = listed(value).unwrap_err();
            assert!(error.contains(rule), "{value:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_field_is_read_without_a_panic(value: Vec<u8>) {
            let _ = listed(&value);
        }

        #[test]
        fn any_text_of_the_characters_that_matter_is_read_without_a_panic(value in "[a@.<>(),;:\"\\\\ \r\n\té]{0,64}") {
            let _ = listed(value.as_bytes());
        }
    }
}

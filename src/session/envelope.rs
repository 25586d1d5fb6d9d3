//! The envelope as commands: MAIL and RCPT with the parameters that this message needs and this host offers.
//!
//! SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET, ENVID and ORCPT (RFC 3461, RFC 6533). NOTIFY is left
//! out: its default, failure and perhaps delay, is what we want. Nothing here can hold CR or LF: an [`Address`] was
//! checked when it was made, an id is hexadecimal, the rest is encoded.

use std::fmt::Write;

use super::Transaction;
use crate::address::Address;
use crate::smtp::extensions::Extensions;
use crate::verdict::{EnhancedStatus, Trouble};

/// Whether a host with these extensions can take the message at all.
pub(super) fn check(transaction: &Transaction, offers: &Extensions) -> Result<(), Trouble> {
    let size = size(transaction);
    if needs_smtputf8(transaction) && !offers.smtputf8 {
        return unsupported(7, 6, "the message needs SMTPUTF8, which the remote host does not offer".into());
    }
    if transaction.eight_bit && !offers.eight_bit_mime {
        return unsupported(3, 6, "the message needs 8BITMIME, which the remote host does not offer".into());
    }
    match offers.size {
        Some(most) if most > 0 && size > most => {
            unsupported(4, 3, format!("the message has {size} octets, the remote host takes {most}"))
        }
        _ => Ok(()),
    }
}

/// Writes MAIL.
pub(super) fn write_mail(transaction: &Transaction, offers: &Extensions, out: &mut String) {
    let _ = write!(out, "MAIL FROM:<{}>", transaction.return_path);
    if offers.size.is_some() {
        let _ = write!(out, " SIZE={}", size(transaction));
    }
    if transaction.eight_bit {
        out.push_str(" BODY=8BITMIME");
    }
    if needs_smtputf8(transaction) {
        out.push_str(" SMTPUTF8");
    }
    if offers.dsn {
        let _ = write!(out, " RET=HDRS ENVID={}", transaction.delivery);
    }
    out.push_str("\r\n");
}

/// Writes RCPT.
pub(super) fn write_rcpt(transaction: &Transaction, offers: &Extensions, out: &mut String) {
    let _ = write!(out, "RCPT TO:<{}>", transaction.recipient);
    if offers.dsn {
        out.push_str(" ORCPT=");
        write_original_recipient(&transaction.recipient, out);
    }
    out.push_str("\r\n");
}

/// In octets, as RFC 1870 §3 counts them: with CRLF, without doubled dots.
fn size(transaction: &Transaction) -> u64 {
    (transaction.prefix.len() + transaction.body.len()) as u64
}

fn needs_smtputf8(transaction: &Transaction) -> bool {
    transaction.smtputf8 || transaction.recipient.needs_smtputf8() || transaction.return_path.needs_smtputf8()
}

fn unsupported(detail: u16, subject: u16, why: String) -> Result<(), Trouble> {
    match EnhancedStatus::new(5, subject, detail) {
        Some(status) => Err(Trouble::Unsupported(status, why)),
        None => Ok(()),
    }
}

/// `rfc822;` and xtext (RFC 3461 §4), or `utf-8;` and utf-8-addr-xtext (RFC 6533 §3) for an address that is not ASCII.
fn write_original_recipient(address: &Address, out: &mut String) {
    let is_ascii = address.as_str().is_ascii();
    out.push_str(if is_ascii { "rfc822;" } else { "utf-8;" });
    for c in address.as_str().chars() {
        let _ = match c {
            '!'..='~' if !matches!(c, '+' | '=') && (is_ascii || c != '\\') => write!(out, "{c}"),
            _ if is_ascii => write!(out, "+{:02X}", u32::from(c)),
            _ => write!(out, "\\x{{{:02X}}}", u32::from(c)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_recipient_is_encoded() {
        for (address, encoded) in [
            ("ann@example.net", "rfc822;ann@example.net"),
            ("ann+a=b@example.net", "rfc822;ann+2Ba+3Db@example.net"),
            ("\"a b\\\\c\"@example.net", "rfc822;\"a+20b\\\\c\"@example.net"),
            ("josé+x@example.net", "utf-8;jos\\x{E9}\\x{2B}x@example.net"),
            ("\"日 \\\\\"@example.net", "utf-8;\"\\x{65E5}\\x{20}\\x{5C}\\x{5C}\"@example.net"),
        ] {
            let mut out = String::new();
            write_original_recipient(&address.parse().unwrap(), &mut out);
            assert_eq!(out, encoded);
            assert!(out.is_ascii() && !out.contains(' '));
        }
    }
}

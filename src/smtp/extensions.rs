//! What a remote host offers in answer to EHLO (RFC 5321 §4.1.1.1).
//!
//! mail-send asks for and reads this reply while it opens a connection; [`Extensions`] takes what it found, or reads
//! the whole reply itself. Both are lenient: a keyword that is unknown or has a bad parameter is passed over.

use smtp_proto::{
    EXT_8BIT_MIME, EXT_CHUNKING, EXT_DSN, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8,
    EXT_START_TLS, EhloResponse,
};

/// The extensions that matter to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// RFC 2920.
    pub(crate) pipelining: bool,
    /// RFC 3030.
    pub(crate) chunking: bool,
    /// RFC 6152.
    pub(crate) eight_bit_mime: bool,
    /// RFC 6531.
    pub(crate) smtputf8: bool,
    /// RFC 3207.
    pub(crate) starttls: bool,
    /// RFC 3461.
    pub(crate) dsn: bool,
    /// RFC 2034.
    pub(crate) enhanced_status_codes: bool,
    /// SIZE (RFC 1870) in octets; `Some(0)`: offered without a limit; `None`: not offered.
    pub(crate) size: Option<u64>,
}

impl Extensions {
    /// Reads a whole EHLO reply. Its first line, which names the host, is passed over.
    pub(crate) fn parse(reply: &[u8]) -> Extensions {
        let mut extensions = Extensions::default();
        for line in reply.split(|byte| *byte == b'\n').skip(1) {
            let Some(line) = line.get(4..).and_then(|line| std::str::from_utf8(line).ok()) else {
                continue;
            };
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => extensions.pipelining = true,
                "CHUNKING" => extensions.chunking = true,
                "8BITMIME" => extensions.eight_bit_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "STARTTLS" => extensions.starttls = true,
                "DSN" => extensions.dsn = true,
                "ENHANCEDSTATUSCODES" => extensions.enhanced_status_codes = true,
                "SIZE" => extensions.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                _ => {}
            }
        }
        extensions
    }
}

impl From<&EhloResponse<String>> for Extensions {
    fn from(reply: &EhloResponse<String>) -> Extensions {
        let offers = |extension| reply.capabilities & extension != 0;
        Extensions {
            pipelining: offers(EXT_PIPELINING),
            chunking: offers(EXT_CHUNKING),
            eight_bit_mime: offers(EXT_8BIT_MIME),
            smtputf8: offers(EXT_SMTP_UTF8),
            starttls: offers(EXT_START_TLS),
            dsn: offers(EXT_DSN),
            enhanced_status_codes: offers(EXT_ENHANCED_STATUS_CODES),
            size: offers(EXT_SIZE).then_some(reply.size as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"250-mx.example.net greets DSN\r\n250-pipelining\r\n250-SIZE 35882577\r\n250-8BITMIME\r\n\
        250-ENHANCEDSTATUSCODES\r\n250-X-\xffODD\r\n250-AUTH PLAIN\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n";

    #[test]
    fn a_whole_reply_is_read() {
        let wanted = Extensions {
            pipelining: true,
            chunking: true,
            eight_bit_mime: true,
            smtputf8: true,
            starttls: false,
            dsn: false,
            enhanced_status_codes: true,
            size: Some(35_882_577),
        };
        assert_eq!(Extensions::parse(REPLY), wanted);
        let found_by_mail_send = EhloResponse::parse(&mut REPLY.iter()).unwrap();
        assert_eq!(Extensions::from(&found_by_mail_send), wanted);
    }

    #[test]
    fn odd_replies_offer_what_can_be_read() {
        for (reply, size, dsn) in [
            (&b"250 mx.example.net\r\n"[..], None, false),
            (b"250-mx\n250-SIZE\n250 DSN\n", Some(0), true),
            (b"250-mx\r\n250-SIZE 99999999999999999999\r\n250\r\n", Some(0), false),
            (b"250-mx\r\n250-SIZE=1000\r\n25", None, false),
            (b"", None, false),
        ] {
            let found = Extensions::parse(reply);
            assert_eq!((found.size, found.dsn), (size, dsn), "{}", reply.escape_ascii());
        }
    }
}

//! What a remote host offers in answer to EHLO (RFC 5321 §4.1.1.1).
//!
//! mail-send asks for and reads this reply while it opens a connection; [`Extensions`] takes what it found. A keyword
//! that is unknown or has a bad parameter is passed over.

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

    #[test]
    fn what_is_offered_is_found_however_it_is_written() {
        let all = Extensions {
            pipelining: true,
            chunking: true,
            eight_bit_mime: true,
            smtputf8: true,
            starttls: true,
            dsn: true,
            enhanced_status_codes: true,
            size: Some(35_882_577),
        };
        for (reply, wanted) in [
            (
                &b"250-mx.example.net greets DSN\r\n250-pipelining\r\n250-SIZE 35882577\r\n250-8BITMIME\r\n250-DSN\r\n\
                   250-ENHANCEDSTATUSCODES\r\n250-X-\xffODD =\r\n250-AUTH PLAIN\r\n250-CHUNKING\r\n250-STARTTLS\r\n\
                   250 SMTPUTF8\r\n"[..],
                all,
            ),
            (b"250 mx.example.net greets DSN\r\n", Extensions::default()),
            (b"250-mx\n250-SIZE\n250 DSN\n", Extensions { size: Some(0), dsn: true, ..Extensions::default() }),
            (b"250-mx\r\n250 SIZE many\r\n", Extensions { size: Some(0), ..Extensions::default() }),
        ] {
            let ehlo = EhloResponse::parse(&mut reply.iter()).unwrap();
            assert_eq!(Extensions::from(&ehlo), wanted, "{}", reply.escape_ascii());
        }
    }
}

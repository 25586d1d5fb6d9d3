//! From bytes to text, whatever the label says: a report is never lost to its charset.
//!
//! Labels are read as browsers read them (the WHATWG Encoding Standard), with the names that stand in mail only added.
//! Where a label is missing, unknown or plainly wrong the bytes themselves are asked.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, KOI8_R, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
    WINDOWS_1251, WINDOWS_1252,
};

/// How long a label is at most, in bytes; no real one comes near.
const MAX_LABEL: usize = 64;
/// How many bytes are looked at to guess a charset.
const SAMPLE: usize = 4 * 1024;

/// Decodes by the label of a Content-Type or an encoded word, or leniently where the label says nothing.
pub(super) fn decode<'b>(bytes: &'b [u8], label: Option<&str>) -> Cow<'b, str> {
    let charset = label.map_or(Charset::Unsaid, Charset::named);
    if !charset.shifts()
        && bytes.is_ascii()
        && !bytes.contains(&ESCAPE)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    match charset {
        Charset::Unsaid => lenient(bytes),
        Charset::Utf7 => Cow::Owned(utf7(bytes)),
        Charset::Utf16 => utf16(bytes),
        Charset::Shifted(encoding) => Cow::Owned(encoding.decode_without_bom_handling(&unshift(bytes)).0.into_owned()),
        Charset::Known(encoding) => known(bytes, encoding),
    }
}

/// Bytes without a label: UTF-8 where they are valid, ISO-2022-JP by its escapes, else what they look like.
pub(super) fn lenient(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.contains(&ESCAPE) && has_japanese_escape(bytes) {
        return ISO_2022_JP.decode_without_bom_handling(bytes).0;
    }
    match std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => guess(bytes).decode_without_bom_handling(bytes).0,
    }
}

/// Undoes the octal escapes (`\303\251`) in which some systems write what is not ASCII, where they make sense.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain: Vec<u8> = Vec::with_capacity(text.len());
    let mut escapes = 0;
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match rest {
            [b'\\', high @ b'2'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', after @ ..] => {
                plain.push((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'));
                escapes += 1;
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    match escapes {
        // One alone may be anything: part of the name of a file, for example.
        0 | 1 => Cow::Borrowed(text),
        _ => match String::from_utf8(plain) {
            Ok(plain) => Cow::Owned(plain),
            Err(error) if text.is_ascii() => Cow::Owned(lenient(error.as_bytes()).into_owned()),
            Err(_) => Cow::Borrowed(text),
        },
    }
}

const ESCAPE: u8 = 0x1b;

/// What a label stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    /// No label, an unknown one, or one that says no more than "ASCII and perhaps something above it".
    Unsaid,
    Utf7,
    /// UTF-16 without a byte order.
    Utf16,
    /// Seven bits, with marks between which the eighth bit is to be added.
    Shifted(&'static Encoding),
    Known(&'static Encoding),
}

impl Charset {
    fn named(label: &str) -> Charset {
        let label = label.trim_matches(|c: char| c.is_whitespace() || "\"';,<>".contains(c));
        // RFC 2231 lets a language follow.
        let label = label.split('*').next().unwrap_or_default();
        if label.is_empty() || label.len() > MAX_LABEL {
            return Charset::Unsaid;
        }
        let label = label.to_ascii_lowercase().replace('_', "-");
        match label.as_str() {
            "us-ascii" | "ascii" | "utf-8" | "utf8" | "unknown-8bit" | "x-unknown" | "unknown" | "8bit" | "7bit"
            | "binary" | "default" | "x-user-defined" | "default-charset" | "ansi-x3.4-1968" => Charset::Unsaid,
            "utf-7"
            | "utf7"
            | "unicode-1-1-utf-7"
            | "x-unicode-1-1-utf-7"
            | "csunicode11utf7"
            | "unicode-2-0-utf-7" => Charset::Utf7,
            "utf-16" | "utf16" | "unicode" | "csunicode" | "iso-10646-ucs-2" | "ucs-2" => Charset::Utf16,
            "iso-2022-kr" | "csiso2022kr" => Charset::Shifted(EUC_KR),
            "iso-2022-cn" | "iso-2022-cn-ext" | "hz-gb-2312" | "hz-gb2312" | "hz" => Charset::Shifted(GBK),
            _ => Self::registered(&label),
        }
    }

    /// Labels of the standard, then names that stand in mail only.
    fn registered(label: &str) -> Charset {
        let known = |name: &str| Encoding::for_label_no_replacement(name.as_bytes()).filter(|known| *known != UTF_8);
        let code_page = || {
            let number = label
                .strip_prefix("windows-")
                .or_else(|| label.strip_prefix("cp-"))
                .or_else(|| label.strip_prefix("cp"))
                .or_else(|| label.strip_prefix("x-cp"))
                .or_else(|| label.strip_prefix("ms"))
                .or_else(|| label.strip_prefix("win-"))
                .or_else(|| label.strip_prefix("win"))
                .or_else(|| label.strip_prefix("ibm"))?;
            known(match number {
                "31j" | "932" => "shift_jis",
                "936" => "gbk",
                "949" => "euc-kr",
                "950" => "big5",
                "51932" => "euc-jp",
                "50220" | "50221" | "50222" => "iso-2022-jp",
                "54936" => "gb18030",
                "20866" => "koi8-r",
                "21866" => "koi8-u",
                "28591" | "819" => "windows-1252",
                "28592" | "912" => "iso-8859-2",
                "28595" | "915" => "iso-8859-5",
                "874" => "windows-874",
                "866" => "ibm866",
                "65001" => return None,
                number => return known(&format!("windows-{number}")),
            })
        };
        let loose = || {
            let bare = label.strip_prefix("x-").unwrap_or(label);
            let bare = bare.strip_prefix("iso").map_or_else(
                || bare.to_string(),
                |rest| {
                    let rest = rest.trim_start_matches('-');
                    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
                    match rest.strip_prefix("8859") {
                        Some(_) => format!("iso-8859-{}", rest.get(4..end).unwrap_or_default().trim_matches('-')),
                        None if rest.starts_with("2022-jp") => "iso-2022-jp".into(),
                        None => format!("iso-{rest}"),
                    }
                },
            );
            known(&bare).or_else(|| {
                known(match bare.as_str() {
                    "sjis" | "shiftjis" | "mac-japanese" => "shift_jis",
                    "eucjp" | "ujis" => "euc-jp",
                    "euckr" | "ks-c-5601" | "ks-c-5601-1987" | "ksc5601" => "euc-kr",
                    "gb" | "gb2312-80" | "gbk2312" | "euc-cn" | "euccn" => "gbk",
                    "gb-18030" => "gb18030",
                    "big5-eten" | "big-5" | "big5-hk" | "big5hkscs" => "big5",
                    "koi8" | "koi" | "koi8r" => "koi8-r",
                    "koi8u" => "koi8-u",
                    "tis620" | "tis-620-2533" => "windows-874",
                    "macroman" | "mac-roman" => "macintosh",
                    "mac-cyrillic" => "x-mac-cyrillic",
                    "latin-1" | "latin" | "ansi" | "western" => "windows-1252",
                    "latin-2" => "iso-8859-2",
                    "latin-9" | "latin9" | "latin-0" => "iso-8859-15",
                    _ => return None,
                })
            })
        };
        known(label)
            .or_else(|| known(&label.replace('-', "_")))
            .or_else(code_page)
            .or_else(loose)
            .map_or(Charset::Unsaid, Charset::Known)
    }

    /// Whether ASCII bytes may mean something else.
    fn shifts(self) -> bool {
        match self {
            Charset::Unsaid => false,
            Charset::Utf7 | Charset::Utf16 | Charset::Shifted(_) => true,
            Charset::Known(encoding) => !encoding.is_ascii_compatible(),
        }
    }
}

/// Decodes by a charset that is known, unless the bytes say plainly that they are UTF-8 or ISO-2022-JP.
fn known<'b>(bytes: &'b [u8], encoding: &'static Encoding) -> Cow<'b, str> {
    let is_utf16 = encoding == UTF_16LE || encoding == UTF_16BE;
    if !is_utf16 && encoding != ISO_2022_JP {
        if has_japanese_escape(bytes) {
            return ISO_2022_JP.decode_without_bom_handling(bytes).0;
        }
        // Text of one byte a character is hardly ever UTF-8 by chance; of others, it is if it does not fit them.
        let fits = || {
            !encoding.is_single_byte() && encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some()
        };
        if let Ok(text) = std::str::from_utf8(bytes)
            && !bytes.is_ascii()
            && !fits()
        {
            return Cow::Borrowed(text);
        }
    }
    encoding.decode_with_bom_removal(bytes).0
}

/// UTF-16 by its mark, else by the side on which the zeros of ASCII stand.
fn utf16(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode_with_bom_removal(bytes).0;
    }
    let zeros = |first: usize| bytes.iter().skip(first).step_by(2).take(200).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if even == 0 && odd == 0 && bytes.is_ascii() {
        // The label is wrong: there is no zero in it.
        return lenient(bytes);
    }
    let encoding = if odd > even { UTF_16LE } else { UTF_16BE };
    encoding.decode_without_bom_handling(bytes).0
}

/// UTF-7 (RFC 2152): base64 of UTF-16 between `+` and what is no base64.
fn utf7(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'+') {
        text.push_str(&lenient(rest.get(..at).unwrap_or_default()));
        rest = rest.get(at + 1..).unwrap_or_default();
        let end = rest.iter().position(|byte| sextet(*byte).is_none()).unwrap_or(rest.len());
        let (coded, after) = rest.split_at(end);
        if coded.is_empty() {
            text.push('+');
        } else {
            let mut units = Vec::with_capacity(coded.len() / 2);
            let (mut bits, mut held) = (0_u32, 0);
            for value in coded.iter().filter_map(|byte| sextet(*byte)) {
                bits = (bits << 6 | u32::from(value)) & 0x3f_ffff;
                held += 6;
                if held >= 16 {
                    held -= 16;
                    units.push(u16::try_from(bits >> held & 0xffff).unwrap_or(0xfffd));
                }
            }
            text.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        rest = after.strip_prefix(b"-").unwrap_or(after);
    }
    text.push_str(&lenient(rest));
    text
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Seven-bit forms of two-byte charsets: ISO-2022-KR and -CN shift with SO and SI, HZ with `~{` and `~}`. What is
/// between gets its eighth bit.
fn unshift(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = match rest {
            [0x0e, after @ ..] | [b'~', b'{', after @ ..] => {
                shifted = true;
                after
            }
            [0x0f, after @ ..] | [b'~', b'}', after @ ..] => {
                shifted = false;
                after
            }
            // A designation: which charset SO shifts to.
            [ESCAPE, b'$', b')' | b'*' | b'+', _, after @ ..] => after,
            [b'~', b'~', after @ ..] if !shifted => {
                plain.push(b'~');
                after
            }
            // Lines begin unshifted.
            [b'\n', after @ ..] => {
                shifted = false;
                plain.push(b'\n');
                after
            }
            _ => {
                plain.push(if shifted && first.is_ascii_graphic() { first | 0x80 } else { *first });
                after
            }
        };
    }
    plain
}

/// Whether the text switches to a Japanese charset as ISO-2022-JP does.
fn has_japanese_escape(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| matches!(window, [ESCAPE, b'$', b'B' | b'@'] | [ESCAPE, b'(', b'J' | b'I']))
}

/// What bytes that are no UTF-8 look like. Western text has single letters above ASCII; the others have runs of them.
fn guess(bytes: &[u8]) -> &'static Encoding {
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    let high = sample.iter().filter(|byte| **byte >= 0x80).count();
    let pairs = sample.windows(2).filter(|pair| pair.iter().all(|byte| *byte >= 0x80)).count();
    // Where fewer than half of the high bytes have a high neighbour they are accents.
    if high < 4 || pairs * 2 < high {
        // Shift_JIS and Big5 have second bytes below 0x80.
        return if starts_like_kana(sample) { SHIFT_JIS } else { WINDOWS_1252 };
    }
    let share = |range: fn(u8) -> bool| sample.iter().filter(|byte| range(**byte)).count() * 100 / high;
    if share(|byte| (0xc0..=0xff).contains(&byte)) >= 90 && !fits_two_bytes(sample) {
        return cyrillic(sample);
    }
    if starts_like_kana(sample) && SHIFT_JIS.decode_without_bom_handling_and_without_replacement(sample).is_some() {
        return SHIFT_JIS;
    }
    let leads =
        |wanted: fn(u8) -> bool| two_byte_leads(sample).filter(|lead| wanted(*lead)).count() * 100 / (high / 2).max(1);
    if leads(|lead| matches!(lead, 0xa4 | 0xa5)) >= 25 {
        return EUC_JP;
    }
    if share(|byte| (0xe0..=0xff).contains(&byte)) >= 70 || share(|byte| (0xc0..=0xdf).contains(&byte)) >= 70 {
        return cyrillic(sample);
    }
    // Hangul stands between B0 and C8; Chinese uses the whole range, and its own comma and full stop.
    if leads(|lead| (0xb0..=0xc8).contains(&lead)) >= 95 {
        return EUC_KR;
    }
    if fits_two_bytes(sample) {
        return GB18030;
    }
    if BIG5.decode_without_bom_handling_and_without_replacement(sample).is_some() { BIG5 } else { cyrillic(sample) }
}

/// KOI8-R has its small letters in C0–DF, windows-1251 in E0–FF; text has more small letters than capitals.
fn cyrillic(sample: &[u8]) -> &'static Encoding {
    let low = sample.iter().filter(|byte| (0xc0..=0xdf).contains(*byte)).count();
    let high = sample.iter().filter(|byte| **byte >= 0xe0).count();
    if low > high { KOI8_R } else { WINDOWS_1251 }
}

/// The first bytes of pairs of high bytes.
fn two_byte_leads(sample: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *sample.get(at)?;
            if byte < 0x80 {
                at += 1;
                continue;
            }
            at += 2;
            return Some(byte);
        }
    })
}

/// Whether all runs of high bytes are of even length, as those of EUC and GB 2312 are.
fn fits_two_bytes(sample: &[u8]) -> bool {
    let runs = sample.split(|byte| *byte < 0x80).filter(|run| !run.is_empty());
    let (odd, all) = runs.fold((0_usize, 0_usize), |(odd, all), run| (odd + run.len() % 2, all + 1));
    // The sample may end in the middle of a character.
    odd <= 1 && all > 0
}

/// Whether many pairs are kana of Shift_JIS.
fn starts_like_kana(sample: &[u8]) -> bool {
    let kana = sample.windows(2).filter(|pair| matches!(pair, [0x82, 0x9f..=0xf1] | [0x83, 0x40..=0x96])).count();
    let high = sample.iter().filter(|byte| **byte >= 0x80).count();
    kana >= 3 && kana * 5 >= high
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_label_gives_a_text() {
        for (bytes, label, text) in [
            (&b"caf\xe9"[..], Some("iso-8859-1"), "caf\u{e9}"),
            (b"caf\xc3\xa9", Some("us_ascii"), "caf\u{e9}"),
            (b"caf\xe9", Some("utf-8"), "caf\u{e9}"),
            (b"caf\xc3\xa9", Some("iso-8859-1"), "caf\u{e9}"),
            (b"caf\xe9", Some("us-ascii"), "caf\u{e9}"),
            (b"caf\xe9", Some("x-no-such-charset"), "caf\u{e9}"),
            (b"caf\xe9", None, "caf\u{e9}"),
            (b"caf\xc3\xa9", Some("utf-8;"), "caf\u{e9}"),
            (b"+AOk-", Some("unicode-1-1-utf-7"), "\u{e9}"),
            (b"A +- B +2D3eAA- C +AOk D", Some("utf-7"), "A + B \u{1f600} C \u{e9} D"),
            (b"\x1b$B4A;z\x1b(B", Some("ISO-2022-JP"), "\u{6f22}\u{5b57}"),
            (b"\x1b$B4A;z\x1b(B", Some("us-ascii"), "\u{6f22}\u{5b57}"),
            (b"\x1b$B4A;z\x1b(B", None, "\u{6f22}\u{5b57}"),
            (b"\x1b$)C\x0e0!\x0f x", Some("iso-2022-kr"), "\u{ac00} x"),
            (b"~{VPND~} x ~~", Some("hz-gb-2312"), "\u{4e2d}\u{6587} x ~"),
            (b"plain", Some(""), "plain"),
            (b"p\0l\0", Some("utf-16"), "pl"),
            (b"\0p\0l", Some("utf-16"), "pl"),
            (b"\xfe\xff\0p\0l", Some("utf-16"), "pl"),
            (b"plain", Some("utf-16"), "plain"),
            (b"\xd6\xd0\xce\xc4", Some("gb2312"), "\u{4e2d}\u{6587}"),
            (b"\xd6\xd0\xce\xc4", Some("cp936"), "\u{4e2d}\u{6587}"),
            (b"\xa4\xa4\xa4\xe5", Some("Big5"), "\u{4e2d}\u{6587}"),
            (b"\xb0\xa1", Some("ks_c_5601-1987"), "\u{ac00}"),
            (b"\x8a\xbf\x8e\x9a", Some("Windows-31J"), "\u{6f22}\u{5b57}"),
            (b"\xb4\xc1\xbb\xfa", Some("EUC_JP"), "\u{6f22}\u{5b57}"),
            (b"\xd0\xd2", Some("koi8-r"), "\u{43f}\u{440}"),
            (b"\xef\xf0", Some("win-1251"), "\u{43f}\u{440}"),
            (b"\xb1", Some("iso-8859-2"), "\u{105}"),
            (b"\xb1", Some("ISO8859-2"), "\u{105}"),
            (b"\xb1", Some("latin2"), "\u{105}"),
            (b"\xa4", Some("ISO-8859-15"), "\u{20ac}"),
        ] {
            assert_eq!(decode(bytes, label), text, "{label:?} {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_charset_of_the_standard_is_read() {
        // What each of them has above ASCII, in its own bytes.
        for (label, sample) in [
            ("ibm866", "\u{43f}\u{440}"),
            ("iso-8859-2", "\u{105}"),
            ("iso-8859-3", "\u{127}"),
            ("iso-8859-4", "\u{101}"),
            ("iso-8859-5", "\u{43f}"),
            ("iso-8859-6", "\u{627}"),
            ("iso-8859-7", "\u{3b1}"),
            ("iso-8859-8", "\u{5d0}"),
            ("iso-8859-8-i", "\u{5d0}"),
            ("iso-8859-10", "\u{101}"),
            ("iso-8859-13", "\u{101}"),
            ("iso-8859-14", "\u{1e03}"),
            ("iso-8859-15", "\u{20ac}"),
            ("iso-8859-16", "\u{219}"),
            ("koi8-r", "\u{43f}"),
            ("koi8-u", "\u{457}"),
            ("macintosh", "\u{e9}"),
            ("windows-874", "\u{e01}"),
            ("windows-1250", "\u{105}"),
            ("windows-1251", "\u{43f}"),
            ("windows-1252", "\u{e9}"),
            ("windows-1253", "\u{3b1}"),
            ("windows-1254", "\u{11f}"),
            ("windows-1255", "\u{5d0}"),
            ("windows-1256", "\u{627}"),
            ("windows-1257", "\u{101}"),
            ("windows-1258", "\u{111}"),
            ("x-mac-cyrillic", "\u{43f}"),
            ("gbk", "\u{4e2d}"),
            ("gb18030", "\u{4e2d}"),
            ("big5", "\u{4e2d}"),
            ("euc-jp", "\u{6f22}"),
            ("shift_jis", "\u{6f22}"),
            ("iso-2022-jp", "\u{6f22}"),
            ("euc-kr", "\u{ac00}"),
            ("utf-8", "\u{4e2d}"),
        ] {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            let (bytes, _, unmapped) = encoding.encode(sample);
            assert!(!unmapped, "{label}");
            for spelling in
                [label.to_string(), label.to_ascii_uppercase(), format!("\"{label}\""), format!("{label}*en")]
            {
                assert_eq!(decode(&bytes, Some(&spelling)), sample, "{spelling}");
            }
        }
    }

    #[test]
    fn bytes_without_a_label_are_taken_for_what_they_look_like() {
        let chinese = "\u{60a8}\u{7684}\u{90ae}\u{4ef6}\u{65e0}\u{6cd5}\u{6295}\u{9012}\u{ff0c}\u{6536}\u{4ef6}\u{4eba}\u{4e0d}\u{5b58}\u{5728}\u{3002}";
        let japanese = "\u{30e1}\u{30fc}\u{30eb}\u{3092}\u{914d}\u{4fe1}\u{3067}\u{304d}\u{307e}\u{305b}\u{3093}\u{3067}\u{3057}\u{305f}";
        let korean = "\u{bc1b}\u{b294} \u{c0ac}\u{b78c}\u{c5d0}\u{ac8c} \u{bcf4}\u{b0b4}\u{c9c0} \u{baab}\u{d588}\u{c2b5}\u{b2c8}\u{b2e4}";
        let russian = "\u{421}\u{43e}\u{43e}\u{431}\u{449}\u{435}\u{43d}\u{438}\u{435} \u{43d}\u{435} \u{434}\u{43e}\u{441}\u{442}\u{430}\u{432}\u{43b}\u{435}\u{43d}\u{43e}";
        for (text, encoding) in [
            (chinese, GBK),
            (japanese, SHIFT_JIS),
            (japanese, EUC_JP),
            (korean, EUC_KR),
            (russian, WINDOWS_1251),
            (russian, KOI8_R),
            ("Empf\u{e4}nger nicht gefunden, Postfach gel\u{f6}scht", WINDOWS_1252),
        ] {
            let bytes = encoding.encode(text).0;
            assert_eq!(lenient(&bytes), text, "{}", encoding.name());
        }
    }

    #[test]
    fn octal_escapes_are_undone_where_they_are_some() {
        for (text, plain) in [
            (r"bo\303\256te pleine", "bo\u{ee}te pleine"),
            (r"bo\356te pleine \340 ras", "bo\u{ee}te pleine \u{e0} ras"),
            (r"C:\303 is a folder", r"C:\303 is a folder"),
            (r"a\x and \9", r"a\x and \9"),
        ] {
            assert_eq!(unescape(text), plain, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_under_any_label_give_a_text(bytes in proptest::collection::vec(any::<u8>(), 0..200), label in "[ -~]{0,20}|utf-(7|8|16)|iso-2022-(jp|kr|cn)|hz-gb-2312|big5|gbk") {
            let text = decode(&bytes, Some(&label));
            prop_assert!(text.len() <= bytes.len() * 3 + 3);
            prop_assert!(unescape(&text).len() <= text.len());
        }
    }
}

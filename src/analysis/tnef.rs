//! The capsule in which some systems send a report to others of their kind (`winmail.dat`, application/ms-tnef): its
//! texts, as far as they are plain.
//!
//! A stream of attributes, each with a length and a sum. Read are the text of the message, its properties that hold
//! text, and the table of recipients; attachments, which hold the returned original, are not. Every length is checked
//! against what is there; nothing is copied but the texts.

use super::charset;

/// How much text is taken, in bytes, and how many properties and recipients are looked at.
const MAX_TEXT: usize = 16 * 1024;
const MAX_PROPERTIES: usize = 2_000;
const MAX_RECIPIENTS: usize = 50;

const SIGNATURE: u32 = 0x223e_9f78;
/// The attributes that are read.
const BODY: u32 = 0x0002_800c;
const PROPERTIES: u32 = 0x0006_9003;
const RECIPIENTS: u32 = 0x0006_9004;

/// The texts of a capsule: the message's, then a line for each recipient. `None` if it is none.
pub(super) fn text(capsule: &[u8]) -> Option<String> {
    let mut bytes = Bytes(capsule);
    if bytes.u32()? != SIGNATURE {
        return None;
    }
    bytes.take(2)?;
    let mut text = String::new();
    while let Some((level, id, data)) = bytes.attribute() {
        // Level 2 is of attachments.
        if level != 1 {
            continue;
        }
        match id {
            BODY => add(&mut text, &charset::lenient(data)),
            PROPERTIES => {
                for property in Bytes(data).properties().unwrap_or_default() {
                    if matches!(property.id, 0x1000 | 0x1001 | 0x0c1b) {
                        add(&mut text, &property.text());
                    }
                }
            }
            RECIPIENTS => add_recipients(&mut text, data),
            _ => {}
        }
    }
    (!text.trim().is_empty()).then_some(text)
}

/// A line for each recipient: the address, a colon, and what is said of it.
fn add_recipients(text: &mut String, table: &[u8]) {
    let mut bytes = Bytes(table);
    let Some(rows) = bytes.u32() else { return };
    for _ in 0..rows.min(u32::try_from(MAX_RECIPIENTS).unwrap_or(u32::MAX)) {
        let Some(properties) = bytes.properties() else { return };
        let find = |ids: &[u16]| {
            ids.iter().find_map(|id| properties.iter().find(|property| property.id == *id)).map(Property::text)
        };
        // SMTP address, address; report text, supplementary information.
        let Some(address) = find(&[0x39fe, 0x3003]).filter(|address| address.contains('@')) else { continue };
        let said: Vec<String> = [0x1001, 0x0c1b].iter().filter_map(|id| find(&[*id])).collect();
        add(text, &format!("{}: {}", address.trim(), said.join(" ")));
    }
}

fn add(text: &mut String, piece: &str) {
    let piece = piece.trim_matches('\0');
    if text.len() + piece.len() <= MAX_TEXT {
        text.push_str(piece);
        text.push('\n');
    }
}

/// A property that holds text.
struct Property<'c> {
    id: u16,
    wide: bool,
    value: &'c [u8],
}

impl Property<'_> {
    fn text(&self) -> String {
        if !self.wide {
            return charset::lenient(self.value).trim_end_matches('\0').to_string();
        }
        let units = self.value.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).filter(|c| *c != '\0').collect()
    }
}

/// What is left of a capsule.
struct Bytes<'c>(&'c [u8]);

impl<'c> Bytes<'c> {
    fn take(&mut self, count: usize) -> Option<&'c [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }

    fn attribute(&mut self) -> Option<(u8, u32, &'c [u8])> {
        let level = *self.take(1)?.first()?;
        let id = self.u32()?;
        let length = self.length()?;
        let data = self.take(length)?;
        self.take(2)?;
        Some((level, id, data))
    }

    /// The properties that hold text, of a list with its count in front.
    fn properties(&mut self) -> Option<Vec<Property<'c>>> {
        let count = self.length()?;
        let mut texts = Vec::new();
        for _ in 0..count.min(MAX_PROPERTIES) {
            let (kind, id) = (self.u16()?, self.u16()?);
            if id >= 0x8000 {
                self.take(16)?;
                if self.u32()? == 0 {
                    self.take(4)?;
                } else {
                    let length = self.length()?;
                    self.take(padded(length)?)?;
                }
            }
            let fixed = match kind & 0x0fff {
                0x02 | 0x03 | 0x04 | 0x0a | 0x0b => 4,
                0x05 | 0x06 | 0x07 | 0x14 | 0x40 => 8,
                0x48 => 16,
                0x0d | 0x1e | 0x1f | 0x102 => 0,
                _ => return Some(texts),
            };
            if fixed > 0 && kind & 0x1000 == 0 {
                self.take(fixed)?;
                continue;
            }
            let values = self.length()?;
            for _ in 0..values.min(MAX_PROPERTIES) {
                if fixed > 0 {
                    self.take(fixed)?;
                    continue;
                }
                let length = self.length()?;
                let value = self.take(padded(length)?)?.get(..length)?;
                if matches!(kind, 0x1e | 0x1f) {
                    texts.push(Property { id, wide: kind == 0x1f, value });
                }
            }
        }
        Some(texts)
    }
}

/// Values stand at multiples of four.
fn padded(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(level: u8, id: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap();
        [&[level][..], &id.to_le_bytes(), &length.to_le_bytes(), data, &[0, 0]].concat()
    }

    fn property(kind: u16, id: u16, text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        let mut value = text.to_vec();
        value.resize(text.len().next_multiple_of(4), 0);
        [&kind.to_le_bytes()[..], &id.to_le_bytes(), &1_u32.to_le_bytes(), &length.to_le_bytes(), &value].concat()
    }

    fn capsule() -> Vec<u8> {
        let wide: Vec<u8> = "No such user.\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let flag = [&3_u16.to_le_bytes()[..], &0x0c15_u16.to_le_bytes(), &1_u32.to_le_bytes()].concat();
        let row = [
            &3_u32.to_le_bytes()[..],
            &flag,
            &property(0x1e, 0x39fe, b"ann@example.net\0"),
            &property(0x1f, 0x1001, &wide),
        ]
        .concat();
        let table = [&1_u32.to_le_bytes()[..], &row].concat();
        let properties = [&1_u32.to_le_bytes()[..], &property(0x1e, 0x1001, b"Your message did not reach\0")].concat();
        [
            &SIGNATURE.to_le_bytes()[..],
            &[1, 0],
            &attribute(1, PROPERTIES, &properties),
            &attribute(2, BODY, b"the original"),
            &attribute(1, RECIPIENTS, &table),
        ]
        .concat()
    }

    #[test]
    fn the_texts_of_a_report_are_read_and_its_attachments_are_not() {
        assert_eq!(text(&capsule()).unwrap(), "Your message did not reach\nann@example.net: No such user.\n");
        assert_eq!(text(b"no capsule"), None);
    }

    proptest! {
        #[test]
        fn a_capsule_that_is_cut_or_bent_is_read(at in 0_usize..400, byte in any::<u8>(), end in 0_usize..400) {
            let mut bytes = capsule();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(end.max(6));
            let _ = text(&bytes);
        }
    }
}

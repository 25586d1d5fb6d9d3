//! A dialogue file, read into steps. The format is described in [`super`].

use std::time::Duration;

/// A file, read.
pub(super) struct Dialogue {
    pub(super) settings: Vec<String>,
    /// With the number of the line.
    pub(super) steps: Vec<(usize, Step)>,
}

/// One line, or several that belong together.
#[derive(Debug)]
pub(super) enum Step {
    Order(String, String),
    Give(Vec<u8>),
    GiveClose,
    GiveBroken(String),
    Time(Duration),
    Hold,
    Flush,
    Expect(Vec<u8>),
    ExpectStart(Vec<u8>),
    ExpectAction(String),
    ExpectClose,
}

impl Dialogue {
    pub(super) fn parse(text: &str, side: char) -> Result<Dialogue, String> {
        let mut dialogue = Dialogue { settings: Vec::new(), steps: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(settings) = line.strip_prefix("with ") {
                dialogue.settings.extend(settings.split_whitespace().map(String::from));
                continue;
            }
            let step = Step::parse(line, side).ok_or_else(|| format!("{number}: cannot be read: {line}"))?;
            match (dialogue.steps.last_mut(), step) {
                (Some((_, Step::Give(bytes))), Step::Give(more)) => bytes.extend(more),
                (_, step) => dialogue.steps.push((number, step)),
            }
        }
        Ok(dialogue)
    }
}

impl Step {
    fn parse(line: &str, side: char) -> Option<Step> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => {
                let (verb, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
                return Some(Step::Order(verb.into(), arguments.into()));
            }
            "!" => return Some(Step::ExpectAction(rest.into())),
            "time" => return duration(rest.strip_prefix('+')?).map(Step::Time),
            "hold" => return Some(Step::Hold),
            "flush" => return Some(Step::Flush),
            _ => {}
        }
        let ours = word.starts_with(side);
        let bytes = |bytes| if ours { Step::Expect(bytes) } else { Step::Give(bytes) };
        match word {
            "C:" | "S:" => Some(bytes(match rest.strip_suffix('\\') {
                Some(open) if !open.ends_with('\\') => unescape(open)?,
                _ => [unescape(rest)?.as_slice(), b"\r\n"].concat(),
            })),
            "C~" | "S~" if ours => Some(Step::ExpectStart(unescape(rest)?)),
            "C" | "S" => match rest.split_once(' ').unwrap_or((rest, "")) {
                ("close", "") if ours => Some(Step::ExpectClose),
                ("close", "") => Some(Step::GiveClose),
                ("broken", why) if !ours => Some(Step::GiveBroken(why.into())),
                ("repeat", what) => {
                    let (times, text) = what.split_once(' ')?;
                    let text = unescape(text.strip_prefix('"')?.strip_suffix('"')?)?;
                    Some(bytes(text.repeat(times.parse().ok()?)))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// `30s`, `500ms`, `10m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        "h" => Some(Duration::from_secs(number * 3600)),
        _ => None,
    }
}

/// The bytes that a text with escapes stands for.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

//! Standard input: one message a line.

use std::sync::Arc;
use std::time::Duration;

use returnpath::{Error, Mailer, Message, Receipt, Tag};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use crate::output::{Output, Printer};

/// The fields of one line, taken out one by one; what is left over is not known.
struct Line(Map<String, Value>);

/// A field, if there is one to blame, and what is wrong.
type Wrong = (Option<String>, String);

impl Line {
    fn parse(bytes: &[u8]) -> Result<Line, Wrong> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Line(fields)),
            Ok(_) => Err((None, "not a message: a JSON object is expected".into())),
            Err(error) => Err((None, format!("not JSON: {error}"))),
        }
    }

    /// The value of a field; null is as good as absent.
    fn take<T>(&mut self, name: &str, what: &str, read: impl Fn(Value) -> Option<T>) -> Result<Option<T>, Wrong> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| wrong(name, &format!("{what} is expected"))),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Wrong> {
        self.take(name, "a text", text)
    }

    fn recipients(&mut self) -> Result<Vec<String>, Wrong> {
        let read = |value| match value {
            Value::String(one) => Some(vec![one]),
            Value::Array(many) => many.into_iter().map(text).collect(),
            _ => None,
        };
        match self.take("to", "an address or a list of addresses", read)? {
            Some(recipients) if !recipients.is_empty() => Ok(recipients),
            _ => Err(wrong("to", "missing; name one recipient at least")),
        }
    }

    fn end(self) -> Result<(), Wrong> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err((Some(name.clone()), format!("{name}: unknown field; known are {FIELDS}"))),
        }
    }
}

fn wrong(name: &str, what: &str) -> Wrong {
    (Some(name.to_owned()), format!("{name}: {what}"))
}

fn text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

/// A line that was read, on its way to the store.
struct Pending {
    line: u64,
    key: Option<String>,
    tag: Option<Value>,
    to: Value,
    message: Message,
}

/// What is wrong with a line.
struct Problem {
    line: u64,
    key: Option<String>,
    to: Value,
    field: Option<String>,
    text: String,
}

/// Reads standard input to its end and prints what became of each line, in order. What was read while a commit was under
/// way goes into the next one. Up to 1,024 lines are in flight; then nothing more is read until they are durable.
pub(crate) async fn feed(mailer: Mailer, output: Output, printer: Arc<Printer>) {
    let (sender, mut lines) = mpsc::channel::<Result<Pending, Problem>>(BATCH);
    let reading = async move {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut buffer = Vec::new();
        let mut number = 0;
        loop {
            buffer.clear();
            match input.read_until(b'\n', &mut buffer).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    eprintln!("daemon: standard input: {error}");
                    break;
                }
            }
            number += 1;
            if !buffer.iter().all(u8::is_ascii_whitespace) && sender.send(read(number, &buffer)).await.is_err() {
                break;
            }
        }
    };
    let sending = async {
        let mut batch = Vec::with_capacity(BATCH);
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            // In one call, so that of two lines with one key the first one counts.
            let messages: Vec<Message> = batch.iter().flatten().map(|line| line.message.clone()).collect();
            printer.batch_begins();
            let mut receipts = mailer.send_all(messages).await.into_iter();
            for line in batch.drain(..) {
                match line {
                    Ok(line) => printed(line, receipts.next().expect("one a message"), &output, &printer),
                    Err(problem) => print_problem(problem, &output),
                }
            }
            printer.batch_ended();
        }
    };
    tokio::join!(reading, sending);
}

fn read(line: u64, bytes: &[u8]) -> Result<Pending, Problem> {
    let given: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let (key, to) = (given["key"].as_str().map(str::to_owned), given["to"].clone());
    let tag = Some(given["tag"].clone()).filter(|tag| !tag.is_null());
    match Line::parse(bytes).and_then(message) {
        Ok(message) => Ok(Pending { line, key, tag, to, message }),
        Err((field, text)) => Err(Problem { line, key, to, field, text }),
    }
}

fn message(mut line: Line) -> Result<Message, Wrong> {
    let recipients = line.recipients()?;
    let (from, subject, body) = (line.text("from")?, line.text("subject")?, line.text("text")?);
    let raw = match (line.text("raw")?, line.text("raw_base64")?) {
        (Some(_), Some(_)) => return Err(wrong("raw_base64", "there is `raw` already; one of the two")),
        (Some(raw), None) => Some(("raw", raw.into_bytes())),
        (None, Some(text)) => Some(("raw_base64", decode(&text).ok_or_else(|| wrong("raw_base64", "not base64"))?)),
        (None, None) => None,
    };
    let mut builder = match raw {
        Some((name, _)) if subject.is_some() || body.is_some() => {
            return Err(wrong(name, "a whole message has its subject and text in it; leave out `subject` and `text`"));
        }
        Some((_, raw)) => {
            let builder = Message::raw(raw);
            match from {
                Some(from) => builder.from(from),
                None => builder,
            }
        }
        None => {
            let from = from.ok_or_else(|| wrong("from", "missing; name the author"))?;
            let builder = Message::builder().from(from).text(body.unwrap_or_default());
            match subject {
                Some(subject) => builder.subject(subject),
                None => builder,
            }
        }
    };
    for recipient in recipients {
        builder = builder.to(recipient);
    }
    let tag = line.take("tag", "a text or an integer", |value| match value {
        Value::Number(number) => number.as_i64().map(Tag::from).or_else(|| number.as_u64().map(Tag::from)).map(Ok),
        Value::String(text) => Some(Err(text)),
        _ => None,
    })?;
    builder = match tag {
        Some(Ok(tag)) => builder.tag(tag),
        Some(Err(text)) => builder.tag(text),
        None => builder,
    };
    if let Some(mailing) = line.text("mailing")? {
        builder = builder.mailing(mailing);
    }
    if let Some(metadata) = line.take("metadata", "JSON", Some)? {
        builder = builder.metadata(metadata);
    }
    if let Some(key) = line.text("key")? {
        builder = builder.idempotency_key(key);
    }
    let seconds = |value: Value| Duration::try_from_secs_f64(value.as_f64()?).ok();
    if let Some(deadline) = line.take("deadline", "a number of seconds, not below 0,", seconds)? {
        builder = builder.deadline(deadline);
    }
    line.end()?;
    builder.build().map_err(|error| (field(&error), error.to_string()))
}

/// What the field is called in a line.
fn field(error: &Error) -> Option<String> {
    match error.field() {
        Some("idempotency_key") => Some("key".into()),
        field => field.map(str::to_owned),
    }
}

/// Base64 with or without line breaks.
fn decode(text: &str) -> Option<Vec<u8>> {
    mail_parser::decoders::base64::base64_decode(text.as_bytes())
}

fn printed(line: Pending, sent: Result<Receipt, Error>, output: &Output, printer: &Printer) {
    match sent {
        Ok(receipt) => {
            for delivery in &receipt.deliveries {
                output.line(&json!({
                    "event": "queued",
                    "id": delivery.id,
                    "message": receipt.message,
                    "to": delivery.recipient,
                    "return_path": delivery.return_path,
                    "tag": line.tag,
                    "key": line.key,
                }));
            }
            // Those of a repeated key were announced by the line that queued them, or in an earlier run.
            if !receipt.repeated {
                printer.announced(receipt.deliveries.iter().map(|delivery| delivery.id));
            }
        }
        Err(error) => {
            let Pending { line, key, to, .. } = line;
            print_problem(Problem { line, key, to, field: field(&error), text: error.to_string() }, output);
        }
    }
}

fn print_problem(problem: Problem, output: &Output) {
    output.line(&json!({
        "event": "error",
        "line": problem.line,
        "key": problem.key,
        "to": problem.to,
        "field": problem.field,
        "text": problem.text,
    }));
}

/// Lines of one commit; as many wait behind it.
const BATCH: usize = 512;
const FIELDS: &str = "from, to, subject, text, raw, raw_base64, tag, mailing, metadata, key, deadline";

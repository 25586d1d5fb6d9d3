//! Standard input: one message a line.

use std::sync::Arc;
use std::time::Duration;

use returnpath::{Error, Mailer, Message, Receipt, Tag};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::output::{Output, Printer};

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    from: Option<String>,
    to: To,
    subject: Option<String>,
    text: Option<String>,
    raw: Option<String>,
    raw_base64: Option<String>,
    tag: Option<TagValue>,
    mailing: Option<String>,
    metadata: Option<Value>,
    key: Option<String>,
    /// Seconds.
    deadline: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TagValue {
    Number(i64),
    Text(String),
}

/// A line that was read, on its way to the store.
struct Pending {
    line: u64,
    key: Option<String>,
    tag: Option<Value>,
    to: Value,
    sent: JoinHandle<Result<Receipt, Error>>,
}

/// What is wrong with a line.
struct Problem {
    line: u64,
    key: Option<String>,
    to: Value,
    field: Option<String>,
    text: String,
}

/// Reads standard input to its end and prints what became of each line, in order. Up to 1,024 lines are in flight;
/// then nothing more is read until the first of them is durable.
pub async fn feed(mailer: Mailer, output: Output, printer: Arc<Printer>) {
    let (sender, mut pending) = mpsc::channel::<Result<Pending, Problem>>(IN_FLIGHT);
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
            if buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            // Reserved first: the message is not given to the store before its place in the order is sure.
            let Ok(place) = sender.reserve().await else { break };
            place.send(submit(&mailer, number, &buffer));
        }
    };
    let printing = async {
        while let Some(pending) = pending.recv().await {
            match pending {
                Ok(pending) => printed(pending, &output, &printer).await,
                Err(problem) => print_problem(problem, &output),
            }
        }
    };
    tokio::join!(reading, printing);
}

fn submit(mailer: &Mailer, line: u64, bytes: &[u8]) -> Result<Pending, Problem> {
    let given: Line = serde_json::from_slice(bytes).map_err(|error| {
        let value: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        Problem {
            line,
            key: value["key"].as_str().map(str::to_owned),
            to: value["to"].clone(),
            field: None,
            text: format!("not a message: {error}"),
        }
    })?;
    let to = match &given.to {
        To::One(one) => json!(one),
        To::Many(many) => json!(many),
    };
    let key = given.key.clone();
    let tag = given.tag.as_ref().map(|tag| match tag {
        TagValue::Number(number) => json!(number),
        TagValue::Text(text) => json!(text),
    });
    let problem = |error: Error| Problem {
        line,
        key: key.clone(),
        to: to.clone(),
        field: error.field().map(str::to_owned),
        text: error.to_string(),
    };
    let message = message(given).map_err(&problem)?;
    let mailer = mailer.clone();
    let sent = tokio::spawn(async move { mailer.send(message).await });
    Ok(Pending { line, key, tag, to, sent })
}

fn message(given: Line) -> Result<Message, Error> {
    let recipients = match given.to {
        To::One(one) => vec![one],
        To::Many(many) => many,
    };
    let raw = match (given.raw, given.raw_base64) {
        (Some(raw), _) => Some(raw.into_bytes()),
        (None, Some(base64)) => Some(decode(&base64)?),
        (None, None) => None,
    };
    let mut builder = match raw {
        Some(raw) => Message::raw(raw),
        None => {
            let mut builder = Message::builder();
            if let Some(from) = given.from {
                builder = builder.from(from);
            }
            if let Some(subject) = given.subject {
                builder = builder.subject(subject);
            }
            builder.text(given.text.unwrap_or_default())
        }
    };
    for recipient in recipients {
        builder = builder.to(recipient);
    }
    builder = match given.tag {
        Some(TagValue::Number(number)) => builder.tag(Tag::from(number)),
        Some(TagValue::Text(text)) => builder.tag(text),
        None => builder,
    };
    if let Some(mailing) = given.mailing {
        builder = builder.mailing(mailing);
    }
    if let Some(metadata) = given.metadata {
        builder = builder.metadata(metadata);
    }
    if let Some(key) = given.key {
        builder = builder.idempotency_key(key);
    }
    if let Some(deadline) = given.deadline {
        builder = builder.deadline(Duration::try_from_secs_f64(deadline).unwrap_or_default());
    }
    builder.build()
}

/// Base64 with or without line breaks.
fn decode(text: &str) -> Result<Vec<u8>, Error> {
    mail_parser::decoders::base64::base64_decode(text.as_bytes())
        .ok_or_else(|| Message::raw(Vec::new()).header("raw_base64", "not base64").build().unwrap_err())
}

async fn printed(pending: Pending, output: &Output, printer: &Printer) {
    let problem = |field: Option<String>, text: String| Problem {
        line: pending.line,
        key: pending.key.clone(),
        to: pending.to.clone(),
        field,
        text,
    };
    match pending.sent.await {
        Ok(Ok(receipt)) => {
            for delivery in &receipt.deliveries {
                output.line(&json!({
                    "event": "queued",
                    "id": delivery.id,
                    "message": receipt.message,
                    "to": delivery.recipient,
                    "return_path": delivery.return_path,
                    "tag": pending.tag,
                    "key": pending.key,
                }));
            }
            printer.announced(receipt.deliveries.iter().map(|delivery| delivery.id));
        }
        Ok(Err(error)) => print_problem(problem(error.field().map(str::to_owned), error.to_string()), output),
        Err(error) => print_problem(problem(None, error.to_string()), output),
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

const IN_FLIGHT: usize = 1_024;

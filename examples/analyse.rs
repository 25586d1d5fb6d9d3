//! Reads messages from files and prints what each one is: one JSON line a file, in the order given.
//!
//! ```text
//! cargo run --example analyse -- PATH…
//! cargo run --release --example analyse -- --rate 20 PATH…
//! ```
//!
//! A folder stands for the files in it, sorted by name. A line has `file`, `kind` (`bounce`, `delayed`, `delivered`,
//! `autoreply`, `feedback` or `other`; a person's reply counts as `other`) and `recipients`, each with `address`,
//! `status`, `reason` (`null` unless the file is a bounce or a delay), `hard` and `confidence`. A file that cannot be
//! read gives `"kind":"other"` with `error`, and the exit status 1 at the end; a wrong call exits 2.
//!
//! `--evidence` adds what each verdict rests on: the `rule` that fired, the `source` of its text, and the `text`.
//!
//! `--rules FILE` judges by the rows of a file on top of the built-in rules; `manual::verdicts` says how they are written.
//!
//! `--rate N` reads all files first, analyses them N times over in this one thread, and prints messages and megabytes
//! a second, and the messages a second that mail-parser alone parses. `--no-dialects` leaves out what knows the
//! forms of particular mail systems and the words of particular providers.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use returnpath::analysis::{Analysis, Finding, Kind, Options, analyse_with};
use returnpath::verdict::Rules;
use serde_json::{Value, json};

const USAGE: &str = "usage: analyse [--rate N] [--evidence] [--rules FILE] [--no-dialects] PATH...";

fn main() -> ExitCode {
    let call = match Call::parse(std::env::args().skip(1)) {
        Ok(call) => call,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match call.rate {
        Some(times) => print_rate(&call, times),
        None => print_lines(&call),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for.
struct Call {
    rate: Option<u32>,
    evidence: bool,
    options: Options,
    paths: Vec<PathBuf>,
}

impl Call {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Call, String> {
        let mut call = Call { rate: None, evidence: false, options: Options::default(), paths: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rate" => {
                    let times = arguments.next().and_then(|text| text.parse().ok()).filter(|times| *times > 0);
                    call.rate = Some(times.ok_or("--rate wants how many times, 1 or more")?);
                }
                "--evidence" => call.evidence = true,
                "--rules" => {
                    let path = arguments.next().ok_or("--rules wants a file")?;
                    let rules = Rules::builder().file(path).build().map_err(|problem| problem.to_string())?;
                    call.options = call.options.rules(rules);
                }
                "--no-dialects" => call.options = call.options.without_dialects(),
                flag if flag.starts_with("--") => return Err(format!("unknown option {flag}")),
                path => call.paths.push(path.into()),
            }
        }
        if call.paths.is_empty() { Err("no file or folder was given".into()) } else { Ok(call) }
    }
}

/// Prints a line for each file. `false` if one could not be read.
fn print_lines(call: &Call) -> io::Result<bool> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut all_read = true;
    for path in &call.paths {
        for file in files(path) {
            let name = file.display().to_string();
            let line = match std::fs::read(&file) {
                Ok(message) => line(&name, &analyse_with(&message, &call.options), call.evidence),
                Err(error) => {
                    all_read = false;
                    json!({ "file": name, "kind": Kind::Other.name(), "recipients": [], "error": error.to_string() })
                }
            };
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    Ok(all_read)
}

/// The files that a path stands for: itself, or those in the folder, sorted.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.into()] };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| !path.is_dir()).collect();
    files.sort();
    files
}

fn line(file: &str, analysis: &Analysis, evidence: bool) -> Value {
    let kind = if analysis.kind == Kind::Reply { Kind::Other } else { analysis.kind };
    let recipients: Vec<Value> = analysis
        .findings
        .iter()
        .map(|finding| {
            let mut object = recipient(finding, kind);
            if evidence {
                let shown = &finding.verdict.evidence;
                object["rule"] = json!(shown.rule);
                object["source"] = json!(shown.source);
                object["text"] = json!(shown.text);
            }
            object
        })
        .collect();
    json!({ "file": file, "kind": kind.name(), "recipients": recipients })
}

fn recipient(finding: &Finding, kind: Kind) -> Value {
    let verdict = &finding.verdict;
    let has_reason = matches!(kind, Kind::Bounce | Kind::Delayed);
    json!({
        "address": finding.recipient,
        "status": verdict.status,
        "reason": has_reason.then(|| verdict.reason.name()),
        "hard": verdict.is_hard(),
        "confidence": (f64::from(verdict.evidence.confidence) * 1000.0).round() / 1000.0,
    })
}

/// Analyses everything `times` times and prints how fast that went.
fn print_rate(call: &Call, times: u32) -> io::Result<bool> {
    let messages: Result<Vec<Vec<u8>>, io::Error> =
        call.paths.iter().flat_map(|path| files(path)).map(std::fs::read).collect();
    let messages = messages?;
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let analysed = seconds(times, &messages, |message| analyse_with(message, &call.options).findings.len());
    let parser = mail_parser::MessageParser::default();
    let parsed = seconds(times, &messages, |message| parser.parse(message).map_or(0, |parsed| parsed.parts.len()));
    let runs = f64::from(times);
    let count = messages.len() as f64 * runs;
    println!(
        "{}",
        json!({
            "messages_per_second": (count / analysed).round(),
            "mb_per_second": (bytes as f64 * runs / analysed / 1e5).round() / 10.0,
            "parse_only_per_second": (count / parsed).round(),
        })
    );
    Ok(true)
}

/// How long it takes to give every message to `read`, `times` times over; never zero.
fn seconds(times: u32, messages: &[Vec<u8>], read: impl Fn(&[u8]) -> usize) -> f64 {
    // A stopwatch is the one thing here that needs the clock.
    #[allow(clippy::disallowed_methods)]
    let begin = std::time::Instant::now();
    for _ in 0..times {
        for message in messages {
            std::hint::black_box(read(std::hint::black_box(message)));
        }
    }
    begin.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
}

//! Sends one message and waits for what becomes of it.
//!
//! ```text
//! cargo run --example send -- b.example.org mail.example.org news@example.org ann@example.net
//! ```
//!
//! The message is on disk (`send.db`) before anything is sent; started again, the example first goes on with what the
//! last run left. A bounce of later arrives only where a listener runs: see the example `daemon`.

use std::process::ExitCode;
use std::time::Duration;

use returnpath::{Error, Event, HandlerResult, Mailer, Message, event};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [return_domain, ehlo, from, to] = &args[..] else {
        eprintln!("usage: send RETURN_DOMAIN EHLO_NAME FROM TO");
        return ExitCode::from(2);
    };
    match send(return_domain, ehlo, from, to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("send: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn send(return_domain: &str, ehlo: &str, from: &str, to: &str) -> Result<(), Error> {
    let handler = event::from_fn(|event: Event| async move {
        println!("{}", event.to_json());
        HandlerResult::Ok(())
    });
    let mailer = Mailer::builder(return_domain).ehlo(ehlo).store("send.db").handler(handler).start().await?;
    let message =
        Message::builder().from(from).to(to).subject("Hello").text("A message with a return path of its own.");
    let receipt = mailer.send(message).await?;
    for delivery in &receipt.deliveries {
        println!("{} is queued as {}; its return path is {}", delivery.recipient, delivery.id, delivery.return_path);
        match mailer.outcome(delivery.id, Duration::from_secs(60)).await? {
            Some(outcome) => println!("outcome: {outcome:?}"),
            None => println!("no outcome yet; it stays queued in send.db"),
        }
    }
    mailer.shutdown(Duration::from_secs(10)).await
}

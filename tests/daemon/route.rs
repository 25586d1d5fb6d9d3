//! Domains whose mail exchangers lead nowhere, and those that lead to loopback.

use std::net::{IpAddr, Ipv4Addr};

use returnpath::testing::RemoteHost;
use serde_json::{Value, json};

use crate::name_server::{Answer, NameServer};
use crate::process::Site;

fn to(recipient: &str) -> Value {
    json!({"from": "news@example.org", "to": recipient, "subject": "Hello", "text": "Good morning.", "tag": recipient.split('@').next()})
}

const LOOPBACK: Answer = Answer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

#[tokio::test]
async fn a_domain_without_a_mail_exchanger_fails_at_once_and_a_broken_one_is_asked_again() {
    let server = NameServer::start([
        ("null.example", Answer::Exchangers(vec![(0, ".")])),
        ("nothing.example", Answer::Nothing),
        ("dangling.example", Answer::Exchangers(vec![(10, "gone.example")])),
        ("broken.example", Answer::Broken),
        ("mx.broken.example", LOOPBACK),
    ])
    .await;
    let remote = RemoteHost::start().await.unwrap();
    let port = remote.address().port().to_string();
    let site = Site::new();
    let flags = ["--dns", &server.address(), "--smtp-port", &port, "--allow-loopback", "--retry", "100ms"];
    let delays = ["--delay-after", "1ms"];
    let mut daemon = site.daemon(&[&flags[..], &delays].concat());
    for domain in ["missing.example", "null.example", "nothing.example", "dangling.example", "broken.example"] {
        daemon.feed(&to(&format!("ann@{domain}"))).await;
    }
    for (domain, reason, address_state, named) in [
        ("missing.example", "domain_unknown", "no_domain", "does not exist"),
        ("null.example", "domain_refuses_mail", "no_domain", "null MX"),
        ("nothing.example", "domain_unknown", "no_domain", "neither a mail exchanger nor an address"),
        ("dangling.example", "domain_unknown", "no_domain", "none of the mail exchangers"),
    ] {
        let to = format!("ann@{domain}");
        let fail = daemon.line(domain, |line| line["event"] == "fail" && line["to"] == to).await;
        assert_eq!(fail["reason"], reason, "{fail}");
        assert_eq!(fail["address_state"], address_state, "{fail}");
        assert_eq!((&fail["stage"], &fail["attempts"]), (&json!("dns"), &json!(1)), "{fail}");
        assert_eq!((&fail["code"], &fail["status"], &fail["host"]), (&Value::Null, &Value::Null, &Value::Null));
        let text = fail["text"].as_str().unwrap();
        assert!(text.contains(domain) && text.contains(named), "{text}");
    }
    let delay = daemon.event("delay").await;
    assert_eq!((&delay["to"], &delay["stage"]), (&json!("ann@broken.example"), &json!("dns")), "{delay}");
    assert!(delay["text"].as_str().unwrap().contains("broken.example"), "{delay}");
    server.set("broken.example", Answer::Exchangers(vec![(10, "mx.broken.example")]));
    let delivered = daemon.event("delivered").await;
    assert_eq!(delivered["to"], "ann@broken.example");
    assert!(delivered["attempts"].as_u64().unwrap() >= 2, "{delivered}");
    let host = format!("mx.broken.example[127.0.0.1]:{port}");
    assert_eq!(delivered["host"], host);
}

#[tokio::test]
async fn loopback_addresses_from_the_dns_are_used_only_where_that_is_allowed() {
    let server = NameServer::start([
        ("inside.example", Answer::Exchangers(vec![(10, "mx.inside.example")])),
        ("mx.inside.example", LOOPBACK),
    ])
    .await;
    let remote = RemoteHost::start().await.unwrap();
    let port = remote.address().port().to_string();
    let dns = server.address();
    let flags = ["--dns", &dns, "--smtp-port", &port, "--retry", "50ms", "--give-up", "1s"];

    let site = Site::new();
    let mut daemon = site.daemon(&flags);
    daemon.feed(&to("ann@inside.example")).await;
    let fail = daemon.event("fail").await;
    assert_eq!(fail["stage"], "dns", "{fail}");
    assert!(fail["text"].as_str().unwrap().contains("no address on the public internet"), "{fail}");
    daemon.kill().await;
    assert!(remote.taken().is_empty());

    let site = Site::new();
    let mut daemon = site.daemon(&[&flags[..], &["--allow-loopback"]].concat());
    daemon.feed(&to("ann@inside.example")).await;
    daemon.event("delivered").await;
    assert_eq!(remote.taken()[0].recipients, ["ann@inside.example"]);
}

/// What waits for a smarthost is not bound to it: it goes where the next start says.
#[tokio::test]
async fn mail_that_waits_for_a_smarthost_takes_another_way_after_a_start_without_it() {
    let server = NameServer::start([
        ("outside.example", Answer::Exchangers(vec![(10, "mx.outside.example")])),
        ("mx.outside.example", LOOPBACK),
    ])
    .await;
    let remote = RemoteHost::start().await.unwrap();
    let port = remote.address().port().to_string();
    let site = Site::new();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut daemon = site.daemon(&["--relay", &silent.local_addr().unwrap().to_string()]);
    daemon.feed(&to("ann@outside.example")).await;
    daemon.event("queued").await;
    let _connection = silent.accept().await.unwrap();
    daemon.kill().await;

    let dns = server.address();
    let daemon = site.daemon(&["--dns", &dns, "--smtp-port", &port, "--allow-loopback"]);
    let end = daemon.line("its end", |line| line["event"] != "queued").await;
    assert_eq!(end["event"], "delivered", "{end}");
}

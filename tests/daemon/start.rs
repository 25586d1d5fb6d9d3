//! Starts that must not succeed: each says what is wrong and what to do, and leaves nothing half-done behind.

use std::fs;

use returnpath::testing::RemoteHost;
use serde_json::json;

use crate::process::{DOMAIN, Daemon, Ended, Site};

/// A start that fails with this status; the message has all of these words.
async fn assert_fails(flags: &[&str], code: i32, words: &[&str]) -> Ended {
    let ended = Daemon::start(flags).end().await;
    assert_eq!(ended.code, Some(code), "{flags:?}: {}", ended.errors);
    assert!(ended.lines.is_empty(), "{flags:?}: {:?}", ended.lines);
    for word in words {
        assert!(ended.errors.contains(word), "{flags:?}: no {word:?} in {:?}", ended.errors);
    }
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    ended
}

fn with<'a>(site_store: &'a str, further: &[&'a str]) -> Vec<&'a str> {
    let mut flags =
        vec!["--domain", DOMAIN, "--ehlo", "mail.example.org", "--quiet", "--disk-reserve", "0", "--store", site_store];
    flags.extend(further);
    flags
}

#[tokio::test]
async fn usage_ends_with_2_and_names_the_flag() {
    for (flags, words) in [
        (&["--store", "memory"][..], &["--domain", "missing"][..]),
        (&["--domain", DOMAIN], &["--store", "missing", "sqlite:"]),
        (&["--domain"], &["--domain", "value is missing"]),
        (&["--domain", DOMAIN, "--store", "memory", "--sotre", "x"], &["--sotre", "no such flag"]),
        (&["--domain", DOMAIN, "--store", "mail.db"], &["--store", "mail.db", "sqlite:FILE"]),
        #[cfg(not(feature = "postgres"))]
        (&["--domain", DOMAIN, "--store", "postgres://db.example/mail"], &["--store", "feature `postgres`"]),
        (&["--domain", DOMAIN, "--store", "memory", "--lmtp", "127.0.0.1:0"], &["--lmtp", "not in this version"]),
        (
            &["--domain", DOMAIN, "--store", "memory", "--dashboard", "127.0.0.1:0"],
            &["--dashboard", "not in this version"],
        ),
        (&["--domain", DOMAIN, "--store", "memory", "--check"], &["--check", "not in this version"]),
        (&["--domain", DOMAIN, "--store", "memory", "--retry", "1s,soon"], &["--retry", "soon"]),
        (&["--domain", DOMAIN, "--store", "memory", "--smtp-port", "70000"], &["--smtp-port", "70000"]),
        (&["--domain", DOMAIN, "--store", "memory", "--dns", "ns.example"], &["--dns", "ns.example"]),
        (&["--domain", DOMAIN, "--store", "memory", "--tls", "cert.pem"], &["--tls", "value is missing"]),
    ] {
        assert_fails(flags, 2, words).await;
    }
}

/// The file of the user's rules: read at the start, and again at SIGHUP.
#[tokio::test]
async fn rules_are_read_at_the_start_and_again_at_a_hangup() {
    let site = Site::new();
    let path = site.path("rules.tsv");
    let flag = path.display().to_string();
    let write = |reason: &str| {
        fs::write(&path, format!("mine.desk\tany\tdesk is closed\t{reason}\tno_statement\tnone\tours\n")).unwrap();
    };
    fs::write(&path, "mine.desk\tany\tclosed\n").unwrap();
    assert_fails(&with("memory", &["--rules", &flag]), 1, &["rules.tsv line 1: 3 fields, expected 7"]).await;
    write("spam");
    let remote = RemoteHost::start().await.unwrap();
    remote.on_rcpt("ann@example.net", "550 this desk is closed");
    let relay = remote.address().to_string();
    let mut daemon = site.daemon(&["--rules", &flag, "--relay", &relay]);
    let message = json!({"from": "news@example.org", "to": "ann@example.net", "subject": "x", "text": "x"});
    daemon.feed(&message).await;
    assert_eq!(daemon.event("fail").await["reason"], "spam");
    write("virus");
    let hung_up = std::process::Command::new("kill").args(["-HUP", &daemon.process_id()]).status().unwrap();
    assert!(hung_up.success());
    // Whether the signal or the next message comes first is not said; one of the next messages finds the new rules.
    for fails in 2.. {
        daemon.feed(&message).await;
        let is_fail = |line: &&serde_json::Value| line["event"] == "fail";
        let lines = daemon.until("the next failure", |lines| lines.iter().filter(is_fail).count() >= fails).await;
        if lines.iter().rfind(is_fail).unwrap()["reason"] == "virus" {
            break;
        }
        assert!(fails < 10_000, "the new rules are not in force");
    }
}

#[tokio::test]
async fn settings_are_checked_together_and_before_anything_is_made() {
    let site = Site::new();
    let store = format!("sqlite:{}", site.store().display());
    let flags = ["--domain", "nodot", "--ehlo", "localhost", "--store", &store, "--relay", "mx.example", "--quiet"];
    let words = ["\"nodot\"", "ehlo: \"localhost\"", "dot", "smarthost: \"mx.example\"", "host:port"];
    assert_fails(&flags, 1, &words).await;
    let missing = site.path("roots.pem").display().to_string();
    assert_fails(&with(&store, &["--tls-ca", &missing]), 1, &["tls_roots", "roots.pem"]).await;
    assert_eq!(site.files(), [""; 0]);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_why_and_is_left_as_it_was() {
    let site = Site::new();
    let foreign = site.path("notes.txt");
    fs::write(&foreign, "Dear diary,\n".repeat(20)).unwrap();
    let store = format!("sqlite:{}", foreign.display());
    assert_fails(&with(&store, &[]), 1, &["notes.txt", "not an SQLite database"]).await;
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "Dear diary,\n".repeat(20));

    let missing = format!("sqlite:{}", site.path("none").join("mail.db").display());
    assert_fails(&with(&missing, &[]), 1, &["mail.db", "directory", "does not exist"]).await;
    let folder = format!("sqlite:{}", site.path("").display());
    assert_fails(&with(&folder, &[]), 1, &["is a directory"]).await;
    assert_eq!(site.files(), ["notes.txt"]);
}

#[tokio::test]
async fn a_store_belongs_to_one_process() {
    let site = Site::new();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = silent.local_addr().unwrap().to_string();
    let mut first = site.daemon(&["--listen", "127.0.0.1:0", "--relay", &relay]);
    first.listener().await;
    let store = format!("sqlite:{}", site.store().display());
    assert_fails(&with(&store, &[]), 1, &["mail.db", "in use by another process", "stop the other"]).await;
    // The first one has not noticed, and its end frees the store, whatever files are left.
    first.feed(&json!({"from": "news@example.org", "to": "ann@example.net", "subject": "Hello", "text": "…"})).await;
    let queued = first.event("queued").await;
    first.kill().await;
    let remote = returnpath::testing::RemoteHost::start().await.unwrap();
    let second = site.daemon(&["--relay", &remote.address().to_string()]);
    second.line("what was queued before", |line| line["event"] == "delivered" && line["id"] == queued["id"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_file_is_read_whole_and_from_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::new();
    let store = format!("sqlite:{}", site.store().display());
    let keys = site.path("ring.keys");
    let name = keys.display().to_string();
    let flags = with(&store, &["--keys", &name]);

    fs::write(&keys, "a shopping list\n").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    assert_fails(&flags, 1, &["ring.keys", "keyring"]).await;
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    assert_fails(&flags, 1, &["ring.keys", "chmod 600"]).await;
    let folder = site.path("").display().to_string();
    assert_fails(&with(&store, &["--keys", &folder]), 1, &["not a regular file"]).await;
    let nowhere = site.path("none").join("ring.keys").display().to_string();
    assert_fails(&with(&store, &["--keys", &nowhere]), 1, &["ring.keys", "folder must exist"]).await;
    assert_eq!(site.files(), ["ring.keys"]);
    fs::remove_file(&keys).unwrap();

    // Made at the first start, and then the only one that this store takes.
    let minted = Daemon::start(with(&store, &["--keys", &name, "--mint", "ann@example.net"])).end().await;
    assert_eq!(minted.code, Some(0), "{}", minted.errors);
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    // A key with a wrong digit is found by its fingerprint.
    let text = fs::read_to_string(&keys).unwrap();
    let secret = text.lines().last().unwrap().split(' ').nth(4).unwrap();
    let digit = if secret.starts_with('0') { "1" } else { "0" };
    fs::write(&keys, text.replace(secret, &format!("{digit}{}", &secret[1..]))).unwrap();
    let ended = assert_fails(&flags, 1, &["ring.keys", "line 4"]).await;
    assert!(!ended.errors.contains(&secret[1..]), "a secret in the message");

    let other = site.path("other.keys").display().to_string();
    let mut made = Daemon::start(["--domain", DOMAIN, "--store", "memory", "--keys", &other, "--quiet", "--drain"]);
    made.end_input();
    assert_eq!(made.end().await.code, Some(0));
    assert_fails(&with(&store, &["--keys", &other]), 1, &["another secret under key 0", "the ring of before"]).await;
    // Nothing of the other ring went into the store.
    fs::write(&keys, text).unwrap();
    let again = Daemon::start(with(&store, &["--keys", &name, "--mint", "bob@example.net"])).end().await;
    assert_eq!(again.code, Some(0), "{}", again.errors);
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_says_why() {
    let site = Site::new();
    let store = format!("sqlite:{}", site.store().display());
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_fails(&with(&store, &["--listen", &address]), 1, &["listen", &address, "another program listens"]).await;
    assert_fails(&with(&store, &["--listen", "25"]), 1, &["listen", "\"25\"", "[::]:25"]).await;
    assert_fails(&with(&store, &["--listen", "192.0.2.1:0"]), 1, &["listen", "192.0.2.1", "no interface"]).await;
    let missing = site.path("cert.pem").display().to_string();
    let flags = with(&store, &["--listen", "127.0.0.1:0", "--tls", &missing, &missing]);
    assert_fails(&flags, 1, &["tls", "cert.pem"]).await;

    // Where the user may not open it, and ports below 1024 are protected at all.
    let denied = std::net::TcpListener::bind("127.0.0.1:25")
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if denied {
        assert_fails(&with(&store, &["--listen", "127.0.0.1:25"]), 1, &["listen", "127.0.0.1:25", "CAP_NET_BIND"])
            .await;
    } else {
        println!("skipped: this user may open port 25");
    }

    // What is left is a store in order, that nobody holds.
    let ended = Daemon::start(with(&store, &["--mint", "ann@example.net"])).end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
}

#[tokio::test]
async fn a_minted_path_is_accepted_by_the_listener_of_the_same_store() {
    let site = Site::new();
    let store = format!("sqlite:{}", site.store().display());
    let minted = Daemon::start(with(&store, &["--mint", "ann@example.net"])).end().await;
    assert_eq!(minted.code, Some(0), "{}", minted.errors);
    let path = minted.lines.last().unwrap().as_str().unwrap();
    let daemon = site.daemon(&["--listen", "127.0.0.1:0"]);
    let report = returnpath::testing::Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    let reply = returnpath::testing::deliver_to(daemon.listener().await, path, &report).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let bounce = daemon.event("bounce").await;
    assert_eq!((&bounce["to"], &bounce["verified"]), (&json!("ann@example.net"), &json!(true)));
}

//! STARTTLS with a real Postfix, both ways, with certificates that nobody vouches for.

use std::fs;
use std::path::{Path, PathBuf};

use returnpath::event::EventKind;
use returnpath::{Mailer, Message, Smarthost, StoreLocation};

use crate::postfix::Setup;
use crate::subscribers::Subscribers;

#[tokio::test]
async fn mail_and_its_return_travel_encrypted() {
    let Some(setup) = Setup::new() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let subscribers = Subscribers::create(&home.path().join("subscribers.db"));
    let mailer = Mailer::builder("b.example.org")
        .ehlo("mail.example.org")
        .store(StoreLocation::memory())
        .smarthost(Smarthost::new(setup.address().to_string()))
        .handler(subscribers.clone())
        .start()
        .await
        .expect("all settings are there");
    let (certificate, key) = self_signed("mail.example.org", home.path());
    let listener = mailer.listener().tls(certificate, key).bind("127.0.0.1:0").await.expect("a free port");

    let (certificate, key) = self_signed("mx.remote.example", setup.home());
    let postfix = setup
        .transport("b.example.org", listener.local_addr())
        .setting(&format!("smtpd_tls_chain_files = {}, {}", key.display(), certificate.display()))
        .setting("smtpd_tls_security_level = may\nsmtpd_tls_loglevel = 1")
        .setting("smtp_tls_security_level = may\nsmtp_tls_loglevel = 1")
        .start()
        .await;

    subscribers.add(1, "nobody-of-that-name@local.example");
    let message = Message::builder().from("news@example.org").to("nobody-of-that-name@local.example");
    mailer.send(message.subject("Hello").text("Hello").tag(1)).await.expect("on disk");
    subscribers.wait_for(1, EventKind::Bounce).await;

    postfix.logged(&["smtpd", "TLS connection established from", "TLSv1.3"]).await;
    let port = format!(":{}", listener.local_addr().port());
    postfix.logged(&["/smtp[", "TLS connection established to", &port, "TLSv1.3"]).await;
    assert_eq!(subscribers.table()[0].reason.as_deref(), Some("user_unknown"));
}

/// A certificate for this name, signed by its own key, and that key: two PEM files.
fn self_signed(name: &str, folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a name");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem()).expect("the folder is ours");
    fs::write(&key, made.signing_key.serialize_pem()).expect("the folder is ours");
    (certificate, key)
}

//! STARTTLS at the listener.

use std::sync::Arc;

use returnpath::event::EventKind;
use returnpath::testing::Report;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::peer::Peer;
use crate::rig::Rig;

#[tokio::test]
async fn a_report_comes_over_tls_and_nothing_said_in_clear_is_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let listener = rig.mailer.listener().tls(&certificate, &key).bind("127.0.0.1:0").await.unwrap();
    let mut peer = Peer::connect(listener.local_addr()).await;
    assert!(peer.say("EHLO remote.example").await.contains("STARTTLS"));
    assert!(peer.offer(queued.return_path.as_str()).await.starts_with("250"));
    assert!(peer.say("STARTTLS").await.starts_with("220"));

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("mail.example.org").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, peer.into_stream()).await.unwrap();
    let mut peer = Peer::over(stream);
    assert!(peer.say("DATA").await.starts_with("503"), "the envelope was forgotten");
    let offered = peer.say("EHLO remote.example").await;
    assert!(offered.starts_with("250") && !offered.contains("STARTTLS"), "{offered}");
    assert!(peer.offer(queued.return_path.as_str()).await.starts_with("250"));
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    assert!(peer.send(&report).await.starts_with("250"));
    assert_eq!(rig.told_of(EventKind::Bounce).await.delivery(), Some(queued.id));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let rig = Rig::new().await;
    let bind = || rig.mailer.listener().tls(&certificate, &key).bind("127.0.0.1:0");
    let error = bind().await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("cert.pem"), "{error}");
    let made = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, "not a key\n").unwrap();
    let error = bind().await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("key.pem"), "{error}");
    let other = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    let error = bind().await.unwrap_err();
    assert!(error.is_config() && error.to_string().starts_with("tls:"), "{error}");
}

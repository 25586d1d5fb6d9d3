//! Bounds: of one message, and of what one return path can make.

use returnpath::event::EventKind;
use returnpath::testing::{Report, deliver_to};

use crate::peer::Peer;
use crate::rig::Rig;

#[tokio::test]
async fn a_message_over_the_largest_size_is_refused_and_the_conversation_goes_on() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let listener = rig.mailer.listener().max_size(10_000).bind("127.0.0.1:0").await.unwrap();
    let mut peer = Peer::connect(listener.local_addr()).await;
    assert!(peer.say("EHLO remote.example").await.contains("SIZE 10000\r\n"));
    let reply = peer.say("MAIL FROM:<> SIZE=10001").await;
    assert!(reply.starts_with("552 5.3.4"), "said before it is sent: {reply}");
    assert!(peer.offer(queued.return_path.as_str()).await.starts_with("250"));
    let reply = peer.send(&format!("Subject: large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(600))).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    let report = Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    assert!(peer.offer(queued.return_path.as_str()).await.starts_with("250"));
    assert!(peer.send(&report).await.starts_with("250"));
    let told = rig.all_that_came_back().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind(), EventKind::Bounce);
}

#[tokio::test]
async fn a_flood_to_one_path_is_bounded_told_once_and_harms_no_other() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    for number in 0..25 {
        let report = Report::failed("ann@example.net", "5.1.1", &format!("550 5.1.1 no such user, try {number}"));
        let reply = deliver_to(rig.address(), queued.return_path.as_str(), &report.to_string()).await.unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    let told = rig.all_that_came_back().await;
    let of = |kind| told.iter().filter(|event| event.kind() == kind).count();
    assert_eq!((of(EventKind::Bounce), of(EventKind::Alert), told.len()), (20, 1, 21));
    let alert = told.iter().find(|event| event.kind() == EventKind::Alert).unwrap();
    assert_eq!(alert.delivery(), Some(queued.id));
    assert!(alert.text().unwrap().contains("20"), "{:?}", alert.text());

    let other = rig.sent("bob@example.net").await;
    let report = Report::failed("bob@example.net", "5.1.1", "550 5.1.1 no such user").to_string();
    deliver_to(rig.address(), other.return_path.as_str(), &report).await.unwrap();
    rig.told("a bounce of the other", |event| event.kind() == EventKind::Bounce && event.delivery() == Some(other.id))
        .await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_asked_to_come_again() {
    let rig = Rig::new().await;
    let listener = rig.mailer.listener().max_connections(1).bind("127.0.0.1:0").await.unwrap();
    let mut first = Peer::connect(listener.local_addr()).await;
    let stream = tokio::net::TcpStream::connect(listener.local_addr()).await.unwrap();
    let reply = Peer::over(stream).reply().await;
    assert!(reply.starts_with("421 4.3.2"), "{reply}");
    assert!(first.say("QUIT").await.starts_with("221"));
    assert_eq!(first.reply().await, "");
}

#[tokio::test]
async fn a_mailer_that_shuts_down_lets_those_go_that_are_connected() {
    let rig = Rig::new().await;
    let mut peer = Peer::connect(rig.address()).await;
    rig.mailer.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    let reply = peer.reply().await;
    assert!(reply.starts_with("421 4.3.2"), "{reply}");
    assert_eq!(peer.reply().await, "");
}

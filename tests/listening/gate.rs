//! Who is let in at RCPT, before any data.

use returnpath::event::EventKind;
use returnpath::testing::{Report, deliver_to};
use returnpath::{Envelope, Keyring, Reception, StoreLocation};

use crate::peer::Peer;
use crate::rig::Rig;

fn report() -> String {
    Report::failed("ann@example.net", "5.1.1", "550 5.1.1 no such user").to_string()
}

/// The seal stands at the end of the local part.
fn with_another_last_character(path: &str) -> String {
    let (local, domain) = path.split_once('@').unwrap();
    let (rest, last) = local.split_at(local.len() - 1);
    format!("{rest}{}@{domain}", if last == "q" { "a" } else { "q" })
}

#[tokio::test]
async fn a_callout_to_a_path_that_was_just_issued_is_welcome_and_makes_no_event() {
    let rig = Rig::new().await;
    let queued = rig.sent("ann@example.net").await;
    let mut peer = Peer::connect(rig.address()).await;
    let reply = peer.offer(queued.return_path.as_str()).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(peer.say("QUIT").await.starts_with("221"));
    assert_eq!(peer.reply().await, "", "closed");
    assert!(rig.all_that_came_back().await.is_empty());
}

#[tokio::test]
async fn a_path_in_any_dress_is_let_in_and_a_forged_one_is_not() {
    let rig = Rig::new().await;
    let path = rig.sent("ann@example.net").await.return_path.to_string();
    let (local, domain) = path.split_once('@').unwrap();
    let upper = path.to_ascii_uppercase();
    let title = format!("{}{}@{domain}", local[..1].to_ascii_uppercase(), &local[1..]);
    let mut peer = Peer::connect(rig.address()).await;
    for welcome in [
        path.clone(),
        upper,
        title,
        format!("prvs=0123456789={path}"),
        format!("btv1==0123456789a=={path}"),
        format!("SRS0=HHHH=TT={domain}={local}@{domain}"),
        format!("{local}@B.Example.ORG"),
    ] {
        let reply = peer.offer(&welcome).await;
        assert!(reply.starts_with("250"), "{welcome}: {reply}");
        assert!(peer.say("RSET").await.starts_with("250"));
    }
    let changed = |index: usize| {
        let mut local = local.as_bytes().to_vec();
        local[index] = if local[index] == b'a' { b'b' } else { b'a' };
        format!("{}@{domain}", String::from_utf8(local).unwrap())
    };
    for forged in [
        changed(1),
        changed(local.len() / 2),
        changed(local.len() - 1),
        format!("{local}a@{domain}"),
        format!("{}@{domain}", &local[..local.len() - 1]),
        format!("{local}@example.org"),
        format!("news@{domain}"),
        format!("SRS0=HHHH=TT=example.com={local}@{domain}"),
    ] {
        let reply = peer.offer(&forged).await;
        assert!(reply.starts_with("550 5.1.1"), "{forged}: {reply}");
        assert!(peer.say("RSET").await.starts_with("250"));
    }
    assert!(rig.all_that_came_back().await.is_empty(), "nobody was told anything");
}

/// One recipient that is refused, and one forged report, hold up nothing that comes behind them.
#[tokio::test]
async fn a_bad_seal_between_good_ones_changes_nothing_for_them() {
    let rig = Rig::new().await;
    let first = rig.sent("ann@example.net").await;
    let second = rig.sent("bob@example.net").await;
    let forged = with_another_last_character(first.return_path.as_str());

    let reply = deliver_to(rig.address(), first.return_path.as_str(), &report()).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let reply = deliver_to(rig.address(), &forged, &report()).await.unwrap();
    assert!(reply.starts_with("550"), "{reply}");
    let reply = deliver_to(rig.address(), second.return_path.as_str(), &report()).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");

    let third = rig.sent("cid@example.net").await;
    let fourth = rig.sent("dan@example.net").await;
    let mut peer = Peer::connect(rig.address()).await;
    assert!(peer.offer(third.return_path.as_str()).await.starts_with("250"));
    assert!(peer.say(&format!("RCPT TO:<{forged}>")).await.starts_with("550"));
    assert!(peer.say(&format!("RCPT TO:<{}>", fourth.return_path)).await.starts_with("250"));
    assert!(peer.send(&report()).await.starts_with("250"));

    // The same through another transport: each recipient has its own answer.
    let fifth = rig.sent("eva@example.net").await;
    let envelope = Envelope::to(first.return_path.as_str()).and_to(&forged).and_to(fifth.return_path.as_str());
    let received = rig.mailer.receive(&envelope, report().as_bytes()).await.unwrap();
    assert_eq!((&received[0], &received[2]), (&Reception::Repeated, &Reception::Stored));
    assert!(matches!(&received[1], Reception::Refused(why) if why.contains(&forged)), "{received:?}");

    let mut told: Vec<_> =
        rig.all_that_came_back().await.iter().map(|event| (event.kind(), event.delivery().unwrap())).collect();
    told.sort();
    let mut expected = [&first, &second, &third, &fourth, &fifth].map(|queued| (EventKind::Bounce, queued.id));
    expected.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn role_addresses_are_let_in_and_told_as_other_with_the_raw_text() {
    let rig = Rig::new().await;
    for (index, role) in
        ["postmaster", "postmaster@b.example.org", "ABUSE@b.example.org", "feedback@b.example.org"].iter().enumerate()
    {
        let text = format!(
            "From: ann@example.net\r\nTo: {role}\r\nSubject: Question {index}\r\nMessage-ID: <q{index}@example.net>\r\n\r\nWhat is this?\r\n"
        );
        let reply = deliver_to(rig.address(), role, &text).await.unwrap();
        assert!(reply.starts_with("250"), "{role}: {reply}");
        let other = rig.told(role, |event| event.text() == Some(&format!("Question {index}"))).await;
        assert_eq!(
            (other.kind(), other.delivery(), other.to_json()["verified"].as_bool()),
            (EventKind::Other, None, Some(false))
        );
        assert_eq!(other.raw().expect("the raw text"), text.as_bytes());
    }
    let reply = deliver_to(rig.address(), "postmaster@example.org", "Subject: Hello\r\n\r\nHello\r\n").await.unwrap();
    assert!(reply.starts_with("550"), "of a domain of ours only: {reply}");
}

/// Two stores with one ring, as after a copy that was restored: the seal is ours, the delivery is not known.
#[tokio::test]
async fn a_sealed_path_of_an_unknown_delivery_is_told_with_its_id_and_tag() {
    let keyring = Keyring::generate();
    let other = Rig::over(StoreLocation::memory(), Some(Keyring::from_bytes(keyring.to_bytes()).unwrap())).await;
    let queued = other.sent("ann@example.net").await;
    assert!(queued.tag_in_path);
    let rig = Rig::over(StoreLocation::memory(), Some(keyring)).await;
    let reply = deliver_to(rig.address(), queued.return_path.as_str(), &report()).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let event = rig.told_of(EventKind::Other).await;
    assert_eq!(event.delivery(), Some(queued.id));
    assert_eq!(event.tag().and_then(|tag| tag.as_i64()), Some(17));
    assert_eq!(event.recipient(), None, "nobody knows to whom it went");
    assert!(event.raw().is_some());
}

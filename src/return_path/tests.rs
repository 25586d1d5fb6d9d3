//! The promise of the room: what was minted here opens, whatever hosts do to an address on its way; nothing else does.
//!
//! With `RETURNPATH_SCALE=full` in the environment a million changed paths are tried instead of some thousands.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::open::MintError;
use super::*;
use crate::DeliveryId;
use crate::id::IdSource;
use crate::tag::Tag;
use crate::time::Timestamp;

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const HONOUR_FOR: Duration = Duration::from_secs(90 * 86_400);
const RFC_4648: &str = "abcdefghijklmnopqrstuvwxyz234567";
/// What may stand where a character of the alphabet should: the digits that it leaves out, what separates and
/// quotes, what ends a path, what looks alike in other scripts.
const FOREIGN: &str = "0189-_=+.@\"\\ <>%!\0\r\u{e9}\u{430}\u{ff42}\u{212a}";

/// An instance: a ring that was rotated once, and all its forms.
struct Instance {
    ring: Keyring,
    forms: Vec<Form>,
    accepted: Forms,
    ids: IdSource,
}

impl Instance {
    /// Forms that differ in as little as possible, so that a path of one is nearly a path of another.
    fn new() -> Instance {
        let layouts = [("b", ""), ("b", "-"), ("b", "+"), ("bb", ""), ("bounce", "-"), ("", "")];
        let domains = ["b.example.org", "c.example.org", "b.example.net", "bb.example.org"];
        Instance::with(&domains, &layouts)
    }

    fn with(domains: &[&str], layouts: &[(&str, &str)]) -> Instance {
        let forms: Vec<Form> = domains
            .iter()
            .flat_map(|domain| layouts.iter().map(|(prefix, separator)| form(domain, prefix, separator)))
            .collect();
        let accepted = Forms::new(&forms, &[], HONOUR_FOR);
        Instance { ring: Keyring::of_secrets(&[[1; 32], [2; 32]]), forms, accepted, ids: IdSource::new(3, 0) }
    }

    fn id(&mut self) -> DeliveryId {
        DeliveryId::from_u64(self.ids.next(NOON))
    }

    /// A new path without its delivery.
    fn path(&mut self, form: usize, tag: Option<Tag>) -> String {
        let id = self.id();
        self.ring.mint(&self.forms[form], id, tag, TagPlacement::Always).unwrap().address().to_string()
    }

    fn open(&self, path: &str) -> Result<Returned, Refusal> {
        self.ring.open(path, &self.accepted, HONOUR_FOR, NOON + DAY)
    }
}

fn form(domain: &str, prefix: &str, separator: &str) -> Form {
    Form::new(domain, Layout::new(prefix, separator).unwrap()).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::try_from(text).unwrap()
}

/// The tag of the nth path: none, then each kind and length.
fn nth_tag(n: usize) -> Option<Tag> {
    match n % 18 {
        0 => None,
        17 => Some(Tag::from(n as i64 * 1_000_003)),
        length => Some(Tag::from_bytes(&(0..length).map(|at| (n * 31 + at * 7) as u8).collect::<Vec<_>>()).unwrap()),
    }
}

#[test]
fn of_changed_paths_none_opens() {
    let full = std::env::var("RETURNPATH_SCALE").is_ok_and(|scale| scale == "full");
    let wanted = if full { 1_000_000 } else { 20_000 };
    let mut instance = Instance::new();
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut paths = 0;
    let mut neighbour = instance.path(0, None);
    while tried.values().sum::<usize>() < wanted {
        let id = instance.id();
        let form = instance.forms[paths % instance.forms.len()].clone();
        // Seven is prime to the number of tags, and a few paths show short ones and long ones.
        let minted = instance.ring.mint(&form, id, nth_tag(paths * 7), TagPlacement::Always).unwrap();
        let path = minted.address().as_str();
        assert_eq!(instance.open(path).map(|returned| returned.delivery()), Ok(id), "{path}");
        each_change(&instance, path, &form, id, &neighbour, &mut |kind, changed| {
            match instance.open(changed) {
                Ok(returned) => panic!("{kind}: {changed:?} opened as {returned:?}, minted was {path:?}"),
                Err(refusal) => *refused.entry(format!("{refusal:?}")).or_default() += 1,
            }
            *tried.entry(kind).or_default() += 1;
        });
        neighbour = path.to_owned();
        paths += 1;
    }
    let total: usize = tried.values().sum();
    println!("{total} changed return paths of {paths}, none opened: {tried:?}; refused as {refused:?}");
    assert!(total >= wanted && tried.len() == 10, "every kind of change was tried: {tried:?}");
    assert!(refused["Forged"] > wanted / 10, "many got as far as the seal: {refused:?}");
}

/// Calls `visit` with the kind of change and the changed path, for every change there is.
fn each_change(
    instance: &Instance,
    path: &str,
    minted: &Form,
    id: DeliveryId,
    neighbour: &str,
    visit: &mut dyn FnMut(&'static str, &str),
) {
    let (local, domain) = path.rsplit_once('@').unwrap();
    let characters = || RFC_4648.chars().chain(FOREIGN.chars());
    let mut changed = String::new();
    for at in 0..=path.len() {
        for c in characters() {
            let mut put = |kind, rest: &str| {
                changed.clear();
                changed.push_str(&path[..at]);
                changed.push(c);
                changed.push_str(rest);
                visit(kind, &changed);
            };
            put("added", &path[at..]);
            if path[at..].chars().next().is_some_and(|there| there != c) {
                put("replaced", &path[at + 1..]);
            }
        }
        if at < path.len() {
            visit("removed", &[&path[..at], &path[at + 1..]].concat());
        }
        if at + 1 < path.len() && path.as_bytes()[at] != path.as_bytes()[at + 1] {
            let (one, two) = (&path[at..at + 1], &path[at + 1..at + 2]);
            visit("transposed", &[&path[..at], two, one, &path[at + 2..]].concat());
        }
    }

    let token = minted.layout.strip(local).unwrap();
    let last = RFC_4648.find(token.chars().last().unwrap()).unwrap();
    let spare = token.len() * 5 % 8;
    for bits in 1..1 << spare {
        let other = RFC_4648.as_bytes()[last ^ bits] as char;
        visit("spare bits", &format!("{}{other}@{domain}", &local[..local.len() - 1]));
    }
    for form in &instance.forms {
        let layout = &form.layout;
        let front = format!("{}{}", layout.prefix, layout.separator);
        if form != minted {
            let kind = if form.domain == minted.domain { "other prefix" } else { "other domain" };
            visit(kind, &format!("{front}{token}@{}", form.domain));
        }
        let mark = instance.ring.mark(id).unwrap();
        visit("mark", &format!("{front}{mark}@{}", form.domain));
        visit("mark", &format!("<{front}{mark}@{}>", form.domain));
    }
    for foreign in ["example.org", "x.b.example.org", "b.example.org.", "b.example.org.example", "[192.0.2.1]", ""] {
        visit("other domain", &format!("{local}@{foreign}"));
    }
    let other = neighbour.rsplit_once('@').unwrap().0;
    let shared = token.len().min(other.len());
    for at in 1..shared {
        // The head of this token with the end of another: a seal that is ours, over something else.
        let joined = format!("{}{}@{domain}", &local[..local.len() - at], &other[other.len() - at..]);
        if joined != path && joined != neighbour {
            visit("joined", &joined);
        }
    }
    for c in [1, token.len() / 2, token.len() - 1] {
        let at = local.len() - token.len() + c;
        let other = if &local[at..at + 1] == "a" { "b" } else { "a" };
        let wrong = [&local[..at], other, &local[at + 1..]].concat();
        visit("wrapped", &format!("prvs=190694bd6d={wrong}@{domain}"));
        visit("wrapped", &format!("SRS0=HHHH=TT={domain}={wrong}@forward.example"));
        visit("wrapped", &format!("SRS0=HHHH=TT=foreign.example={local}@{domain}"));
        visit("wrapped", &format!("\"{wrong}\"@{domain}"));
    }
}

/// Paths as they were minted when the format was made: a change that breaks one of them orphans all mail in flight.
#[test]
fn paths_that_are_out_keep_opening() {
    let instance = Instance::with(&["b.example.org", "b.test"], &[("b", ""), ("b", "-"), ("", "")]);
    for (path, given) in [
        ("baehdrp2aaaagaabogn7jicw5re@b.example.org", None),
        ("baahdrp2aaaagaabgsd45zjsl4u@b.example.org", None),
        ("b-aehdrp2aaaagaadwwvy7yhx5rcix2@b.example.org", Some(Tag::from(4711))),
        ("aehdrp2aaaagaac7hlu4v5m6oo6ndfhupkx5zcrfotx47vbqkkea@b.test", Some(tag("subscriber-00017"))),
    ] {
        let returned = instance.open(path).unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
        assert_eq!((returned.delivery().issued_at(), returned.tag()), (NOON, given), "{path}");
    }
    let marked = instance.ring.open_mark("aehdrp2aaaagaadt2dnr3q2qni").unwrap();
    assert_eq!(marked, DeliveryId::from_u64(IdSource::new(3, 0).next(NOON)));
}

/// Systems fold local parts to one case or the other, and put wrappers round them.
#[test]
fn every_case_and_every_wrapper_opens() {
    let mut instance = Instance::new();
    for n in 0..instance.forms.len() * 3 {
        let (id, form, given) = (instance.id(), instance.forms[n % instance.forms.len()].clone(), nth_tag(n));
        let path = instance.ring.mint(&form, id, given, TagPlacement::Always).unwrap();
        let (local, domain) = (path.address().local(), path.address().domain());
        let mixed: String =
            local.chars().enumerate().map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect();
        let escaped: String = local.chars().flat_map(|c| ['\\', c]).collect();
        let srs = format!("HHHH=TT={domain}={local}");
        for text in [
            format!("{local}@{domain}"),
            format!("{local}@{domain}").to_uppercase(),
            format!("{mixed}@{domain}"),
            format!("{local}@{}", domain.to_uppercase()),
            format!("\"{local}\"@{domain}"),
            format!("\"{escaped}\"@{domain}"),
            format!("prvs=190694bd6d={local}@{domain}"),
            format!("PRVS=190694BD6D={local}@{domain}").to_uppercase(),
            format!("btv1==0123456789a=={local}@{domain}"),
            format!("SRS0={srs}@forward.example"),
            format!("SRS0+{srs}@forward.example"),
            format!("srs0-{srs}@forward.example").to_lowercase(),
            format!("SRS1=GGGG=forward.example=={srs}@next.example"),
            format!("SRS1+GGGG=forward.example=-{srs}@next.example"),
            format!("SRS1=GGGG=forward.example=SRS0={srs}@next.example"),
            // A forwarder that takes another's address for a plain one, twice.
            format!("SRS0=GGGG=TT=forward.example=SRS0={srs}@next.example"),
            format!("SRS1=KKKK=next.example=SRS1=GGGG=forward.example=={srs}@last.example"),
            format!("SRS0=HHHH=TT={domain}=prvs=190694bd6d={local}@forward.example"),
            format!("prvs=190694bd6d=SRS0={srs}@forward.example"),
            format!("\"SRS0=HHHH=TT={domain}=prvs=190694bd6d={local}\"@forward.example"),
        ] {
            let returned = instance.open(&text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            assert_eq!((returned.delivery(), returned.tag()), (id, given), "{text}");
        }
    }
}

#[test]
fn wrappers_are_peeled_to_a_depth_and_lend_no_trust() {
    let mut instance = Instance::new();
    let path = instance.path(0, None);
    let (local, domain) = path.split_once('@').unwrap();
    let wrapped = |times: usize| format!("{}{local}@{domain}", "prvs=0a=".repeat(times));
    for times in 0..=wrappers::MAX_DEPTH {
        assert!(instance.open(&wrapped(times)).is_ok(), "{times}");
    }
    assert_eq!(instance.open(&wrapped(wrappers::MAX_DEPTH + 1)), Err(Refusal::NotOurs));
    for foreign in [
        format!("SRS0=HHHH=TT=foreign.example={local}@{domain}"),
        format!("SRS1=GGGG=one.example==HHHH=TT=foreign.example={local}@{domain}"),
        format!("prvs=0a={local}@foreign.example"),
        format!("SRS0=HHHH=TT={domain}=ann@forward.example"),
    ] {
        assert_eq!(instance.open(&foreign), Err(Refusal::NotOurs), "{foreign}");
    }
}

/// A recipient that is written out in the return path makes it longer than 64 octets, and a host answers 553.
#[test]
fn no_recipient_makes_a_path_too_long() {
    let mut instance = Instance::with(&["send.example"], &[("bounce", "+")]);
    for (given, octets) in [(None, 33), (Some(Tag::from(4711)), 36), (Some(tag("subscriber-00017")), 59)] {
        let path = instance.path(0, given);
        assert_eq!(path.find('@'), Some(octets), "{path}");
    }
    let long = form("send.example", &"b".repeat(38), "");
    let id = instance.id();
    let mint = |given, placement| instance.ring.mint(&long, id, given, placement);
    assert_eq!(mint(None, TagPlacement::Always).unwrap().address().local().len(), 64);
    let error = mint(Some(Tag::from(1)), TagPlacement::Always).unwrap_err();
    assert_eq!(error, MintError::TooLong(66));
    let error = crate::Error::from(error);
    assert!(error.is_message() && error.to_string().contains("tag: ") && error.to_string().contains("66 octets"));
    for placement in [TagPlacement::Fit, TagPlacement::Store] {
        assert!(!mint(Some(Tag::from(1)), placement).unwrap().carries_tag());
    }
}

/// A forwarder writes `SRS0=hash=tt=domain=local`; where that exceeds 64 octets the next hop refuses the mail.
#[test]
fn a_tag_rides_in_the_path_only_while_a_forwarders_address_fits() {
    let mut instance = Instance::with(&["b.example.org"], &[("b", "")]);
    let (mut with, mut without) = (0, 0);
    for domain in ["b.ex.org", "b.example.org", "a.bounces.example", "bounces.mail.a-long-name.example"] {
        let form = form(domain, "b", "");
        for length in 0..=Tag::MAX {
            let given = Tag::from_bytes(&vec![7; length]).unwrap();
            let id = instance.id();
            let forwarded = |path: &ReturnPath| {
                let srs = format!("SRS0=HHHH=TT={}={}", path.address().domain(), path.address().local());
                assert_eq!(path.srs_margin(), 64 - srs.len() as i16, "{srs}");
                srs.len() <= 64
            };
            let always = instance.ring.mint(&form, id, Some(given), TagPlacement::Always).unwrap();
            let fit = instance.ring.mint(&form, id, Some(given), TagPlacement::Fit).unwrap();
            assert_eq!(always.carries_tag(), length > 0);
            assert_eq!(fit.carries_tag(), length > 0 && forwarded(&always), "{domain} {length}");
            assert_eq!(fit.carries_tag() || length == 0, fit == always);
            let least = instance.ring.mint(&form, id, None, TagPlacement::Fit).unwrap();
            assert!(forwarded(&fit) || fit.address() == least.address());
            *(if fit.carries_tag() { &mut with } else { &mut without }) += 1;
        }
    }
    assert!(with > 5 && without > 20, "{with} {without}");
}

/// Some hosts refuse or rewrite `+`; a change of layout must not orphan what is in flight.
#[test]
fn every_layout_in_use_opens_also_after_a_change() {
    let mut instance = Instance::with(&["send.example"], &[("bounce", "+")]);
    let old = instance.path(0, Some(Tag::from(17)));
    assert!(old.starts_with("bounce+"));
    let used = [instance.forms[0].to_stored(NOON)];
    for (prefix, separator) in [("bounce", "-"), ("b", ""), ("", "")] {
        let now = form("send.example", prefix, separator);
        instance.accepted = Forms::new([&now], &used, HONOUR_FOR);
        instance.forms = vec![now];
        let new = instance.path(0, Some(Tag::from(18)));
        assert!(new.starts_with(&format!("{prefix}{separator}")));
        for (path, value) in [(&old, 17), (&new, 18)] {
            assert_eq!(instance.open(path).unwrap().tag().unwrap().as_i64(), Some(value), "{path}");
        }
    }
    let much_later = instance.ring.open(&old, &instance.accepted, 400 * DAY, NOON + 91 * DAY);
    assert_eq!(much_later, Err(Refusal::NotOurs), "and no longer than it may come back");
}

/// Greylisting waits for the same triplet of client, sender and recipient to come again.
#[test]
fn every_attempt_has_the_same_return_path() {
    let mut instance = Instance::new();
    for n in 0..20 {
        let id = instance.id();
        let mint = |ring: &Keyring| ring.mint(&instance.forms[n], id, nth_tag(n), TagPlacement::Fit).unwrap();
        let first = mint(&instance.ring);
        let restarted = Keyring::from_bytes(instance.ring.to_bytes()).unwrap();
        assert_eq!(mint(&instance.ring), first);
        assert_eq!(mint(&restarted), first);
    }
}

/// A forged or stale path among others is one refusal with a cause; the others still open.
#[test]
fn a_bad_seal_is_a_refusal_with_a_cause_and_stops_nothing() {
    let mut instance = Instance::new();
    let foreign_ring = Keyring::of_secrets(&[[9; 32]]);
    let unknown_key = Keyring::of_secrets(&[[1; 32], [2; 32], [3; 32]]);
    let good = instance.path(0, None);
    let id = instance.id();
    let of = |ring: &Keyring| ring.mint(&instance.forms[0], id, None, TagPlacement::Fit).unwrap().address().to_string();
    let wrapped = format!("SRS0=HHHH=TT=b.example.org={}", of(&foreign_ring).replace("@b.example.org", "@f.example"));
    for (path, cause) in [
        (good.clone(), None),
        (of(&foreign_ring), Some(Refusal::Forged)),
        (wrapped, Some(Refusal::Forged)),
        (of(&unknown_key), Some(Refusal::UnknownKey)),
        ("ann@b.example.org".into(), Some(Refusal::NotOurs)),
        (String::new(), Some(Refusal::NotOurs)),
        ("@".into(), Some(Refusal::NotOurs)),
        ("b@".repeat(10_000), Some(Refusal::NotOurs)),
        (good, None),
    ] {
        assert_eq!(instance.open(&path).err(), cause, "{}", &path[..path.len().min(80)]);
    }
}

#[test]
fn a_path_opens_for_exactly_as_long_as_it_is_honoured() {
    let mut instance = Instance::new();
    let path = instance.path(0, None);
    let millisecond = Duration::from_millis(1);
    let skew = open::FUTURE_SKEW;
    for (now, cause) in [
        (NOON - skew - millisecond, Some(Refusal::Future)),
        (NOON - skew, None),
        (NOON, None),
        (NOON + HONOUR_FOR, None),
        (NOON + HONOUR_FOR + millisecond, Some(Refusal::Expired)),
        (Timestamp::from_millis(0), Some(Refusal::Future)),
        (Timestamp::from_millis(i64::MIN), Some(Refusal::Future)),
        (Timestamp::MAX, Some(Refusal::Expired)),
    ] {
        assert_eq!(instance.ring.open(&path, &instance.accepted, HONOUR_FOR, now).err(), cause, "{now:?}");
    }
}

#[test]
fn a_path_opens_through_the_life_of_its_key() {
    let mut instance = Instance::new();
    instance.ring = Keyring::generate();
    let old = instance.path(0, None);
    let new = instance.ring.rotate(NOON).unwrap();
    assert_eq!(instance.path(0, None)[..2], old[..2], "the new key does not mint yet");
    instance.ring.advance(new, KeyState::Mint, NOON).unwrap();
    let young = instance.path(0, None);
    assert!(instance.open(&old).is_ok() && instance.open(&young).is_ok());
    instance.ring.advance(0, KeyState::Revoked, NOON).unwrap();
    assert_eq!(instance.open(&old), Err(Refusal::UnknownKey));
    assert!(instance.open(&young).is_ok());
    assert_eq!(Keyring::default().mark(instance.id()), Err(MintError::NoKey));
}

#[test]
fn a_domain_in_u_labels_opens_if_it_is_written_as_it_is_shown() {
    let mut instance = Instance::with(&["b.bücher.example"], &[("b", "")]);
    let path = instance.path(0, None);
    let local = path.strip_suffix("@b.xn--bcher-kva.example").unwrap();
    for domain in ["b.xn--bcher-kva.example", "B.XN--BCHER-KVA.EXAMPLE", "b.bücher.example", "b.BÜCHER.example"] {
        assert!(instance.open(&format!("{local}@{domain}")).is_ok(), "{domain}");
    }
    for domain in ["\u{ff42}.bücher.example", "b.bucher.example", "b.bücher.example.", "b\u{3002}bücher.example"] {
        assert_eq!(instance.open(&format!("{local}@{domain}")), Err(Refusal::NotOurs), "{domain}");
    }
}

#[test]
fn a_mark_reads_back_and_never_opens() {
    let mut instance = Instance::new();
    for n in 0..100 {
        let id = instance.id();
        let mark = instance.ring.mark(id).unwrap();
        let path = instance.ring.mint(&instance.forms[0], id, None, TagPlacement::Fit).unwrap();
        assert_eq!(instance.ring.open_mark(&mark), Some(id));
        assert_eq!(instance.ring.open_mark(&format!("<{mark}@b.example.org>")), Some(id));
        let (local, token) = (path.address().local(), &path.address().local()[1..]);
        assert_eq!(instance.ring.open_mark(token), None, "a path is no mark");
        assert_ne!(token[15..], mark[15..], "{n}: the seals have nothing in common");
        for text in [format!("{mark}@b.example.org"), format!("b{mark}@b.example.org")] {
            assert_eq!(instance.open(&text), Err(Refusal::Forged), "{text} beside {local}");
        }
    }
}

#[test]
fn relays_cannot_read_the_tag() {
    let mut instance = Instance::new();
    let given = tag("subscriber-00017");
    let tokens: Vec<String> = (0..50).map(|_| instance.path(0, Some(given))).collect();
    let plain = base32::encode(base32::Alphabet::Rfc4648Lower { padding: false }, given.as_bytes());
    for (one, other) in tokens.iter().zip(&tokens[1..]) {
        assert!(!one.contains(&plain[2..20]));
        // The tag lies in characters 15 to 41 of the token; two of them share no more than chance gives.
        let same = one.bytes().zip(other.bytes()).skip(17).take(23).filter(|(a, b)| a == b).count();
        assert!(same < 12, "{one} {other}");
    }
}

proptest! {
    #[test]
    fn what_is_minted_opens_in_any_case(
        raw: u64,
        bytes in prop::collection::vec(any::<u8>(), 0..=16),
        n in 0..24usize,
        cases: u64,
    ) {
        let instance = Instance::new();
        let id = DeliveryId::from_u64(raw);
        let given = Tag::from_bytes(&bytes).unwrap();
        let path = instance.ring.mint(&instance.forms[n], id, Some(given), TagPlacement::Always).unwrap();
        let text: String = path.address().as_str().chars().enumerate()
            .map(|(at, c)| if cases >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let returned = instance.ring.open(&text, &instance.accepted, HONOUR_FOR, id.issued_at()).unwrap();
        prop_assert_eq!(returned.delivery(), id);
        prop_assert_eq!(returned.tag(), (!bytes.is_empty()).then_some(given));
    }

    #[test]
    fn any_text_is_refused(text in "\\PC*|(prvs=0=|\"|SRS0=h=t=){0,4}(b|b-|bounce-)?[a-z2-7]{20,54}\"?@(b|c)\\.example\\.org") {
        prop_assert!(Instance::new().open(&text).is_err());
        prop_assert!(Instance::new().ring.open_mark(&text).is_none());
    }

    #[test]
    fn any_octets_break_nothing(octets in prop::collection::vec(any::<u8>(), 0..700)) {
        crate::fuzzing::return_path(&octets);
    }
}

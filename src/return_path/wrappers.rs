//! What other hosts put round a return path, and how it comes off again.
//!
//! | written by | round `local@domain` |
//! |---|---|
//! | BATV signers (draft-levine-smtp-batv) | `prvs=TAG=local@domain` |
//! | Barracuda's variant of it | `btv1==TAG==local@domain` |
//! | an SRS forwarder | `SRS0=HASH=TT=domain=local@forwarder` |
//! | the next SRS forwarder | `SRS1=HASH=forwarder==HASH=TT=domain=local@next` |
//! | hosts that quote every local part | `"local"@domain` |
//!
//! A wrapper cannot be verified here, since only the host that wrote it holds its secret, and need not be: it lends
//! no trust. What is inside opens only if its own domain is ours and its own seal fits; a foreign domain inside is
//! refused like any other. Quoting is the one that a standard makes equal: RFC 5321 §4.1.2 says that a quoted local
//! part and the same text without the quotes are the same mailbox.
//!
//! At most [`MAX_DEPTH`] layers come off: two forwarders and a signer. The input is in lower case.

/// How many wrappers are taken off at most; quotes count.
pub(crate) const MAX_DEPTH: usize = 3;

/// Takes one wrapper off `local@domain`, both in lower case; answers what was inside, local part and domain.
pub(crate) fn peel(local: &str, domain: &str) -> Option<(String, String)> {
    if let Some(quoted) = local.strip_prefix('"') {
        return Some((unquote(quoted)?, domain.to_owned()));
    }
    if let Some(rest) = local.strip_prefix("prvs=") {
        return signed(rest, "=", domain);
    }
    if let Some(rest) = local.strip_prefix("btv1==") {
        return signed(rest, "==", domain);
    }
    if let Some(rest) = local.strip_prefix("srs0").and_then(after_separator) {
        return forwarded(rest);
    }
    if let Some(rest) = local.strip_prefix("srs1").and_then(after_separator) {
        let (hash, rest) = rest.split_once('=')?;
        let (forwarder, rest) = rest.split_once('=')?;
        if hash.is_empty() || forwarder.is_empty() {
            return None;
        }
        // What follows is the first forwarder's address from the separator behind its `SRS0` on; some write its name too.
        return match after_separator(rest) {
            Some(rest) => forwarded(rest),
            None if rest.starts_with("srs") => Some((rest.to_owned(), forwarder.to_owned())),
            None => None,
        };
    }
    None
}

/// `TAG`, the divider, `local`; the domain stays.
fn signed(rest: &str, divider: &str, domain: &str) -> Option<(String, String)> {
    let (tag, local) = rest.split_once(divider)?;
    let plausible = !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    plausible.then(|| (local.to_owned(), domain.to_owned()))
}

/// `HASH=TT=domain=local`.
fn forwarded(rest: &str) -> Option<(String, String)> {
    let mut parts = rest.splitn(4, '=');
    let (hash, time, domain, local) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let plausible = !hash.is_empty() && !time.is_empty();
    plausible.then(|| (local.to_owned(), domain.to_owned()))
}

/// SRS allows any of three characters behind its name, to suit the host's own syntax.
fn after_separator(rest: &str) -> Option<&str> {
    rest.strip_prefix(['=', '-', '+'])
}

/// The text inside the quotes, its opening one gone already; a backslash stands before a character meant as such.
fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return None,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    (!escaped).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_wrappers_come_off() {
        for (local, inside) in [
            ("prvs=190694bd6d=btok", Some(("btok", "outer.example"))),
            ("btv1==0123456789a==b-tok", Some(("b-tok", "outer.example"))),
            ("srs0=hhhh=tt=b.example.org=btok", Some(("btok", "b.example.org"))),
            ("srs0+hh/h=tt=b.example.org=b+tok", Some(("b+tok", "b.example.org"))),
            ("srs0-hhhh=tt=b.example.org=prvs=1a=btok", Some(("prvs=1a=btok", "b.example.org"))),
            ("srs1=gggg=one.example==hhhh=tt=b.example.org=btok", Some(("btok", "b.example.org"))),
            ("srs1+gggg=one.example=-hhhh=tt=b.example.org=btok", Some(("btok", "b.example.org"))),
            ("srs1=gggg=one.example=srs0=hhhh=tt=b=c", Some(("srs0=hhhh=tt=b=c", "one.example"))),
            ("\"btok\"", Some(("btok", "outer.example"))),
            ("\"b\\to\\\\k\"", Some(("bto\\k", "outer.example"))),
            ("btok", None),
            ("prvs=btok", None),
            ("prvs==btok", None),
            ("prvs=a-b=btok", None),
            ("btv1==btok", None),
            ("srs0=hhhh=tt=btok", None),
            ("srs0==tt=b.example.org=btok", None),
            ("srs0hhhh=tt=b.example.org=btok", None),
            ("srs1=gggg=one.example=btok", None),
            ("srs1", None),
            ("\"", None),
            ("\"bt\"ok\"", None),
            ("\"btok\\\"", None),
        ] {
            let inside = inside.map(|(local, domain): (&str, &str)| (local.to_owned(), domain.to_owned()));
            assert_eq!(peel(local, "outer.example"), inside, "{local}");
        }
    }

    #[test]
    fn a_wrapper_taken_off_leaves_less() {
        let mut layer = (["prvs=1="; 40].concat() + "btok", "b.example.org".to_owned());
        while let Some(inner) = peel(&layer.0, &layer.1) {
            assert!(inner.0.len() < layer.0.len());
            layer = inner;
        }
        assert_eq!(layer.0, "btok");
    }
}

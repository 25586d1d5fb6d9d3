//! From DNS answers to hosts to try, in order (RFC 5321 §5, RFC 7505).

use std::net::IpAddr;

use super::{DnsError, Mx};
use crate::verdict::Trouble;

/// The mail exchangers of a domain, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchangers {
    pub(crate) hosts: Vec<String>,
    /// The domain itself, for want of an MX record (RFC 5321 §5.1).
    pub(crate) implicit: bool,
}

/// One address of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

/// Reads the answer to the MX question. `is_self` tells which names are this host; `seed` shuffles equal preferences.
pub(crate) fn exchangers(
    domain: &str,
    answer: Result<Vec<Mx>, DnsError>,
    is_self: impl Fn(&str) -> bool,
    seed: u64,
) -> Result<Exchangers, Trouble> {
    let mut records = match answer {
        Ok(records) => records,
        Err(DnsError::NoData) => Vec::new(),
        Err(DnsError::NoSuchDomain) => {
            return Err(Trouble::NoSuchDomain(format!("the domain {domain} does not exist")));
        }
        Err(DnsError::Temporary(why)) => {
            return Err(Trouble::DnsTemporary(format!("no answer about the mail exchangers of {domain}: {why}")));
        }
    };
    if records.is_empty() {
        return Ok(Exchangers { hosts: vec![domain.to_owned()], implicit: true });
    }
    if let [only] = &records[..]
        && only.exchange.is_empty()
    {
        return Err(Trouble::NullMx(format!("the domain {domain} takes no mail (null MX, RFC 7505)")));
    }
    // The root among others is a mistake there, not a host.
    records.retain(|mx| !mx.exchange.is_empty() && !is_local_name(&mx.exchange));
    if let Some(own) = records.iter().filter(|mx| is_self(&mx.exchange)).map(|mx| mx.preference).min() {
        // RFC 5321 §5.1: hosts of equal or worse preference than our own are not tried, or mail would go in circles.
        records.retain(|mx| mx.preference < own);
    }
    if records.is_empty() {
        return Err(Trouble::Unusable(format!("the mail exchangers of {domain} lead to this host itself")));
    }
    records.sort_by_cached_key(|mx| (mx.preference, shuffled(&mx.exchange, seed)));
    let mut hosts: Vec<String> = Vec::with_capacity(records.len().min(MOST_EXCHANGERS));
    for mx in records {
        if hosts.len() < MOST_EXCHANGERS && !hosts.contains(&mx.exchange) {
            hosts.push(mx.exchange);
        }
    }
    Ok(Exchangers { hosts, implicit: false })
}

/// Puts the addresses of the hosts in order: host by host, IPv6 and IPv4 taking turns, at most
/// [`MOST_ADDRESSES`]; those that no public mail exchanger can have are left out unless `allow_private`.
pub(crate) fn candidates(
    domain: &str,
    exchangers: &Exchangers,
    answers: Vec<Result<Vec<IpAddr>, DnsError>>,
    is_self: impl Fn(IpAddr) -> bool,
    allow_private: bool,
) -> Result<Vec<Candidate>, Trouble> {
    let mut found = Vec::new();
    let mut temporary = None;
    let mut refused = false;
    for (host, answer) in exchangers.hosts.iter().zip(answers) {
        match answer {
            Ok(addresses) => {
                let (usable, unusable): (Vec<IpAddr>, Vec<IpAddr>) = addresses
                    .into_iter()
                    .partition(|address| (allow_private || is_public(*address)) && !is_self(*address));
                refused |= !unusable.is_empty();
                found.extend(alternating(usable).map(|address| Candidate { host: host.clone(), address }));
            }
            Err(DnsError::Temporary(why)) => temporary = Some(format!("no answer about the address of {host}: {why}")),
            Err(DnsError::NoData | DnsError::NoSuchDomain) => {}
        }
        if found.len() >= MOST_ADDRESSES {
            break;
        }
    }
    found.truncate(MOST_ADDRESSES);
    match (found.is_empty(), temporary) {
        (false, _) => Ok(found),
        (true, Some(why)) => Err(Trouble::DnsTemporary(why)),
        (true, None) if refused => {
            Err(Trouble::Unusable(format!("the mail exchangers of {domain} have no address on the public internet")))
        }
        (true, None) if exchangers.implicit => {
            Err(Trouble::NoMailExchanger(format!("the domain {domain} has neither a mail exchanger nor an address")))
        }
        (true, None) => {
            Err(Trouble::NoMailExchanger(format!("none of the mail exchangers of {domain} has an address")))
        }
    }
}

/// Whether a public mail exchanger can have this address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || a >= 240
                // RFC 6598: behind a carrier's address translation.
                || (a == 100 && (64..128).contains(&b)))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None => {
                !(v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local())
            }
        },
    }
}

/// Names that can only be this machine (RFC 6761).
fn is_local_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// IPv6 first, then taking turns with IPv4.
fn alternating(addresses: Vec<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let mut queues = [six.into_iter(), four.into_iter()];
    let mut turn = 1;
    std::iter::from_fn(move || {
        turn = 1 - turn;
        queues[turn].next().or_else(|| queues[1 - turn].next())
    })
}

/// A place for a host among those of equal preference: the same for one seed.
fn shuffled(host: &str, seed: u64) -> u64 {
    host.bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A domain may name hundreds; no attempt needs more.
const MOST_EXCHANGERS: usize = 10;
/// Addresses tried in one attempt: enough to get past dead hosts, few enough to bound an attempt's time.
pub(crate) const MOST_ADDRESSES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, exchange: &str) -> Mx {
        Mx { preference, exchange: exchange.into() }
    }

    fn hosts(answer: Result<Vec<Mx>, DnsError>) -> Result<Vec<String>, Trouble> {
        exchangers("dst.example", answer, |name| name == "me.example", 1).map(|found| found.hosts)
    }

    #[test]
    fn preference_orders_and_equals_are_shuffled_by_the_seed() {
        let answer = || Ok(vec![mx(20, "c.example"), mx(10, "a.example"), mx(10, "b.example")]);
        let orders: std::collections::HashSet<Vec<String>> =
            (0..32).map(|seed| exchangers("dst.example", answer(), |_| false, seed).unwrap().hosts).collect();
        assert_eq!(orders.len(), 2);
        assert!(orders.iter().all(|order| order[2] == "c.example"));
    }

    #[test]
    fn servfail_is_temporary_and_nxdomain_is_final_and_no_data_means_the_domain_itself() {
        assert!(matches!(hosts(Err(DnsError::Temporary("SERVFAIL".into()))), Err(Trouble::DnsTemporary(_))));
        assert!(matches!(hosts(Err(DnsError::NoSuchDomain)), Err(Trouble::NoSuchDomain(_))));
        assert_eq!(hosts(Err(DnsError::NoData)).unwrap(), ["dst.example"]);
    }

    #[test]
    fn a_null_mx_is_final_only_when_it_stands_alone() {
        assert!(matches!(hosts(Ok(vec![mx(0, "")])), Err(Trouble::NullMx(_))));
        assert_eq!(hosts(Ok(vec![mx(0, ""), mx(10, "a.example")])).unwrap(), ["a.example"]);
    }

    #[test]
    fn this_host_drops_itself_and_all_of_equal_or_worse_preference() {
        let answer = vec![mx(10, "a.example"), mx(20, "me.example"), mx(20, "b.example"), mx(30, "c.example")];
        assert_eq!(hosts(Ok(answer)).unwrap(), ["a.example"]);
        assert!(matches!(hosts(Ok(vec![mx(10, "me.example")])), Err(Trouble::Unusable(_))));
        assert!(matches!(hosts(Ok(vec![mx(10, "localhost")])), Err(Trouble::Unusable(_))));
    }

    #[test]
    fn private_addresses_from_the_dns_are_refused_unless_allowed() {
        let found = hosts(Ok(vec![mx(10, "a.example")])).unwrap();
        let exchangers = Exchangers { hosts: found, implicit: false };
        let ask = |addresses: &[&str], allow| {
            let answers = vec![Ok(addresses.iter().map(|a| a.parse().unwrap()).collect())];
            candidates("dst.example", &exchangers, answers, |_| false, allow)
        };
        for private in
            ["127.0.0.1", "10.1.1.1", "192.168.0.1", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1", "100.64.0.1"]
        {
            assert!(matches!(ask(&[private], false), Err(Trouble::Unusable(_))), "{private}");
            assert_eq!(ask(&[private], true).unwrap().len(), 1);
        }
        assert_eq!(ask(&["fe80::1", "192.0.2.1"], false).unwrap().len(), 1, "the good one is used");
    }

    #[test]
    fn addresses_take_turns_between_families_and_are_bounded() {
        let exchangers = Exchangers { hosts: vec!["a.example".into()], implicit: false };
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "2001:db8::3"];
        let answers = vec![Ok(addresses.iter().map(|a| a.parse().unwrap()).collect())];
        let found = candidates("dst.example", &exchangers, answers, |_| false, false).unwrap();
        let six: Vec<bool> = found.iter().map(|candidate| candidate.address.is_ipv6()).collect();
        assert_eq!(six, [true, false, true, false, true]);
    }

    #[test]
    fn an_exchanger_without_an_answer_is_temporary_and_one_without_address_never_falls_back_to_the_domain() {
        let exchangers = Exchangers { hosts: vec!["a.example".into(), "b.example".into()], implicit: false };
        let ask = |answers| candidates("dst.example", &exchangers, answers, |_| false, false);
        let timeout = || Err(DnsError::Temporary("timeout".into()));
        assert!(matches!(ask(vec![timeout(), Err(DnsError::NoData)]), Err(Trouble::DnsTemporary(_))));
        assert!(matches!(
            ask(vec![Err(DnsError::NoSuchDomain), Err(DnsError::NoData)]),
            Err(Trouble::NoMailExchanger(_))
        ));
        assert_eq!(ask(vec![timeout(), Ok(vec!["192.0.2.1".parse().unwrap()])]).unwrap().len(), 1);
    }
}

//! What is asked of the domain name system.

use std::net::IpAddr;

use async_trait::async_trait;

/// One mail exchanger record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mx {
    pub(crate) preference: u16,
    /// Without the final dot; empty for the root.
    pub(crate) exchange: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DnsError {
    /// NXDOMAIN.
    NoSuchDomain,
    /// NOERROR without a record of this type.
    NoData,
    /// SERVFAIL, REFUSED, a time-out, garbage, a bogus signature: it may pass.
    Temporary(String),
}

/// Asks the domain name system. Names are absolute: search lists do not apply.
#[async_trait]
pub(crate) trait Resolver: Send + Sync + 'static {
    /// The MX records of a domain.
    async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError>;

    /// The A and AAAA records of a host; an answer to one of the two is enough.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError>;
}

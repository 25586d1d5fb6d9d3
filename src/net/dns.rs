//! The resolver: hickory's, asked with absolute names only.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::route::{DnsError, Mx, Resolver};

/// Asks the name servers of the system, or one that was named.
pub(crate) struct HickoryResolver(TokioResolver);

impl HickoryResolver {
    /// The name servers of the system; with `server`, only that one.
    pub(crate) fn new(server: Option<SocketAddr>) -> Result<HickoryResolver, String> {
        let mut builder = match server {
            Some(server) => {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
            None => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.preserve_intermediates = false;
        Ok(HickoryResolver(builder.build().map_err(|error| error.to_string())?))
    }

    /// The records of one type; CNAMEs on the way are left out.
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Vec<RData>, DnsError> {
        let mut name = Name::from_ascii(name).map_err(|_| DnsError::NoSuchDomain)?;
        // Absolute: search lists do not apply.
        name.set_fqdn(true);
        match self.0.lookup(name, record_type).await {
            Ok(lookup) => {
                let records = lookup.answers().iter().filter(|record| record.record_type() == record_type);
                let data: Vec<RData> = records.map(|record| record.data.clone()).collect();
                if data.is_empty() { Err(DnsError::NoData) } else { Ok(data) }
            }
            Err(error) => Err(classify(&error)),
        }
    }
}

#[async_trait]
impl Resolver for HickoryResolver {
    async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
        let records = self.lookup(domain, RecordType::MX).await?;
        Ok(records
            .into_iter()
            .filter_map(|data| match data {
                RData::MX(mx) => Some(Mx {
                    preference: mx.preference,
                    exchange: mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
                }),
                _ => None,
            })
            .collect())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let (six, four) = tokio::join!(self.lookup(host, RecordType::AAAA), self.lookup(host, RecordType::A));
        let mut found = Vec::new();
        let mut error = DnsError::NoData;
        for answer in [six, four] {
            match answer {
                Ok(records) => found.extend(records.into_iter().filter_map(|data| match data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                })),
                // A family that could not be asked about may have had an address; a name that does not exist has none.
                Err(why @ DnsError::Temporary(_)) => error = why,
                Err(DnsError::NoSuchDomain) if error == DnsError::NoData => error = DnsError::NoSuchDomain,
                Err(_) => {}
            }
        }
        if found.is_empty() { Err(error) } else { Ok(found) }
    }
}

/// NXDOMAIN and "no such record" are answers; everything else may pass.
fn classify(error: &NetError) -> DnsError {
    if error.is_nx_domain() {
        return DnsError::NoSuchDomain;
    }
    match error {
        NetError::Dns(HickoryError::NoRecordsFound(found)) if found.response_code == ResponseCode::NoError => {
            DnsError::NoData
        }
        NetError::Dns(HickoryError::NoRecordsFound(found)) => DnsError::Temporary(found.response_code.to_string()),
        NetError::Dns(HickoryError::ResponseCode(code)) => DnsError::Temporary(code.to_string()),
        other => DnsError::Temporary(other.to_string()),
    }
}

//! TLS on the way to the database, always with the provider that this crate brings.

use std::path::Path;

use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::net::tls::{Connectors, certificates};

/// The connector for this `sslmode`. With `require` the server's name and chain are verified, against the roots in
/// the file of `sslrootcert` or those of the system. With `prefer` only where there is such a file: a server that may
/// also speak without TLS proves nothing by a certificate.
pub(super) fn connector(mode: SslMode, roots: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let roots = roots.map(certificates).transpose()?;
    let connectors = Connectors::new(roots.as_deref());
    let chosen = match mode {
        SslMode::Prefer if roots.is_none() => connectors.opportunistic,
        SslMode::Disable => connectors.opportunistic,
        _ => connectors.verified?,
    };
    let mut config = rustls::ClientConfig::clone(chosen.config());
    // What a server asks for that is spoken to in TLS from the first byte (`sslnegotiation=direct`).
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

//! Random numbers for secrets and node numbers.

use aws_lc_rs::rand;

use crate::store::StoreError;

/// Octets that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(|_| StoreError::Failed("the system gives no random numbers".into()))?;
    Ok(octets)
}

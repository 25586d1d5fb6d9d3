//! The ring's keys, and the forms of return paths that were used.

use rusqlite::{Connection, params};

use super::columns::{damaged, time};
use crate::store::{PathForm, StoreError, StoredKey};

/// The ring's keys, by id.
pub(super) fn keys(db: &Connection) -> Result<Vec<StoredKey>, StoreError> {
    let mut query = db.prepare_cached("SELECT id, fingerprint, secret, state, since FROM ring_key ORDER BY id")?;
    let mut rows = query.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let fingerprint: Vec<u8> = row.get(1)?;
        let secret: Option<Vec<u8>> = row.get(2)?;
        keys.push(StoredKey {
            id: row.get(0)?,
            fingerprint: fingerprint.try_into().map_err(|_| damaged("a key's fingerprint", "it has not 16 bytes"))?,
            secret: secret
                .map(|secret| secret.try_into().map_err(|_| damaged("a key's secret", "it has not 32 bytes")))
                .transpose()?,
            state: row.get(3)?,
            since: time(row, 4)?,
        });
    }
    Ok(keys)
}

/// Adds keys and takes states forward. The caller undoes all of it on an error.
pub(super) fn save_keys(db: &Connection, ring: &[StoredKey]) -> Result<(), StoreError> {
    let known = keys(db)?;
    for key in ring {
        match known.iter().find(|known| known.id == key.id) {
            Some(known) if known.fingerprint != key.fingerprint => return Err(StoreError::ForeignKey { id: key.id }),
            Some(known) if !key.is_ahead_of(known) => continue,
            _ => {}
        }
        db.prepare_cached(
            "INSERT INTO ring_key (id, fingerprint, secret, state, since) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET secret = ?3, state = ?4, since = ?5",
        )?
        .execute(params![
            key.id,
            &key.fingerprint[..],
            key.secret.as_ref().map(|secret| &secret[..]),
            key.state,
            key.since.as_millis()
        ])?;
    }
    Ok(())
}

/// Forms of return paths used so far.
pub(super) fn forms(db: &Connection) -> Result<Vec<PathForm>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT domain, prefix, separator, last_used FROM path_form ORDER BY domain, prefix, separator",
    )?;
    let mut rows = query.query([])?;
    let mut forms = Vec::new();
    while let Some(row) = rows.next()? {
        forms.push(PathForm {
            domain: row.get(0)?,
            prefix: row.get(1)?,
            separator: row.get(2)?,
            last_used: time(row, 3)?,
        });
    }
    Ok(forms)
}

/// Adds forms, or raises when they were last used.
pub(super) fn record_forms(db: &Connection, forms: &[PathForm]) -> Result<(), StoreError> {
    let mut record = db.prepare_cached(
        "INSERT INTO path_form (domain, prefix, separator, last_used) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (domain, prefix, separator) DO UPDATE SET last_used = max(last_used, ?4)",
    )?;
    for form in forms {
        record.execute(params![form.domain, form.prefix, form.separator, form.last_used.as_millis()])?;
    }
    Ok(())
}

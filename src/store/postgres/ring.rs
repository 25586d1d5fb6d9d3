//! The ring's keys, and the forms of return paths that were used.

use super::columns::damaged;
use super::news::notify;
use super::scope::Scope;
use crate::return_path::KeyState;
use crate::store::{News, PathForm, StoreError, StoredKey};

/// The ring's keys, by id.
pub(super) async fn keys(scope: &Scope<'_>) -> Result<Vec<StoredKey>, StoreError> {
    let query = scope
        .db
        .prepare_cached("SELECT id, fingerprint, secret, state, since FROM returnpath.ring_key ORDER BY id")
        .await?;
    let rows = scope.db.query(&query, &[]).await?;
    let key = |row: &tokio_postgres::Row| -> Result<StoredKey, StoreError> {
        let (id, fingerprint, secret): (i16, &[u8], Option<&[u8]>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(StoredKey {
            id: u8::try_from(id).map_err(|error| damaged("a key's number", error))?,
            fingerprint: fingerprint.try_into().map_err(|_| damaged("a key's fingerprint", "it has not 16 bytes"))?,
            secret: secret
                .map(|secret| secret.try_into().map_err(|_| damaged("a key's secret", "it has not 32 bytes")))
                .transpose()?,
            state: row.try_get(3)?,
            since: scope.times.at(row.try_get(4)?),
        })
    };
    rows.iter().map(key).collect()
}

/// Adds keys and takes states forward; tells the others if that has changed anything. The caller undoes all of it on an
/// error.
pub(super) async fn save_keys(scope: &Scope<'_>, ring: &[StoredKey]) -> Result<(), StoreError> {
    let known = keys(scope).await?;
    let mut news: Vec<&StoredKey> = Vec::new();
    for key in ring {
        match known.iter().find(|known| known.id == key.id) {
            Some(known) if known.fingerprint != key.fingerprint => return Err(StoreError::ForeignKey { id: key.id }),
            Some(known) if !key.is_ahead_of(known) => {}
            _ => news.push(key),
        }
    }
    // In one order everywhere, so that two savers wait for each other and not in a circle.
    news.sort_by_key(|key| key.id);
    let mut changed = false;
    for key in news {
        changed |= save(scope, key).await?;
    }
    if !changed {
        return Ok(());
    }
    let count = scope.db.prepare_cached("UPDATE returnpath.meta SET value = value + 1 WHERE name = 'ring'").await?;
    scope.db.execute(&count, &[]).await?;
    notify(scope, News::Keys).await
}

/// Whether the key was changed: another process may have taken it further since it was read.
async fn save(scope: &Scope<'_>, key: &StoredKey) -> Result<bool, StoreError> {
    let save = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.ring_key AS known (id, fingerprint, secret, state, since)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, state = excluded.state, since = excluded.since
                 WHERE known.fingerprint = excluded.fingerprint
                     AND array_position($6, excluded.state) >= array_position($6, known.state)",
        )
        .await?;
    let states: Vec<&str> = KeyState::ALL.into_iter().map(KeyState::name).collect();
    let secret = key.secret.as_ref().map(|secret| &secret[..]);
    let since = scope.times.to_stored(key.since);
    let id = i16::from(key.id);
    let saved = scope.db.execute(&save, &[&id, &&key.fingerprint[..], &secret, &key.state, &since, &states]).await?;
    if saved > 0 {
        return Ok(true);
    }
    let query = scope.db.prepare_cached("SELECT fingerprint FROM returnpath.ring_key WHERE id = $1").await?;
    let fingerprint: Vec<u8> = scope.db.query_one(&query, &[&id]).await?.try_get(0)?;
    if fingerprint == key.fingerprint { Ok(false) } else { Err(StoreError::ForeignKey { id: key.id }) }
}

/// Forms of return paths used so far.
pub(super) async fn forms(scope: &Scope<'_>) -> Result<Vec<PathForm>, StoreError> {
    let query = scope
        .db
        .prepare_cached(
            "SELECT domain, prefix, separator, last_used FROM returnpath.path_form ORDER BY domain, prefix, separator",
        )
        .await?;
    let form = |row: &tokio_postgres::Row| -> Result<PathForm, StoreError> {
        Ok(PathForm {
            domain: row.try_get(0)?,
            prefix: row.try_get(1)?,
            separator: row.try_get(2)?,
            last_used: scope.times.at(row.try_get(3)?),
        })
    };
    scope.db.query(&query, &[]).await?.iter().map(form).collect()
}

/// Adds forms, or raises when they were last used.
pub(super) async fn record_forms(scope: &Scope<'_>, forms: &[PathForm]) -> Result<(), StoreError> {
    let record = scope
        .db
        .prepare_cached(
            "INSERT INTO returnpath.path_form AS known (domain, prefix, separator, last_used) VALUES ($1, $2, $3, $4)
             ON CONFLICT (domain, prefix, separator)
                 DO UPDATE SET last_used = greatest(known.last_used, excluded.last_used)",
        )
        .await?;
    let mut forms: Vec<&PathForm> = forms.iter().collect();
    forms.sort_by_key(|form| (&form.domain, &form.prefix, &form.separator));
    for form in forms {
        let last_used = scope.times.to_stored(form.last_used);
        scope.db.execute(&record, &[&form.domain, &form.prefix, &form.separator, &last_used]).await?;
    }
    Ok(())
}

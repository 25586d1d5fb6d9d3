//! Messages that other programs put into the outbox, within transactions of their own, become queued ones.

use super::enqueue::enqueue;
use super::scope::Scope;
use crate::store::outbox::decode;
use crate::store::{Enqueued, Hashed, NewMessage, StoreError};
use crate::time::Timestamp;

/// Rows taken in one transaction.
const AT_ONCE: i64 = 256;

/// Queues what is in the outbox; answers how many messages. Of several processes each takes other rows. A row that
/// cannot be queued is set aside with the reason and holds up no other.
pub(super) async fn take(scope: &Scope<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let query = scope
        .db
        .prepare_cached(
            "SELECT id, payload FROM returnpath.outbox WHERE error IS NULL ORDER BY id LIMIT $1
             FOR UPDATE SKIP LOCKED",
        )
        .await?;
    let mut rows: Vec<(i64, NewMessage)> = Vec::new();
    let mut refused: Vec<(i64, String)> = Vec::new();
    for row in scope.db.query(&query, &[&AT_ONCE]).await? {
        let id = row.try_get(0)?;
        match decode(row.try_get(1)?) {
            Ok(message) => rows.push((id, message)),
            Err(why) => refused.push((id, why)),
        }
    }
    let mut queued = Vec::with_capacity(rows.len());
    let messages = rows.iter().map(|(_, message)| message.clone()).collect();
    match attempt(scope, messages, now).await? {
        Ok(answers) => sort_out(&rows, &answers, &mut queued, &mut refused),
        // One by one: most of them are good.
        Err(_) => {
            for row in &rows {
                match attempt(scope, vec![row.1.clone()], now).await? {
                    Ok(answers) => sort_out(std::slice::from_ref(row), &answers, &mut queued, &mut refused),
                    Err(error) => refused.push((row.0, error.to_string())),
                }
            }
        }
    }
    let delete = scope.db.prepare_cached("DELETE FROM returnpath.outbox WHERE id = ANY ($1)").await?;
    scope.db.execute(&delete, &[&queued]).await?;
    let set_aside = scope.db.prepare_cached("UPDATE returnpath.outbox SET error = $2 WHERE id = $1").await?;
    for (id, why) in refused {
        tracing::error!(row = id, why, "a message in the outbox cannot be queued; its row is set aside");
        scope.db.execute(&set_aside, &[&id, &why.replace('\0', "\u{fffd}")]).await?;
    }
    Ok(queued.len() as u64)
}

/// Queues messages within a savepoint. The inner error is what the database has against them; the outer one ends the
/// whole transaction.
async fn attempt(
    scope: &Scope<'_>,
    messages: Vec<NewMessage>,
    now: Timestamp,
) -> Result<Result<Vec<Enqueued>, StoreError>, StoreError> {
    scope.db.batch_execute("SAVEPOINT outbox").await?;
    match enqueue(scope, &Hashed::all(messages), now, None).await {
        Ok(answers) => {
            scope.db.batch_execute("RELEASE SAVEPOINT outbox").await?;
            Ok(Ok(answers))
        }
        // A full disk, or a connection that broke, is nothing that a message can help.
        Err(error @ (StoreError::Full(_) | StoreError::Temporary(_) | StoreError::Closed)) => Err(error),
        Err(error) => {
            scope.db.batch_execute("ROLLBACK TO SAVEPOINT outbox; RELEASE SAVEPOINT outbox").await?;
            Ok(Err(error))
        }
    }
}

fn sort_out(rows: &[(i64, NewMessage)], answers: &[Enqueued], queued: &mut Vec<i64>, refused: &mut Vec<(i64, String)>) {
    for ((id, _), answer) in rows.iter().zip(answers) {
        match answer {
            Enqueued::New | Enqueued::Repeated { .. } => queued.push(*id),
            Enqueued::KeyConflict => {
                refused.push((*id, "its idempotency key is known with another message".to_owned()));
            }
        }
    }
}

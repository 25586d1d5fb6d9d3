//! Which deliveries go next: due ones, fairly between destinations, at a cost that does not grow with the queue.
//!
//! The index on (destination, due) is walked from one destination to the next by seeks, starting behind the last
//! one that was served, so a destination with a million due messages costs as much as one with ten, and none
//! starves. Where more destinations wait than one call looks at, the eldest due deliveries are taken as well: many
//! thousand destinations that are all postponed do not hide the few that are due. The eldest also fill most of a call
//! where each destination has a delivery or two: such rows lie all over the file, the eldest lie side by side.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{
    address, damaged, delivery_id, delivery_key, limit, message_id, optional_json, size, state_code, stream, tag, time,
};
use super::writer::guard;
use crate::id::DeliveryId;
use crate::store::{BodyId, ClaimRequest, Claimed, State, StoreError};
use crate::time::Timestamp;

/// Destinations looked at in one call, and due deliveries looked at behind them: some milliseconds.
const LOOKED_AT: usize = 4096;

/// Of a call, the part that is taken from each destination in turn before anything else: a quarter.
const TURN_SHARE: usize = 4;

/// Where the next call starts: behind this destination.
#[derive(Default)]
pub(super) struct Turn(Mutex<String>);

/// Leases due deliveries.
pub(super) fn claim(db: &Connection, request: &ClaimRequest, turn: &Turn) -> Result<Vec<Claimed>, StoreError> {
    let mut choice = Choice {
        request,
        skip: request.skip.iter().map(String::as_str).collect(),
        ids: Vec::new(),
        chosen: HashSet::new(),
        shares: HashMap::new(),
    };
    let mut walk = Walk::behind(guard(&turn.0).clone());
    choice.walk(db, &mut walk, request.limit.div_ceil(TURN_SHARE))?;
    if walk.is_cut() || !walk.is_round && choice.is_thin() {
        choice.eldest(db)?;
    }
    choice.walk(db, &mut walk, request.limit)?;
    *guard(&turn.0) = walk.last;

    let mut lease = db.prepare_cached("UPDATE delivery SET state = ?2, due = ?3 WHERE id = ?1")?;
    let mut claimed = Vec::with_capacity(choice.ids.len());
    for id in choice.ids {
        lease.execute(params![id, state_code(State::Leased), request.lease_until.as_millis()])?;
        // One that cannot be read stays leased, and the others go on.
        claimed.extend(load_readable(db, id)?);
    }
    Ok(claimed)
}

/// When the next queued or leased delivery is due.
pub(super) fn next_due(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = db
        .prepare_cached("SELECT due FROM delivery WHERE state <= 1 ORDER BY due LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(due.map(Timestamp::from_millis))
}

/// As [`load`]; one that is damaged, or has lost its message or body, is reported and left out: only another program
/// or a broken disk can have done that, and it must not hold up all others.
pub(super) fn load_readable(db: &Connection, id: i64) -> Result<Option<Claimed>, StoreError> {
    let why = match load(db, id) {
        Ok(Some(delivery)) => return Ok(Some(delivery)),
        Ok(None) => "it has no message or body".to_owned(),
        // The whole transaction was given up.
        Err(error) if db.is_autocommit() => return Err(error),
        Err(error) => error.to_string(),
    };
    tracing::error!(delivery = %delivery_id(id), why, "a delivery in the store cannot be read");
    Ok(None)
}

/// Everything that sending a delivery needs; `None` if it is unknown.
fn load(db: &Connection, id: i64) -> Result<Option<Claimed>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT d.id, d.message, d.recipient, d.return_path, d.prefix, d.destination, b.hash, m.body_size, m.smtputf8,
             m.eight_bit, m.tag, m.mailing, m.metadata, m.stream, m.queued_at, m.expires, m.own_deadline, d.attempts,
             d.delays_told, d.last
         FROM delivery d JOIN message m ON m.id = d.message JOIN body b ON b.id = m.body
         WHERE d.id = ?1",
    )?;
    let mut rows = query.query([id])?;
    rows.next()?.map(claimed).transpose()
}

fn claimed(row: &Row<'_>) -> Result<Claimed, StoreError> {
    let body: Vec<u8> = row.get(6)?;
    let body = body.try_into().map_err(|_| damaged("a body's hash", "it has not 32 bytes"))?;
    Ok(Claimed {
        id: delivery_id(row.get(0)?),
        message: message_id(row.get(1)?),
        recipient: address(row, 2)?,
        return_path: address(row, 3)?,
        prefix: row.get(4)?,
        destination: row.get(5)?,
        body: BodyId(body),
        body_size: u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
        smtputf8: row.get(8)?,
        eight_bit: row.get(9)?,
        tag: tag(row.get::<_, Option<Vec<u8>>>(10)?.as_deref())?,
        mailing: row.get(11)?,
        metadata: row.get(12)?,
        stream: stream(&row.get::<_, String>(13)?)?,
        queued_at: time(row, 14)?,
        expires: time(row, 15)?,
        own_deadline: row.get(16)?,
        attempts: row.get(17)?,
        delays_told: row.get(18)?,
        last: optional_json(row, 19, "a delivery's last attempt")?,
    })
}

/// The deliveries chosen so far.
struct Choice<'a> {
    request: &'a ClaimRequest,
    skip: HashSet<&'a str>,
    ids: Vec<i64>,
    /// The same, to be looked up.
    chosen: HashSet<i64>,
    /// How many of each destination.
    shares: HashMap<String, usize>,
}

/// A walk over the destinations, from behind one of them round to it.
struct Walk {
    start: String,
    /// The one that was looked at last.
    last: String,
    looked_at: usize,
    /// It has passed the end, and goes on from the beginning.
    is_wrapped: bool,
    /// It has seen every destination.
    is_round: bool,
}

impl Walk {
    fn behind(start: String) -> Walk {
        Walk { last: start.clone(), start, looked_at: 0, is_wrapped: false, is_round: false }
    }

    /// It ended before it had seen every destination.
    fn is_cut(&self) -> bool {
        self.looked_at >= LOOKED_AT && !self.is_round
    }
}

impl Choice<'_> {
    /// Whether the destinations walked over so far gave hardly more than a delivery each.
    fn is_thin(&self) -> bool {
        self.ids.len() < self.shares.len() * 2
    }

    /// Takes from each destination in turn, until there are `enough` in all.
    fn walk(&mut self, db: &Connection, walk: &mut Walk, enough: usize) -> Result<(), StoreError> {
        let mut next = db.prepare_cached(
            "SELECT destination, due FROM delivery WHERE state <= 1 AND destination > ?1
             ORDER BY destination, due LIMIT 1",
        )?;
        while self.ids.len() < enough && !walk.is_round && walk.looked_at < LOOKED_AT {
            walk.looked_at += 1;
            let found: Option<(String, i64)> =
                next.query_row([&walk.last], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((destination, _)) if walk.is_wrapped && destination > walk.start => walk.is_round = true,
                Some((destination, due)) => {
                    if due <= self.request.now.as_millis() && !self.skip.contains(&*destination) {
                        self.take(db, &destination)?;
                    }
                    walk.last = destination;
                }
                // No destination is named by an empty text, so this is before the first.
                None if !walk.is_wrapped => {
                    walk.is_wrapped = true;
                    walk.last = String::new();
                }
                None => walk.is_round = true,
            }
        }
        if walk.is_round {
            walk.last.clone_from(&walk.start);
        }
        Ok(())
    }

    fn take(&mut self, db: &Connection, destination: &str) -> Result<(), StoreError> {
        let taken = self.shares.get(destination).copied().unwrap_or(0);
        let room = (self.request.limit - self.ids.len()).min(self.request.per_destination.saturating_sub(taken));
        let mut due = db.prepare_cached(
            "SELECT id FROM delivery WHERE state <= 1 AND destination = ?1 AND due <= ?2 ORDER BY due LIMIT ?3",
        )?;
        // Those that are chosen already stand among the first.
        let mut rows = due.query(params![destination, self.request.now.as_millis(), limit(room + taken)])?;
        while let Some(row) = rows.next()? {
            self.choose(row.get(0)?, destination);
        }
        Ok(())
    }

    /// Takes the eldest due deliveries, whatever their destination, within the same shares.
    fn eldest(&mut self, db: &Connection) -> Result<(), StoreError> {
        let mut due = db.prepare_cached(
            "SELECT id, destination FROM delivery WHERE state <= 1 AND due <= ?1 ORDER BY due LIMIT ?2",
        )?;
        let mut rows = due.query(params![self.request.now.as_millis(), size(LOOKED_AT)])?;
        while self.ids.len() < self.request.limit
            && let Some(row) = rows.next()?
        {
            let destination: String = row.get(1)?;
            let share = self.shares.get(&destination).copied().unwrap_or(0);
            if share < self.request.per_destination && !self.skip.contains(&*destination) {
                self.choose(row.get(0)?, &destination);
            }
        }
        Ok(())
    }

    fn choose(&mut self, id: i64, destination: &str) {
        if self.chosen.insert(id) {
            self.ids.push(id);
            match self.shares.get_mut(destination) {
                Some(share) => *share += 1,
                None => drop(self.shares.insert(destination.to_owned(), 1)),
            }
        }
    }
}

/// Renews leases that have not been lost.
pub(super) fn renew(db: &Connection, deliveries: &[DeliveryId], until: Timestamp) -> Result<(), StoreError> {
    let mut renew = db.prepare_cached("UPDATE delivery SET due = ?2 WHERE id = ?1 AND state = 1")?;
    for id in deliveries {
        renew.execute(params![delivery_key(*id), until.as_millis()])?;
    }
    Ok(())
}

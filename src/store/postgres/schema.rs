//! The tables, in a schema of their own, as a list of additive steps from one format to the next.
//!
//! The format is a row of `returnpath.meta`. A step only adds tables, columns and indexes, so that an older process
//! of the same major format works on beside a newer one while a fleet is upgraded; it is never changed after a
//! release, a new one is appended. `src/manual/store.md` draws what results.

/// The steps; the number of the last one is the format that this version writes.
pub(super) const STEPS: &[&str] = &[FIRST];

/// Held while the steps are made: of several processes that start at once one makes them.
pub(super) const ADVISORY_LOCK: i64 = 0x7270_7468;

// Times are milliseconds since the Unix epoch, by the database's clock. Ids are the 64-bit numbers of the crate as
// signed integers. What is hot is updated without touching an index where it can be: `fillfactor` leaves room for it.
const FIRST: &str = "
CREATE TABLE returnpath.meta (
    name  text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO returnpath.meta VALUES ('format', 1), ('high_water', 0), ('ring', 0);

CREATE TABLE returnpath.process (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node        smallint NOT NULL UNIQUE CHECK (node BETWEEN 0 AND 1023),
    lease_until timestamptz NOT NULL,
    keys        bigint NOT NULL DEFAULT 0 -- bit n: the process has key n of the ring
);

CREATE TABLE returnpath.body (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash    bytea NOT NULL UNIQUE, -- SHA-256 of the content
    content bytea NOT NULL
);

CREATE TABLE returnpath.message (
    id           bigint PRIMARY KEY,
    queued_at    bigint NOT NULL,
    body         bigint,           -- until the last delivery has its end
    body_size    bigint NOT NULL,
    open         integer NOT NULL, -- deliveries without an end
    smtputf8     boolean NOT NULL,
    eight_bit    boolean NOT NULL,
    stream       text NOT NULL,
    expires      bigint NOT NULL,
    own_deadline boolean NOT NULL,
    tag          bytea,
    mailing      text,
    metadata     text,
    key          text,
    fingerprint  bytea
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX message_key ON returnpath.message (key) WHERE key IS NOT NULL;
CREATE INDEX message_body ON returnpath.message (body) WHERE body IS NOT NULL;

CREATE TABLE returnpath.delivery (
    id            bigint PRIMARY KEY,
    message       bigint NOT NULL,
    queued_at     bigint NOT NULL,
    state         smallint NOT NULL, -- 0 queued 1 leased 2 in flight 3 held 4 delivered 5 failed 6 suppressed 7 cancelled
    due           bigint NOT NULL,
    process       bigint,            -- whose lease it is, in states 1 and 2
    in_doubt      boolean NOT NULL DEFAULT false, -- the end of data may have gone out, its outcome is not recorded
    was_uncertain boolean NOT NULL DEFAULT false, -- an earlier attempt ended without an answer
    attempts      integer NOT NULL DEFAULT 0,
    delays_told   integer NOT NULL DEFAULT 0,
    complained    boolean NOT NULL DEFAULT false,
    recipient     text NOT NULL,
    domain        text NOT NULL,
    destination   text COLLATE \"C\" NOT NULL CHECK (destination <> ''),
    return_path   text NOT NULL,
    prefix        text NOT NULL,
    reason        text,
    last          text, -- JSON: what the last attempt met
    bounced       text  -- JSON: the verdict of the bounce that came back
) WITH (fillfactor = 80);
CREATE INDEX delivery_message ON returnpath.delivery (message);
CREATE INDEX delivery_queued ON returnpath.delivery (queued_at, id);
CREATE INDEX delivery_turn ON returnpath.delivery (destination, due) WHERE state <= 1;
CREATE INDEX delivery_due ON returnpath.delivery (due) WHERE state <= 1;
CREATE INDEX delivery_process ON returnpath.delivery (process) WHERE process IS NOT NULL;
CREATE INDEX delivery_in_doubt ON returnpath.delivery (id) WHERE in_doubt;

CREATE TABLE returnpath.event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id       bytea NOT NULL UNIQUE,
    state    smallint NOT NULL, -- 0 ready 1 waiting behind an elder event of its delivery 2 done 3 dead letter
    due      bigint NOT NULL,
    at       bigint NOT NULL,
    process  bigint,            -- who hands it to its handler now
    until    bigint,            -- and until when nobody else does
    attempts integer NOT NULL DEFAULT 0,
    delivery bigint,
    kind     text NOT NULL,
    error    text,
    record   text NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX event_ready ON returnpath.event (due, sequence) WHERE state = 0;
CREATE INDEX event_pending ON returnpath.event (delivery, sequence) WHERE state <= 1;
CREATE INDEX event_dead ON returnpath.event (sequence) WHERE state = 3;
CREATE INDEX event_at ON returnpath.event (at, sequence);
CREATE INDEX event_delivery ON returnpath.event (delivery) WHERE delivery IS NOT NULL;

CREATE TABLE returnpath.event_raw (
    sequence bigint PRIMARY KEY,
    at       bigint NOT NULL,
    content  bytea NOT NULL
);
CREATE INDEX event_raw_at ON returnpath.event_raw (at, sequence);

CREATE TABLE returnpath.inbound (
    delivery  bigint PRIMARY KEY,
    first_at  bigint NOT NULL,
    events    bigint NOT NULL,
    raw_bytes bigint NOT NULL,
    refused   bigint NOT NULL DEFAULT 0 -- events over the bound: counted, not stored
);

CREATE TABLE returnpath.ring_key (
    id          smallint PRIMARY KEY,
    fingerprint bytea NOT NULL,
    secret      bytea,
    state       text NOT NULL,
    since       bigint NOT NULL
);

CREATE TABLE returnpath.path_form (
    domain    text NOT NULL,
    prefix    text NOT NULL,
    separator text NOT NULL,
    last_used bigint NOT NULL,
    PRIMARY KEY (domain, prefix, separator)
);

-- What stays of an address that was forgotten.
CREATE TABLE returnpath.secret (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);
CREATE TABLE returnpath.forgotten (
    hash bytea PRIMARY KEY, -- HMAC-SHA256 of the address in lower case, under the secret of this name
    at   bigint NOT NULL
);
CREATE TABLE returnpath.forgotten_delivery (
    id bigint PRIMARY KEY, -- what is still heard of it is not stored
    at bigint NOT NULL
);

-- Connections to a destination, over all processes.
CREATE TABLE returnpath.place (
    destination text NOT NULL,
    number      integer NOT NULL,
    process     bigint NOT NULL,
    PRIMARY KEY (destination, number)
);
CREATE INDEX place_process ON returnpath.place (process);

-- Messages that other programs put here within their own transactions.
CREATE TABLE returnpath.outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload bytea NOT NULL,
    error   text -- why it could not be queued; such a row is set aside
);
-- The planner's statistics would keep the commonest values, and nothing is chosen by them.
ALTER TABLE returnpath.delivery ALTER recipient SET STATISTICS 0, ALTER return_path SET STATISTICS 0,
    ALTER last SET STATISTICS 0, ALTER bounced SET STATISTICS 0;
ALTER TABLE returnpath.message ALTER mailing SET STATISTICS 0, ALTER metadata SET STATISTICS 0,
    ALTER key SET STATISTICS 0;
ALTER TABLE returnpath.body ALTER content SET STATISTICS 0;
ALTER TABLE returnpath.event ALTER record SET STATISTICS 0, ALTER error SET STATISTICS 0;
ALTER TABLE returnpath.event_raw ALTER content SET STATISTICS 0;
ALTER TABLE returnpath.outbox ALTER payload SET STATISTICS 0, ALTER error SET STATISTICS 0;
CREATE INDEX outbox_new ON returnpath.outbox (id) WHERE error IS NULL;
CREATE FUNCTION returnpath.outbox_filled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('returnpath', 'outbox');
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_filled AFTER INSERT ON returnpath.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION returnpath.outbox_filled();
";

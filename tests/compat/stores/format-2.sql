-- A store of format 2, as the first version with this format left it. Its secrets sealed no real mail.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES('high_water',1599217676058624001);
CREATE TABLE body (
    id      INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE, -- SHA-256 of the content
    content BLOB NOT NULL
);
INSERT INTO body VALUES(4,X'fb4193697baf5c3fedfaaab16176492424ce51885b43227758815b4f86691fbd',X'446174653a205468752c203135204a616e20323032362031323a30303a3033202b303030300d0a4d6573736167652d49443a203c61616c646465616133716161616164736e667865736a7379777540622e6578616d706c652e6f72673e0d0a46726f6d3a20224e65777322203c6e657773406578616d706c652e6f72673e0d0a546f3a203c6b696d406578616d706c652e6e65743e0d0a5375626a6563743a205468652066697273742069737375650d0a4d494d452d56657273696f6e3a20312e300d0a436f6e74656e742d547970653a20746578742f706c61696e3b20636861727365743d227574662d38220d0a436f6e74656e742d5472616e736665722d456e636f64696e673a20376269740d0a0d0a476f6f64206d6f726e696e672c206b696d2e0d0a');
CREATE TABLE message (
    id           INTEGER PRIMARY KEY,
    queued_at    INTEGER NOT NULL,
    body         INTEGER,          -- until the last delivery has its end
    body_size    INTEGER NOT NULL,
    open         INTEGER NOT NULL, -- deliveries without an end
    smtputf8     INTEGER NOT NULL,
    eight_bit    INTEGER NOT NULL,
    stream       TEXT NOT NULL,
    expires      INTEGER NOT NULL,
    own_deadline INTEGER NOT NULL,
    tag          BLOB,
    mailing      TEXT,
    metadata     TEXT,
    key          TEXT,
    fingerprint  BLOB
);
INSERT INTO message VALUES(1599217650892800001,1768478400000,NULL,294,0,0,0,'transactional',1768910400000,0,X'6964','issue-1','{"number":0}','issue-1/ann',X'0b66849a918c7cca6a710104f53965468e188d953f42bac2e48a32684b877dd0');
INSERT INTO message VALUES(1599217659281408001,1768478401000,NULL,294,0,0,0,'transactional',1768910401000,0,X'6965','issue-1','{"number":1}','issue-1/bob',X'a843c47049acd2f566b3d902c5a06ca688c42570b719c9a3cee83da052c1d64a');
INSERT INTO message VALUES(1599217667670016001,1768478402000,NULL,294,0,0,0,'transactional',1768910402000,0,X'6966','issue-1','{"number":2}','issue-1/eve',X'6eac4b9a5385c6b04873e39aaeef0328618970b7441fa8768314238df6d8f540');
INSERT INTO message VALUES(1599217676058624001,1768478403000,4,294,1,0,0,'transactional',1768910403000,0,X'6967','issue-1','{"number":3}','issue-1/kim',X'7c1cbcd67b9edaeefd720906c50c4b638e0345fd89258d8282f90f1315c8e649');
CREATE TABLE delivery (
    id            INTEGER PRIMARY KEY,
    message       INTEGER NOT NULL,
    queued_at     INTEGER NOT NULL,
    state         INTEGER NOT NULL, -- 0 queued 1 leased 2 in flight 3 held 4 delivered 5 failed 6 suppressed 7 cancelled
    due           INTEGER NOT NULL,
    in_doubt      INTEGER NOT NULL DEFAULT 0, -- the end of data may have gone out, its outcome is not recorded
    was_uncertain INTEGER NOT NULL DEFAULT 0, -- an earlier attempt ended without an answer
    attempts      INTEGER NOT NULL DEFAULT 0,
    delays_told   INTEGER NOT NULL DEFAULT 0,
    complained    INTEGER NOT NULL DEFAULT 0,
    recipient     TEXT NOT NULL,
    domain        TEXT NOT NULL,
    destination   TEXT NOT NULL CHECK (destination <> ''),
    return_path   TEXT NOT NULL,
    prefix        TEXT NOT NULL,
    reason        TEXT,
    last          TEXT, -- JSON: what the last attempt met
    bounced       TEXT  -- JSON: the verdict of the bounce that came back
);
INSERT INTO delivery VALUES(1599217650892800000,1599217650892800001,1768478400000,4,1768479300000,0,0,1,0,0,'ann@example.net','example.net','127.0.0.1:36079','baalddd73aaaaaaegasiibmm7gjqa@b.example.org','',NULL,'{"at":1768478402000,"verdict":{"outcome":"delivered","address":"fine","advice":"none","reason":"undetermined","status":"2.0.0","evidence":{"source":"smtp_reply","text":"taken","rule":"basic.250","confidence":1.0}},"code":250,"text":"taken","stage":"end_of_data","host":"127.0.0.1[127.0.0.1]:36079","after_uncertain":false}',NULL);
INSERT INTO delivery VALUES(1599217659281408000,1599217659281408001,1768478401000,5,1768479301000,0,0,1,0,0,'bob@example.net','example.net','127.0.0.1:36079','baalddd746qaaaaendiljwdr7y64q@b.example.org','','user_unknown','{"at":1768478402000,"verdict":{"outcome":"failed","address":"no_mailbox","advice":"remove","reason":"user_unknown","status":"5.1.1","evidence":{"source":"smtp_reply","text":"no such user","rule":"code.5.1.1","confidence":0.98}},"code":550,"text":"no such user","stage":"rcpt","host":"127.0.0.1[127.0.0.1]:36079","after_uncertain":false}',NULL);
INSERT INTO delivery VALUES(1599217667670016000,1599217667670016001,1768478402000,4,1768479302000,0,0,1,0,0,'eve@example.net','example.net','127.0.0.1:36079','baalddd765aaaaaekusnu6oispozq@b.example.org','','mailbox_disabled','{"at":1768478403000,"verdict":{"outcome":"delivered","address":"fine","advice":"none","reason":"undetermined","status":"2.0.0","evidence":{"source":"smtp_reply","text":"taken","rule":"basic.250","confidence":1.0}},"code":250,"text":"taken","stage":"end_of_data","host":"127.0.0.1[127.0.0.1]:36079","after_uncertain":false}','{"outcome":"failed","address":"disabled","advice":"remove","reason":"mailbox_disabled","status":"5.2.1","evidence":{"source":"dsn_field","text":"550 5.2.1 mailbox disabled","rule":"code.5.2.1","confidence":0.98}}');
INSERT INTO delivery VALUES(1599217676058624000,1599217676058624001,1768478403000,0,1768478669200,0,0,1,0,0,'kim@example.net','example.net','127.0.0.1:36079','baalddeaa3qaaaacpbhux3hpvuddq@b.example.org',replace(replace('X-Delivery-Mark: aalddeaa3qaaaadsnfxesjsywu\r\n','\r',char(13)),'\n',char(10)),NULL,'{"at":1768478404000,"verdict":{"outcome":"delayed","address":"no_statement","advice":{"retry_later":null},"reason":"rate_limited","status":"4.7.1","evidence":{"source":"smtp_reply","text":"greylisted, come back later","rule":"phrase.rate_limited.24","confidence":0.88}},"code":451,"text":"greylisted, come back later","stage":"rcpt","host":"127.0.0.1[127.0.0.1]:36079","after_uncertain":false}',NULL);
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id       BLOB NOT NULL UNIQUE,
    state    INTEGER NOT NULL, -- 0 ready 1 waiting behind an elder event of its delivery 2 done 3 dead letter
    due      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delivery INTEGER,
    kind     TEXT NOT NULL,
    error    TEXT,
    record   TEXT NOT NULL
);
INSERT INTO event VALUES(1,X'e7d3a9a9eaec0ac7867707b2aa7a2a34',2,0,1768478402000,0,1599217650892800000,'delivered',NULL,'{"id":"e7d3a9a9eaec0ac7867707b2aa7a2a34","kind":"delivered","at":1768478402000,"delivery":"16318ffb00000000","message":"16318ffb00000001","recipient":"ann@example.net","tag":100,"mailing":"issue-1","metadata":{"number":0},"verdict":{"outcome":"delivered","address":"fine","advice":"none","reason":"undetermined","status":"2.0.0","evidence":{"source":"smtp_reply","text":"taken","rule":"basic.250","confidence":1.0}},"cause":null,"code":250,"status":"2.0.0","text":"taken","stage":"end_of_data","host":"127.0.0.1[127.0.0.1]:36079","attempts":1,"reported_recipient":null,"trust":"sealed","origin":"conversation"}');
INSERT INTO event VALUES(2,X'8289e29fe6c572bfc7fa30fa6c029dbe',0,1768478405000,1768478402000,1,1599217659281408000,'fail','not now','{"id":"8289e29fe6c572bfc7fa30fa6c029dbe","kind":"fail","at":1768478402000,"delivery":"16318ffcf4000000","message":"16318ffcf4000001","recipient":"bob@example.net","tag":101,"mailing":"issue-1","metadata":{"number":1},"verdict":{"outcome":"failed","address":"no_mailbox","advice":"remove","reason":"user_unknown","status":"5.1.1","evidence":{"source":"smtp_reply","text":"no such user","rule":"code.5.1.1","confidence":0.98}},"cause":null,"code":550,"status":"5.1.1","text":"no such user","stage":"rcpt","host":"127.0.0.1[127.0.0.1]:36079","attempts":1,"reported_recipient":null,"trust":"sealed","origin":"conversation"}');
INSERT INTO event VALUES(3,X'43feea90efd2a0ae2d5fc1da06bcfdbc',2,0,1768478403000,0,1599217667670016000,'delivered',NULL,'{"id":"43feea90efd2a0ae2d5fc1da06bcfdbc","kind":"delivered","at":1768478403000,"delivery":"16318ffee8000000","message":"16318ffee8000001","recipient":"eve@example.net","tag":102,"mailing":"issue-1","metadata":{"number":2},"verdict":{"outcome":"delivered","address":"fine","advice":"none","reason":"undetermined","status":"2.0.0","evidence":{"source":"smtp_reply","text":"taken","rule":"basic.250","confidence":1.0}},"cause":null,"code":250,"status":"2.0.0","text":"taken","stage":"end_of_data","host":"127.0.0.1[127.0.0.1]:36079","attempts":1,"reported_recipient":null,"trust":"sealed","origin":"conversation"}');
INSERT INTO event VALUES(4,X'c2535c83483d1213ad6f7d9a751304bd',2,0,1768478404000,0,1599217667670016000,'bounce',NULL,'{"id":"c2535c83483d1213ad6f7d9a751304bd","kind":"bounce","at":1768478404000,"delivery":"16318ffee8000000","message":"16318ffee8000001","recipient":"eve@example.net","tag":102,"mailing":"issue-1","metadata":{"number":2},"verdict":{"outcome":"failed","address":"disabled","advice":"remove","reason":"mailbox_disabled","status":"5.2.1","evidence":{"source":"dsn_field","text":"550 5.2.1 mailbox disabled","rule":"code.5.2.1","confidence":0.98}},"cause":null,"code":550,"status":"5.2.1","text":"550 5.2.1 mailbox disabled","stage":null,"host":null,"attempts":1,"reported_recipient":"eve@example.net","trust":"sealed","origin":"report"}');
CREATE TABLE event_raw (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    content  BLOB NOT NULL
);
INSERT INTO event_raw VALUES(4,1768478404000,X'46726f6d3a204d61696c2044656c69766572792053797374656d203c6d61696c65722d6461656d6f6e4072656d6f74652e6578616d706c653e0d0a546f3a20756e646973636c6f7365642d726563697069656e74733a3b0d0a5375626a6563743a2044656c6976657279207374617475733a206661696c65640d0a446174653a205475652c203036204a616e20323032362031323a30303a3030202b303030300d0a4d6573736167652d49443a203c7265706f72742d352e322e312d657665406578616d706c652e6e65743e0d0a4175746f2d5375626d69747465643a206175746f2d7265706c6965640d0a4d494d452d56657273696f6e3a20312e300d0a436f6e74656e742d547970653a206d756c7469706172742f7265706f72743b207265706f72742d747970653d64656c69766572792d7374617475733b20626f756e646172793d223d7265706f7274220d0a0d0a2d2d3d7265706f72740d0a436f6e74656e742d547970653a20746578742f706c61696e3b20636861727365743d75732d61736369690d0a0d0a5468697320697320746865206d61696c2073797374656d2061742072656d6f74652e6578616d706c652e20546865207374617465206f6620796f7572206d65737361676520746f0d0a3c657665406578616d706c652e6e65743e2069733a206661696c65642e205468652072656d6f746520686f737420736169643a0d0a0d0a35353020352e322e31206d61696c626f782064697361626c65640d0a2d2d3d7265706f72740d0a436f6e74656e742d547970653a206d6573736167652f64656c69766572792d7374617475730d0a0d0a5265706f7274696e672d4d54413a20646e733b2072656d6f74652e6578616d706c650d0a4172726976616c2d446174653a205475652c203036204a616e20323032362031313a30303a3030202b303030300d0a0d0a46696e616c2d526563697069656e743a207266633832323b20657665406578616d706c652e6e65740d0a416374696f6e3a206661696c65640d0a5374617475733a20352e322e310d0a52656d6f74652d4d54413a20646e733b206d782e72656d6f74652e6578616d706c650d0a446961676e6f737469632d436f64653a20736d74703b2035353020352e322e31206d61696c626f782064697361626c65640d0a0d0a2d2d3d7265706f72740d0a436f6e74656e742d547970653a20746578742f7266633832322d686561646572730d0a0d0a0d0a2d2d3d7265706f72742d2d0d0a');
CREATE TABLE inbound (
    delivery  INTEGER PRIMARY KEY,
    first_at  INTEGER NOT NULL,
    events    INTEGER NOT NULL,
    raw_bytes INTEGER NOT NULL,
    refused   INTEGER NOT NULL DEFAULT 0 -- events over the bound: counted, not stored
);
INSERT INTO inbound VALUES(1599217667670016000,1768478404000,1,913,0);
CREATE TABLE ring_key (
    id          INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    secret      BLOB,
    state       TEXT NOT NULL,
    since       INTEGER NOT NULL
);
INSERT INTO ring_key VALUES(0,X'4ca8113b7c32e858bf437c84c4a9529f',X'807af1bff54e26f5f892973fec939b658485103a1ff7accb10a15f427e407729','mint',1768478400000);
CREATE TABLE path_form (
    domain    TEXT NOT NULL,
    prefix    TEXT NOT NULL,
    separator TEXT NOT NULL,
    last_used INTEGER NOT NULL,
    PRIMARY KEY (domain, prefix, separator)
) WITHOUT ROWID;
INSERT INTO path_form VALUES('b.example.org','b','',1768478400000);
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE forgotten (
    hash BLOB PRIMARY KEY, -- HMAC-SHA256 of the address in lower case, under the secret of this name
    at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE forgotten_delivery (
    id INTEGER PRIMARY KEY, -- what is still heard of it is not stored
    at INTEGER NOT NULL
);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('event',4);
CREATE UNIQUE INDEX message_key ON message(key) WHERE key IS NOT NULL;
CREATE INDEX message_body ON message(body) WHERE body IS NOT NULL;
CREATE INDEX delivery_message ON delivery(message);
CREATE INDEX delivery_queued ON delivery(queued_at);
CREATE INDEX delivery_turn ON delivery(destination, due) WHERE state <= 1;
CREATE INDEX delivery_due ON delivery(due) WHERE state <= 1;
CREATE INDEX delivery_leased ON delivery(id) WHERE state = 1;
CREATE INDEX delivery_in_doubt ON delivery(id) WHERE in_doubt = 1;
CREATE INDEX event_ready ON event(due) WHERE state = 0;
CREATE INDEX event_pending ON event(delivery) WHERE state <= 1;
CREATE INDEX event_dead ON event(sequence) WHERE state = 3;
CREATE INDEX event_at ON event(at);
CREATE INDEX event_raw_at ON event_raw(at);
COMMIT;
PRAGMA application_id = 1919972456;
PRAGMA user_version = 2;

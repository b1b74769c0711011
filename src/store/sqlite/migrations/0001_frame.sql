-- Times are microseconds since 1970 in UTC. Ids are UUIDs as 16 bytes. JSON is text.

CREATE TABLE submission (
  id           BLOB PRIMARY KEY,
  system       TEXT NOT NULL,
  at           INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  original     BLOB NOT NULL,
  answer       TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE referral (
  id         BLOB PRIMARY KEY,
  submission BLOB NOT NULL REFERENCES submission (id),
  system     TEXT NOT NULL,
  key        TEXT NOT NULL,
  identifier TEXT,
  digest     BLOB NOT NULL,
  request    BLOB NOT NULL,
  origin     TEXT,
  route_set  TEXT NOT NULL,
  decision   TEXT NOT NULL,
  created    INTEGER NOT NULL,
  UNIQUE (system, key)
) WITHOUT ROWID;
CREATE INDEX referral_by_system ON referral (system, request);
CREATE INDEX referral_by_request ON referral (request);
CREATE INDEX referral_by_identifier ON referral (identifier) WHERE identifier IS NOT NULL;

-- system, provider and status stand here so that a worklist is read from one index
CREATE TABLE task (
  id               BLOB PRIMARY KEY,
  referral         BLOB NOT NULL REFERENCES referral (id),
  part_of          BLOB,
  system           TEXT NOT NULL,
  inbox            TEXT NOT NULL,
  provider         TEXT NOT NULL,
  status           TEXT NOT NULL,
  cancel_requested INTEGER NOT NULL,
  transport        TEXT,
  sent             INTEGER NOT NULL,
  seq              INTEGER NOT NULL,
  version          INTEGER NOT NULL,
  answered         INTEGER NOT NULL,
  head_hash        BLOB NOT NULL,
  created          INTEGER NOT NULL,
  last_updated     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX task_by_referral ON task (referral);
CREATE INDEX task_by_provider ON task (provider, status, id);
CREATE INDEX task_by_provider_paged ON task (provider, id);
CREATE INDEX task_by_provider_changed ON task (provider, last_updated);
CREATE INDEX task_by_system ON task (system, id);
CREATE INDEX task_by_system_changed ON task (system, last_updated);

CREATE TABLE resource (
  kind         TEXT NOT NULL,
  id           BLOB NOT NULL,
  version      INTEGER NOT NULL,
  referral     BLOB NOT NULL,
  last_updated INTEGER NOT NULL,
  body         TEXT NOT NULL,
  PRIMARY KEY (id, kind, version)
) WITHOUT ROWID;
CREATE INDEX resource_by_referral ON resource (referral);

-- append-only: each line hashes its fixed columns, the commitment to its detail, and the line before
CREATE TABLE journal (
  task       BLOB NOT NULL,
  seq        INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  event      TEXT NOT NULL,
  actor      TEXT NOT NULL,
  detail     TEXT,
  salt       BLOB,
  commitment BLOB NOT NULL,
  hash       BLOB NOT NULL,
  PRIMARY KEY (task, seq)
) WITHOUT ROWID;

CREATE TABLE lane (
  task        BLOB NOT NULL,
  side        TEXT NOT NULL,
  cursor      INTEGER NOT NULL DEFAULT 0,
  memory      TEXT,
  lease       INTEGER NOT NULL DEFAULT 0,
  lease_until INTEGER,
  poll_at     INTEGER,
  PRIMARY KEY (task, side)
) WITHOUT ROWID;
CREATE INDEX lane_leased ON lane (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX lane_to_poll ON lane (poll_at) WHERE poll_at IS NOT NULL;

-- state: 0 pending, 1 published, 2 done, 3 dead. due: from when on anyone may publish what is pending
CREATE TABLE outbox (
  id           BLOB PRIMARY KEY,
  task         BLOB NOT NULL,
  side         TEXT NOT NULL,
  seq          INTEGER NOT NULL,
  destination  TEXT NOT NULL,
  route_set    TEXT NOT NULL,
  traceparent  TEXT,
  state        INTEGER NOT NULL,
  not_before   INTEGER NOT NULL,
  attempts     INTEGER NOT NULL DEFAULT 0,
  lease_until  INTEGER,
  published_at INTEGER,
  republished  INTEGER NOT NULL DEFAULT 0,
  created      INTEGER NOT NULL,
  why          TEXT,
  due          INTEGER GENERATED ALWAYS AS (max(not_before, coalesce(lease_until, 0))) VIRTUAL
) WITHOUT ROWID;
CREATE UNIQUE INDEX outbox_lane ON outbox (task, side, seq);
CREATE INDEX outbox_pending ON outbox (due) WHERE state = 0;
CREATE INDEX outbox_published ON outbox (published_at) WHERE state = 1;
CREATE INDEX outbox_dead ON outbox (created) WHERE state = 3;

CREATE TABLE attempt (
  task        BLOB NOT NULL,
  side        TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  n           INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  endpoint    TEXT NOT NULL,
  result      TEXT NOT NULL,
  why         TEXT,
  PRIMARY KEY (task, side, seq, n)
) WITHOUT ROWID;

-- The directory of services: every version of every entry, which is never changed, and which one is current.
CREATE TABLE directory_version (
  kind         TEXT NOT NULL,
  id           BLOB NOT NULL,
  version      INTEGER NOT NULL,
  revision     INTEGER NOT NULL UNIQUE,
  last_updated INTEGER NOT NULL,
  source       TEXT,
  source_name  TEXT,
  author       TEXT NOT NULL,
  body         TEXT NOT NULL,
  PRIMARY KEY (kind, id, version)
);
CREATE TABLE directory_current (
  kind        TEXT NOT NULL,
  id          BLOB NOT NULL,
  version     INTEGER NOT NULL,
  revision    INTEGER NOT NULL UNIQUE,
  source      TEXT,
  source_name TEXT,
  PRIMARY KEY (kind, id),
  UNIQUE (kind, source, source_name)
) WITHOUT ROWID;
-- What providers propose for it.
CREATE TABLE directory_proposal (
  id             BLOB PRIMARY KEY,
  provider       TEXT NOT NULL,
  kind           TEXT NOT NULL,
  entry          BLOB NOT NULL,
  over           INTEGER NOT NULL,
  source         TEXT,
  source_name    TEXT,
  at             INTEGER NOT NULL,
  status         TEXT NOT NULL,
  decided_at     INTEGER,
  decided_by     TEXT,
  reason         TEXT,
  became_version INTEGER,
  body           TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX directory_proposal_status ON directory_proposal (status, id);
CREATE INDEX directory_proposal_provider ON directory_proposal (provider, status, id);

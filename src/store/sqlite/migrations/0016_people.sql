-- People who have logged in. What could be shown is kept as its SHA-256.
CREATE TABLE session (
  secret    BLOB PRIMARY KEY,
  id        BLOB NOT NULL UNIQUE,
  person    TEXT NOT NULL,
  name      TEXT NOT NULL,
  positions TEXT NOT NULL,
  created   INTEGER NOT NULL,
  last_used INTEGER NOT NULL,
  until     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_of_person ON session (person, created);
-- Log-ins that were begun.
CREATE TABLE login (
  key   BLOB PRIMARY KEY,
  until INTEGER NOT NULL,
  kept  TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX login_until ON login (until);
-- Local accounts.
CREATE TABLE account (
  name            TEXT PRIMARY KEY,
  full_name       TEXT NOT NULL,
  positions       TEXT NOT NULL,
  disabled        INTEGER NOT NULL,
  enrolment       BLOB,
  enrolment_until INTEGER,
  password        TEXT,
  totp            BLOB,
  step            INTEGER,
  created         INTEGER NOT NULL,
  version         INTEGER NOT NULL
) WITHOUT ROWID;
-- What was tried in vain, by the SHA-256 of an account's name or of an address.
CREATE TABLE login_failure (
  key   BLOB PRIMARY KEY,
  count INTEGER NOT NULL,
  last  INTEGER NOT NULL
) WITHOUT ROWID;
-- Who saw what is in a referral without being one of those whom it concerns, and why.
CREATE TABLE glass (
  id        BLOB PRIMARY KEY,
  person    TEXT NOT NULL,
  name      TEXT NOT NULL,
  positions TEXT NOT NULL,
  referral  BLOB NOT NULL,
  reason    TEXT NOT NULL,
  at        INTEGER NOT NULL,
  until     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX glass_of_person ON glass (person, referral, until);

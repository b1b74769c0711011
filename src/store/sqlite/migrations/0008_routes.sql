-- Route sets in versions, and which one is active: the last activation. Neither is ever changed.
CREATE TABLE routes (
  number  INTEGER PRIMARY KEY,
  hash    TEXT NOT NULL,
  text    TEXT NOT NULL,
  files   TEXT NOT NULL,
  author  TEXT NOT NULL,
  comment TEXT NOT NULL,
  at      INTEGER NOT NULL
);
CREATE TABLE routes_activation (
  seq     INTEGER PRIMARY KEY,
  number  INTEGER NOT NULL REFERENCES routes (number),
  is_new  INTEGER NOT NULL,
  author  TEXT NOT NULL,
  comment TEXT NOT NULL,
  at      INTEGER NOT NULL
);

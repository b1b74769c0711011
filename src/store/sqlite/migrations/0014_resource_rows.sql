-- A table without rowids keeps little of a row in its own page: of a resource of a thousand bytes nearly all went to a page of its
-- own. With rowids a page holds what fits, so that the file is less than half as large and more of it stays in memory.
CREATE TABLE resource_rows (
  kind         TEXT NOT NULL,
  id           BLOB NOT NULL,
  version      INTEGER NOT NULL,
  referral     BLOB NOT NULL,
  last_updated INTEGER NOT NULL,
  origin       TEXT,
  task         BLOB,
  later        INTEGER NOT NULL DEFAULT 0,
  body         TEXT NOT NULL
);
INSERT INTO resource_rows (kind, id, version, referral, last_updated, origin, task, later, body)
  SELECT kind, id, version, referral, last_updated, origin, task, later, body FROM resource ORDER BY referral, id, kind, version;
DROP TABLE resource;
ALTER TABLE resource_rows RENAME TO resource;
CREATE UNIQUE INDEX resource_version ON resource (id, kind, version);
-- the kind and the id as well: what is not of a kind is passed over without its row being read
CREATE INDEX resource_by_referral ON resource (referral, kind, id, version);

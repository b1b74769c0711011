-- Who wants to be told of changes. due: from when on anybody may attend to it.
CREATE TABLE subscription (
  id           BLOB PRIMARY KEY,
  owner        TEXT NOT NULL,
  version      INTEGER NOT NULL,
  last_updated INTEGER NOT NULL,
  status       TEXT NOT NULL,
  seen_until   INTEGER NOT NULL,
  events       INTEGER NOT NULL,
  progress     TEXT NOT NULL,
  lease        INTEGER NOT NULL,
  due          INTEGER NOT NULL,
  body         TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX subscription_by_owner ON subscription (owner, id);
CREATE INDEX subscription_due ON subscription (due) WHERE status IN ('requested', 'active');
CREATE TABLE subscription_event (
  subscription BLOB NOT NULL,
  number       INTEGER NOT NULL,
  task         BLOB NOT NULL,
  version      INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  PRIMARY KEY (subscription, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX subscription_event_once ON subscription_event (subscription, task, version);
-- By what the client knows the request that a line comes of.
ALTER TABLE journal ADD COLUMN request TEXT;
ALTER TABLE journal ADD COLUMN correlation TEXT;

-- What is due is found by destination, so that one with a hundred thousand messages does not stand before the others.
-- deferred_at: when it was last tried in vain
ALTER TABLE outbox ADD COLUMN deferred_at INTEGER;
DROP INDEX outbox_pending;
DROP INDEX outbox_published;
CREATE INDEX outbox_pending ON outbox (side, destination, due) WHERE state = 0;
CREATE INDEX outbox_published ON outbox (side, destination, published_at) WHERE state = 1;

-- poll_of: whose copy it is; the same holds for copies
ALTER TABLE lane ADD COLUMN poll_of TEXT;
UPDATE lane SET poll_of = (SELECT inbox FROM task WHERE task.id = lane.task) WHERE poll_at IS NOT NULL;
DROP INDEX lane_to_poll;
CREATE INDEX lane_to_poll ON lane (poll_of, poll_at) WHERE poll_at IS NOT NULL;

CREATE TABLE breaker (
  side        TEXT NOT NULL,
  destination TEXT NOT NULL,
  base_url    TEXT NOT NULL,
  phase       TEXT NOT NULL,
  since       INTEGER NOT NULL,
  outage      INTEGER NOT NULL,
  until       INTEGER NOT NULL,
  holder      BLOB NOT NULL,
  failures    INTEGER NOT NULL,
  why         TEXT,
  version     INTEGER NOT NULL,
  PRIMARY KEY (side, destination)
) WITHOUT ROWID;

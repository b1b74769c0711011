-- Up to which line of a Task's journal a provider has looked at what the other side said.
CREATE TABLE heard (
  provider TEXT NOT NULL,
  task     BLOB NOT NULL,
  seq      INTEGER NOT NULL,
  PRIMARY KEY (provider, task)
) WITHOUT ROWID;

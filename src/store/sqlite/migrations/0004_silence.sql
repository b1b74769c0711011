-- what is awaited by when; due_at: from when on a scheduler may look at the Task, its lease included
ALTER TABLE task ADD COLUMN deliver_by INTEGER;
ALTER TABLE task ADD COLUMN open_by INTEGER;
ALTER TABLE task ADD COLUMN answer_by INTEGER;
ALTER TABLE task ADD COLUMN due_at INTEGER;
ALTER TABLE task ADD COLUMN seen_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN transport_since INTEGER;
UPDATE task SET transport_since = last_updated WHERE transport IS NOT NULL;
CREATE INDEX task_due ON task (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX task_in_trouble ON task (transport_since, id)
  WHERE transport IN ('delivery-delayed', 'not-opened', 'overdue', 'copy-unreadable') AND seen_to = 0;

-- outbox.state 4: put away by an operator

-- state: 0 to be told, 1 told, 2 given up. open: 1 while a standing one lasts
CREATE TABLE alert (
  id       BLOB PRIMARY KEY,
  kind     TEXT NOT NULL,
  subject  TEXT NOT NULL,
  task     BLOB,
  message  BLOB,
  since    INTEGER NOT NULL,
  text     TEXT NOT NULL,
  created  INTEGER NOT NULL,
  state    INTEGER NOT NULL DEFAULT 0,
  due      INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  open     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX alert_due ON alert (due) WHERE state = 0;
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE open = 1;
CREATE INDEX alert_over ON alert (created) WHERE state > 0 AND open = 0;

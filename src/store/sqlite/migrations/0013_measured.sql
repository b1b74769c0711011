-- First answers, from which is measured how soon an inbox answers: nothing of the Task, the referral or the person. day: since
-- 1970-01-01 in UTC.
CREATE TABLE answer (
  inbox      TEXT NOT NULL,
  day        INTEGER NOT NULL,
  waited_min INTEGER NOT NULL,
  accepted   INTEGER NOT NULL
);
CREATE INDEX answer_by_inbox ON answer (inbox, day, waited_min, accepted);
-- Those that were given before, as far as the journal still tells of them. One before which cancellation had been asked for is left
-- out, even where that had been refused by then.
INSERT INTO answer (inbox, day, waited_min, accepted)
  SELECT t.inbox, j.at / 86400000000, max(j.at - t.created, 0) / 60000000,
         json_extract(j.detail, '$.answered.to') <> 'rejected'
  FROM (SELECT task, min(seq) AS seq FROM journal
        WHERE event = 'answered' AND json_extract(detail, '$.answered.from') IN ('requested', 'received')
          AND json_extract(detail, '$.answered.to') NOT IN ('requested', 'received')
        GROUP BY task) first
  JOIN journal j ON j.task = first.task AND j.seq = first.seq
  JOIN task t ON t.id = first.task
  WHERE json_extract(j.detail, '$.answered.to') NOT IN ('cancelled', 'entered-in-error')
    AND NOT EXISTS (SELECT 1 FROM journal c
                    WHERE c.task = first.task AND c.seq < first.seq AND c.event = 'cancellation-requested');
-- How many open Tasks of an inbox have which status.
DROP INDEX task_open_by_inbox;
CREATE INDEX task_open_by_inbox ON task (inbox, status)
  WHERE status IN ('requested', 'received', 'accepted', 'in-progress', 'on-hold');

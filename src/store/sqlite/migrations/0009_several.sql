-- What the route says of the time a provider has, as JSON; none: as its inbox says.
ALTER TABLE task ADD COLUMN terms TEXT;
-- How many open Tasks an inbox holds.
CREATE INDEX task_open_by_inbox ON task (inbox)
  WHERE status IN ('requested', 'received', 'accepted', 'in-progress', 'on-hold');

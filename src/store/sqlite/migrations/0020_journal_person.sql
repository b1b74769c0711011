-- Who did on a page what the journal tells of the organisation.
ALTER TABLE journal ADD COLUMN person TEXT;

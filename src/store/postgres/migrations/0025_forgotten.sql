-- Since when an account has ended, and when it was forgotten. Of one that is forgotten what it is called stays, and nothing to log in with.
ALTER TABLE account ADD COLUMN ended bigint;
ALTER TABLE account ADD COLUMN forgotten bigint;
CREATE INDEX account_forgotten ON account (forgotten) WHERE forgotten IS NOT NULL;

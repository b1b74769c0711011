-- By which an issuer knows the log-in of a session: the SHA-256 of its `sid`.
ALTER TABLE session ADD COLUMN issued bytea;
CREATE INDEX session_issued ON session (issued) WHERE issued IS NOT NULL;

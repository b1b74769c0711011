-- The history of all entries of a kind, the newest first.
CREATE INDEX directory_version_revision ON directory_version (kind, revision);

-- Secrets that all processes of this store share, each made by the first that wanted it.
CREATE TABLE secret (
  name  TEXT PRIMARY KEY NOT NULL,
  value BLOB NOT NULL
);

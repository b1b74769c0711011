-- Secrets that all processes of this store share, each made by the first that wanted it.
CREATE TABLE secret (
  name  text PRIMARY KEY,
  value bytea NOT NULL
);

-- Assertions by which clients showed who they are, each used once; and the access tokens that they were given. Of both only the SHA-256.
CREATE TABLE assertion_used (
  id    BLOB PRIMARY KEY NOT NULL,
  until INTEGER NOT NULL
);
CREATE INDEX assertion_used_by_end ON assertion_used (until);
CREATE TABLE access_token (
  hash        BLOB PRIMARY KEY NOT NULL,
  client      TEXT NOT NULL,
  scopes      TEXT NOT NULL,
  at          INTEGER NOT NULL,
  until       INTEGER NOT NULL,
  certificate BLOB
);
CREATE INDEX access_token_by_end ON access_token (until);

-- Assertions by which clients showed who they are, each used once; and the access tokens that they were given. Of both only the SHA-256.
CREATE TABLE assertion_used (
  id    bytea PRIMARY KEY,
  until bigint NOT NULL
);
CREATE INDEX assertion_used_by_end ON assertion_used (until);
CREATE TABLE access_token (
  hash        bytea PRIMARY KEY,
  client      text NOT NULL,
  scopes      text NOT NULL,
  at          bigint NOT NULL,
  until       bigint NOT NULL,
  certificate bytea
);
CREATE INDEX access_token_by_end ON access_token (until);

-- People who have logged in. What could be shown is kept as its SHA-256.
CREATE TABLE session (
  secret    bytea PRIMARY KEY,
  id        uuid NOT NULL UNIQUE,
  person    text NOT NULL,
  name      text NOT NULL,
  positions text NOT NULL,
  created   bigint NOT NULL,
  last_used bigint NOT NULL,
  until     bigint NOT NULL
);
CREATE INDEX session_of_person ON session (person, created);
-- Log-ins that were begun.
CREATE TABLE login (
  key   bytea PRIMARY KEY,
  until bigint NOT NULL,
  kept  text NOT NULL
);
CREATE INDEX login_until ON login (until);
-- Local accounts.
CREATE TABLE account (
  name            text PRIMARY KEY,
  full_name       text NOT NULL,
  positions       text NOT NULL,
  disabled        boolean NOT NULL,
  enrolment       bytea,
  enrolment_until bigint,
  password        text,
  totp            bytea,
  step            bigint,
  created         bigint NOT NULL,
  version         bigint NOT NULL
);
-- What was tried in vain, by the SHA-256 of an account's name or of an address.
CREATE TABLE login_failure (
  key   bytea PRIMARY KEY,
  count bigint NOT NULL,
  last  bigint NOT NULL
);
-- Who saw what is in a referral without being one of those whom it concerns, and why.
CREATE TABLE glass (
  id        uuid PRIMARY KEY,
  person    text NOT NULL,
  name      text NOT NULL,
  positions text NOT NULL,
  referral  uuid NOT NULL,
  reason    text NOT NULL,
  at        bigint NOT NULL,
  until     bigint NOT NULL
);
CREATE INDEX glass_of_person ON glass (person, referral, until);

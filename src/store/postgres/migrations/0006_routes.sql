-- Route sets in versions, and which one was activated when. Neither is ever changed.
CREATE TABLE routes (
  number  bigint PRIMARY KEY,
  hash    text NOT NULL,
  text    text NOT NULL,
  files   text NOT NULL,
  author  text NOT NULL,
  comment text NOT NULL,
  at      bigint NOT NULL
);
CREATE TABLE routes_activation (
  seq     bigint PRIMARY KEY,
  number  bigint NOT NULL REFERENCES routes (number),
  is_new  boolean NOT NULL,
  author  text NOT NULL,
  comment text NOT NULL,
  at      bigint NOT NULL
);
-- How far both are: one row, whose lock makes those who activate at once wait for one another.
CREATE TABLE routes_head (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  activation bigint NOT NULL,
  newest     bigint NOT NULL
);
INSERT INTO routes_head (activation, newest) VALUES (0, 0);

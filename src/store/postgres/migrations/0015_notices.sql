-- How far the notices of each inbox are: what was counted, and what is being sent, in numbers. Changed over the version.
CREATE TABLE notices (
  inbox   text PRIMARY KEY,
  version bigint NOT NULL,
  body    text NOT NULL
);

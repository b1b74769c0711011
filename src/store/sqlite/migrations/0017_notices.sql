-- How far the notices of each inbox are: what was counted, and what is being sent, in numbers. Changed over the version.
CREATE TABLE notices (
  inbox   TEXT PRIMARY KEY NOT NULL,
  version INTEGER NOT NULL,
  body    TEXT NOT NULL
);

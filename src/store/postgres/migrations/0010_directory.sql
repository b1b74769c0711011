-- The directory of services: every version of every entry, which is never changed, and which one is current.
CREATE TABLE directory_version (
  kind         text NOT NULL,
  id           uuid NOT NULL,
  version      bigint NOT NULL,
  revision     bigint NOT NULL,
  last_updated bigint NOT NULL,
  source       text,
  source_name  text,
  author       text NOT NULL,
  body         text NOT NULL,
  PRIMARY KEY (kind, id, version)
);
CREATE TABLE directory_current (
  kind        text NOT NULL,
  id          uuid NOT NULL,
  version     bigint NOT NULL,
  revision    bigint NOT NULL,
  source      text,
  source_name text,
  PRIMARY KEY (kind, id)
);
CREATE UNIQUE INDEX directory_revision ON directory_current (revision);
CREATE UNIQUE INDEX directory_source ON directory_current (kind, source, source_name) WHERE source IS NOT NULL;
-- How far it is: one row, whose lock makes those who write at once wait for one another, so that revisions become visible in order.
CREATE TABLE directory_head (
  one      boolean PRIMARY KEY DEFAULT true CHECK (one),
  revision bigint NOT NULL
);
INSERT INTO directory_head (revision) VALUES (0);
-- What providers propose for it.
CREATE TABLE directory_proposal (
  id             uuid PRIMARY KEY,
  provider       text NOT NULL,
  kind           text NOT NULL,
  entry          uuid NOT NULL,
  over           bigint NOT NULL,
  source         text,
  source_name    text,
  at             bigint NOT NULL,
  status         text NOT NULL,
  decided_at     bigint,
  decided_by     text,
  reason         text,
  became_version bigint,
  body           text NOT NULL
);
CREATE INDEX directory_proposal_status ON directory_proposal (status, id);
CREATE INDEX directory_proposal_provider ON directory_proposal (provider, status, id);

-- Who wants to be told of changes. due: from when on anybody may attend to it.
CREATE TABLE subscription (
  id           uuid PRIMARY KEY,
  owner        text NOT NULL,
  version      bigint NOT NULL,
  last_updated bigint NOT NULL,
  status       text NOT NULL,
  seen_until   bigint NOT NULL,
  events       bigint NOT NULL,
  progress     text NOT NULL,
  lease        bigint NOT NULL,
  due          bigint NOT NULL,
  body         text NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX subscription_by_owner ON subscription (owner, id);
CREATE INDEX subscription_due ON subscription (due) WHERE status IN ('requested', 'active');
CREATE TABLE subscription_event (
  subscription uuid NOT NULL,
  number       bigint NOT NULL,
  task         uuid NOT NULL,
  version      bigint NOT NULL,
  at           bigint NOT NULL,
  PRIMARY KEY (subscription, number)
);
CREATE UNIQUE INDEX subscription_event_once ON subscription_event (subscription, task, version);
-- By what the client knows the request that a line comes of.
ALTER TABLE journal ADD COLUMN request text;
ALTER TABLE journal ADD COLUMN correlation text;

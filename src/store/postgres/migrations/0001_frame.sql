-- Times are microseconds since 1970 in UTC, by the store's clock. JSON is text: it is given back as it came.
-- No foreign keys: every row is written by one transaction of ours together with what it belongs to.

CREATE TABLE submission (
  id           uuid PRIMARY KEY,
  at           bigint NOT NULL,
  system       text NOT NULL,
  content_type text NOT NULL,
  answer       text NOT NULL,
  original     bytea NOT NULL
) WITH (toast_tuple_target = 4096);

CREATE TABLE referral (
  id         uuid PRIMARY KEY,
  submission uuid NOT NULL,
  request    uuid NOT NULL,
  created    bigint NOT NULL,
  system     text NOT NULL,
  key        text NOT NULL,
  digest     bytea NOT NULL,
  identifier text,
  origin     text,
  route_set  text NOT NULL,
  decision   text NOT NULL
);
CREATE UNIQUE INDEX referral_by_key ON referral (key, system);
CREATE INDEX referral_by_system ON referral (system, request);
CREATE INDEX referral_by_request ON referral (request);
CREATE INDEX referral_by_identifier ON referral (identifier) WHERE identifier IS NOT NULL;

-- A Task with both its lanes in one row, so that a step is one update. What never changes stands first and is copied from the
-- referral: then neither a step nor a search joins. d_ is the delivery lane, w_ the write-back lane. No column that changes
-- without the content is indexed, poll_at of watched copies apart: those updates stay within their page. deliver_by, open_by,
-- answer_by: what is awaited by when; due_at: from when on a scheduler may look at the Task, its lease included.
CREATE TABLE task (
  id               uuid PRIMARY KEY,
  referral         uuid NOT NULL,
  request          uuid NOT NULL,
  created          bigint NOT NULL,
  system           text NOT NULL,
  inbox            text NOT NULL,
  provider         text NOT NULL,
  route_set        text NOT NULL,
  identifier       text,
  origin           text,
  status           text NOT NULL,
  transport        text,
  cancel_requested boolean NOT NULL,
  sent             boolean NOT NULL,
  information_requested boolean NOT NULL,
  seen_to          boolean NOT NULL,
  deliver_by       bigint,
  open_by          bigint,
  answer_by        bigint,
  due_at           bigint,
  transport_since  bigint,
  last_updated     bigint NOT NULL,
  seq              bigint NOT NULL,
  version          bigint NOT NULL,
  answered         bigint NOT NULL,
  head_hash        bytea NOT NULL,
  d_cursor         bigint NOT NULL DEFAULT 0,
  d_lease          bigint NOT NULL DEFAULT 0,
  d_until          bigint,
  d_holder         integer,
  d_memory         text,
  w_cursor         bigint NOT NULL DEFAULT 0,
  w_lease          bigint NOT NULL DEFAULT 0,
  w_until          bigint,
  w_holder         integer,
  w_memory         text,
  poll_at          bigint,
  poll_holder      integer
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX task_by_referral ON task (referral);
CREATE INDEX task_by_provider ON task (provider, status, id);
CREATE INDEX task_by_provider_paged ON task (provider, id);
CREATE INDEX task_by_provider_changed ON task (provider, last_updated);
CREATE INDEX task_by_system ON task (system, id);
CREATE INDEX task_by_system_changed ON task (system, last_updated);
CREATE INDEX task_due ON task (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX task_in_trouble ON task (transport_since, id)
  WHERE transport IN ('delivery-delayed', 'not-opened', 'overdue', 'copy-unreadable') AND NOT seen_to;
CREATE INDEX task_to_poll ON task (inbox, poll_at) WHERE poll_at IS NOT NULL;

-- origin: what the sender calls it. task: the one whose parties alone it concerns. later: it came after the referral itself
CREATE TABLE resource (
  id           uuid NOT NULL,
  referral     uuid NOT NULL,
  task         uuid,
  version      bigint NOT NULL,
  last_updated bigint NOT NULL,
  later        boolean NOT NULL,
  kind         text NOT NULL,
  origin       text,
  body         text NOT NULL,
  PRIMARY KEY (id, kind, version)
) WITH (toast_tuple_target = 4096);
CREATE INDEX resource_by_referral ON resource (referral);

-- by what a message is known when it comes again
CREATE TABLE resource_key (
  author text NOT NULL,
  key    text NOT NULL,
  id     uuid NOT NULL,
  digest bytea NOT NULL,
  PRIMARY KEY (author, key)
);

-- append-only: each line hashes its fixed columns, the commitment to its detail, and the line before
CREATE TABLE journal (
  task       uuid NOT NULL,
  seq        bigint NOT NULL,
  at         bigint NOT NULL,
  event      text NOT NULL,
  actor      text NOT NULL,
  detail     text,
  salt       bytea,
  commitment bytea NOT NULL,
  hash       bytea NOT NULL,
  PRIMARY KEY (task, seq)
);

-- What is to be published or has died. state: 0 pending, 1 published, 3 dead, 4 put away by an operator; what is done is
-- deleted, so the table is as long as the backlog. side: 0 delivery, 1 write-back. due: from when on anyone may publish what is pending.
-- deferred_at: when it was last tried in vain. What is due is found by destination, so that one with a hundred thousand messages
-- does not stand before the others.
CREATE TABLE outbox (
  id           uuid PRIMARY KEY,
  task         uuid NOT NULL,
  seq          bigint NOT NULL,
  created      bigint NOT NULL,
  not_before   bigint NOT NULL,
  lease_until  bigint,
  published_at bigint,
  deferred_at  bigint,
  attempts     integer NOT NULL DEFAULT 0,
  republished  integer NOT NULL DEFAULT 0,
  holder       integer,
  side         smallint NOT NULL,
  state        smallint NOT NULL,
  destination  text NOT NULL,
  route_set    text NOT NULL,
  traceparent  text,
  why          text,
  due          bigint GENERATED ALWAYS AS (GREATEST(not_before, COALESCE(lease_until, 0))) STORED
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
CREATE UNIQUE INDEX outbox_lane ON outbox (task, side, seq);
CREATE INDEX outbox_pending ON outbox (side, destination, due) WHERE state = 0;
CREATE INDEX outbox_published ON outbox (side, destination, published_at) WHERE state = 1;
CREATE INDEX outbox_dead ON outbox (created, id) WHERE state = 3;

CREATE TABLE attempt (
  task        uuid NOT NULL,
  n           bigint GENERATED ALWAYS AS IDENTITY,
  at          bigint NOT NULL,
  seq         bigint NOT NULL,
  duration_us bigint NOT NULL,
  side        smallint NOT NULL,
  endpoint    text NOT NULL,
  result      text NOT NULL,
  why         text,
  PRIMARY KEY (task, n)
);

-- The breaker of each endpoint that ever was not closed. replica: the process of whoever probes or drains
CREATE TABLE breaker (
  side        smallint NOT NULL,
  destination text NOT NULL,
  base_url    text NOT NULL,
  phase       text NOT NULL,
  since       bigint NOT NULL,
  outage      bigint NOT NULL,
  until       bigint NOT NULL,
  holder      uuid NOT NULL,
  replica     integer,
  failures    bigint NOT NULL,
  why         text,
  version     bigint NOT NULL,
  PRIMARY KEY (side, destination)
) WITH (fillfactor = 50);

-- state: 0 to be told, 1 told, 2 given up. open: while a standing one lasts
CREATE TABLE alert (
  id       uuid PRIMARY KEY,
  kind     text NOT NULL,
  subject  text NOT NULL,
  task     uuid,
  message  uuid,
  since    bigint NOT NULL,
  text     text NOT NULL,
  created  bigint NOT NULL,
  due      bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  state    smallint NOT NULL DEFAULT 0,
  open     boolean NOT NULL
);
CREATE INDEX alert_due ON alert (due, id) WHERE state = 0;
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE open;
CREATE INDEX alert_over ON alert (created) WHERE state > 0 AND NOT open;

-- One row a running process. One that did not beat for some seconds is ended, and so are its leases.
CREATE TABLE replica (
  id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name    text NOT NULL,
  started bigint NOT NULL,
  beat    bigint NOT NULL,
  ended   bigint
) WITH (fillfactor = 20);

-- One row, written to show that it can be.
CREATE TABLE probe (at bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO probe VALUES (0);

-- What was tried in vain is looked at every few seconds, however much waits beside it.
CREATE INDEX outbox_failing ON outbox (side, destination, deferred_at) WHERE attempts > 0 AND state < 2;

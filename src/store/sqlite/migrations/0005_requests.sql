-- A provider's ServiceRequests in the order of a page, from one index. request is the referral's.
ALTER TABLE task ADD COLUMN request BLOB;
UPDATE task SET request = (SELECT r.request FROM referral r WHERE r.id = task.referral);
CREATE INDEX task_by_provider_request ON task (provider, request);

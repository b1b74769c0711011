-- What a referral is known by outside: values of the identifiers of its ServiceRequest and of the person whom it is about.
CREATE TABLE name (
  value    TEXT NOT NULL,
  referral BLOB NOT NULL,
  PRIMARY KEY (value, referral)
) WITHOUT ROWID;
INSERT OR IGNORE INTO name (value, referral)
  SELECT substr(json_extract(i.value, '$.value'), 1, 128), s.referral
  FROM resource s, json_each(s.body, '$.identifier') i
  WHERE s.kind IN ('ServiceRequest', 'Patient') AND json_type(i.value, '$.value') = 'text' AND json_extract(i.value, '$.value') <> '';
INSERT OR IGNORE INTO name (value, referral)
  SELECT substr(json_extract(i.value, '$.value'), 1, 128), s.referral
  FROM resource s, json_each(s.body, '$.contained') c, json_each(c.value, '$.identifier') i
  WHERE s.kind = 'ServiceRequest' AND json_extract(c.value, '$.resourceType') = 'Patient'
    AND json_type(i.value, '$.value') = 'text' AND json_extract(i.value, '$.value') <> '';
INSERT OR IGNORE INTO name (value, referral)
  SELECT substr(json_extract(s.body, p.path), 1, 128), s.referral
  FROM resource s, (SELECT '$.requisition.value' AS path UNION ALL SELECT '$.subject.identifier.value') p
  WHERE s.kind = 'ServiceRequest' AND json_type(s.body, p.path) = 'text' AND json_extract(s.body, p.path) <> '';
-- A system's Tasks of one status in the order of a page, as a provider's.
CREATE INDEX task_by_system_status ON task (system, status, id);
-- A system's ServiceRequests in the order of their last change.
ALTER TABLE referral ADD COLUMN changed INTEGER;
UPDATE referral SET changed =
  (SELECT max(s.last_updated) FROM resource s WHERE s.id = referral.request AND s.kind = 'ServiceRequest');
CREATE INDEX referral_by_system_changed ON referral (system, changed, request);

-- What a referral is known by outside: values of the identifiers of its ServiceRequest and of the person whom it is about.
CREATE TABLE name (
  value    text NOT NULL,
  referral uuid NOT NULL,
  PRIMARY KEY (value, referral)
);
-- no JSON that holds a NUL can be taken apart here, and FHIR has none
INSERT INTO name (value, referral)
  SELECT DISTINCT left(i ->> 'value', 128), s.referral
  FROM (SELECT referral, kind, body::jsonb AS body FROM resource
        WHERE kind IN ('ServiceRequest', 'Patient') AND position('\u0000' IN body) = 0) s
  CROSS JOIN LATERAL (
    SELECT jsonb_array_elements(CASE jsonb_typeof(s.body -> 'identifier') WHEN 'array' THEN s.body -> 'identifier' ELSE '[]' END)
    UNION ALL
    SELECT jsonb_array_elements(CASE jsonb_typeof(c -> 'identifier') WHEN 'array' THEN c -> 'identifier' ELSE '[]' END)
    FROM jsonb_array_elements(CASE jsonb_typeof(s.body -> 'contained') WHEN 'array' THEN s.body -> 'contained' ELSE '[]' END) c
    WHERE s.kind = 'ServiceRequest' AND c ->> 'resourceType' = 'Patient'
    UNION ALL
    SELECT x FROM (VALUES (s.body -> 'requisition'), (s.body #> '{subject,identifier}')) v (x) WHERE s.kind = 'ServiceRequest'
  ) found (i)
  WHERE jsonb_typeof(i -> 'value') = 'string' AND i ->> 'value' <> '';
-- A system's Tasks of one status in the order of a page, as a provider's.
CREATE INDEX task_by_system_status ON task (system, status, id);
-- A system's ServiceRequests in the order of their last change.
ALTER TABLE referral ADD COLUMN changed bigint;
UPDATE referral r SET changed =
  (SELECT max(s.last_updated) FROM resource s WHERE s.id = r.request AND s.kind = 'ServiceRequest');
CREATE INDEX referral_by_system_changed ON referral (system, changed, request);

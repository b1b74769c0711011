-- What is long is compressed by LZ4, for a quarter of what the default costs. A server that was built without it keeps the default.
DO $$
BEGIN
  ALTER TABLE submission ALTER COLUMN original SET COMPRESSION lz4;
  ALTER TABLE resource ALTER COLUMN body SET COMPRESSION lz4;
  ALTER TABLE referral ALTER COLUMN decision SET COMPRESSION lz4;
  ALTER TABLE journal ALTER COLUMN detail SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  NULL;
END $$;

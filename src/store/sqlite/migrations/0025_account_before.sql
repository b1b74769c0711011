-- What somebody was before her account was changed; of changes made before this step it is not known.
ALTER TABLE account_note ADD COLUMN before TEXT NOT NULL DEFAULT '';

-- what comes after a referral: new versions of its ServiceRequest, and messages

ALTER TABLE task ADD COLUMN information_requested INTEGER NOT NULL DEFAULT 0;

-- origin: what the sender calls it. task: the one whose parties alone it concerns. later: it came after the referral itself
ALTER TABLE resource ADD COLUMN origin TEXT;
ALTER TABLE resource ADD COLUMN task BLOB;
ALTER TABLE resource ADD COLUMN later INTEGER NOT NULL DEFAULT 0;

-- by what a message is known when it comes again
CREATE TABLE resource_key (
  author TEXT NOT NULL,
  key    TEXT NOT NULL,
  id     BLOB NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (author, key)
) WITHOUT ROWID;

-- Who did what with a local account.
CREATE TABLE account_note (
  id        BLOB PRIMARY KEY,
  at        INTEGER NOT NULL,
  by        TEXT NOT NULL,
  account   TEXT NOT NULL,
  deed      TEXT NOT NULL,
  positions TEXT NOT NULL
) WITHOUT ROWID;

-- Who did what with a local account.
CREATE TABLE account_note (
  id        uuid PRIMARY KEY,
  at        bigint NOT NULL,
  by        text NOT NULL,
  account   text NOT NULL,
  deed      text NOT NULL,
  positions text NOT NULL
);

-- Who works a provider's referrals by the word of an issuer, each name apart.
CREATE TABLE colleague (
  provider TEXT NOT NULL,
  person   TEXT NOT NULL,
  name     TEXT NOT NULL,
  since    INTEGER NOT NULL,
  seen     INTEGER NOT NULL,
  works    INTEGER NOT NULL,
  PRIMARY KEY (provider, person, name)
) WITHOUT ROWID;
CREATE INDEX colleague_person ON colleague (person);

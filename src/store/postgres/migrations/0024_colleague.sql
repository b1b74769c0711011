-- Who works a provider's referrals by the word of an issuer, each name apart.
CREATE TABLE colleague (
  provider text NOT NULL,
  person   text NOT NULL,
  name     text NOT NULL,
  since    bigint NOT NULL,
  seen     bigint NOT NULL,
  works    boolean NOT NULL,
  PRIMARY KEY (provider, person, name)
);
CREATE INDEX colleague_person ON colleague (person);

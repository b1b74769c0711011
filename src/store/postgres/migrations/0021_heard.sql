-- Up to which line of a Task's journal a provider has looked at what the other side said.
CREATE TABLE heard (
  provider text NOT NULL,
  task     uuid NOT NULL,
  seq      bigint NOT NULL,
  PRIMARY KEY (provider, task)
);

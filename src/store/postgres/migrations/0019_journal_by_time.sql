-- Lines of the journal in the order in which they were written, for whoever looks for what happened when. Each comes at the end of it.
CREATE INDEX journal_by_time ON journal (at, task, seq);

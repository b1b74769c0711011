-- beside: the Task of another referral of the same person that was open in the same inbox when this one came.
ALTER TABLE task ADD COLUMN beside BLOB;

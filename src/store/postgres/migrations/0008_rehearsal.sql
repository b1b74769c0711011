-- Referrals in the order in which they were stored.
CREATE INDEX referral_by_time ON referral (created, id);

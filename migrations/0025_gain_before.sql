-- The score that a line's gain starts from: the mean F1 of the training before, on the samples and labels on which both
-- were measured. Null for lines of older versions and for gains over seeds.

alter table ledger add column gain_before double precision;

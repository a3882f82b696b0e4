-- What a job has to say, as a code of the message catalogues with its parameters, beside the English
-- sentence: pages word it in the reader's language.
alter table jobs add column error_note jsonb;
alter table job_log add column note jsonb;

-- Which import brings a sample's media: only that one stores and inspects them, so that two imports of
-- a dataset at the same time (or a later one with other files under the same names) keep apart.
alter table samples add column media_job uuid;
drop index samples_to_inspect;
create index samples_media_job on samples (media_job, id) where media_job is not null;

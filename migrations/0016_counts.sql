-- Numbers and indexes that keep the lists of a large dataset cheap at any depth, and the share of known samples.

-- Samples of a scan with each kind of issue, by what the filters of the list ask of a finding. Written with the
-- findings, and again for the kind whose issues change with the order of review.
create table issue_counts (
    scan_id         uuid not null references scans on delete cascade,
    kind            text not null,
    detectors       text[] not null,
    cross_parent    boolean not null,
    n               bigint not null,
    primary key (scan_id, kind, detectors, cross_parent)
);
insert into issue_counts
    select i.scan_id, i.kind, f.detectors, coalesce((f.reason ->> 'cross_parent')::boolean, false), count(*)
    from finding_issues i join findings f on f.scan_id = i.scan_id and f.sample_id = i.sample_id
    group by 1, 2, 3, 4;

-- What waits in the order of review: the last page lies as near as the first.
create index findings_review on findings (scan_id, place) include (sample_id) where flagged or audit is not null;

-- What is left out of one dataset, without reading what is left out of the others.
alter table exclusions add column dataset_id uuid references datasets on delete cascade;
update exclusions e set dataset_id = s.dataset_id from samples s where s.id = e.sample_id;
delete from exclusions where dataset_id is null;
alter table exclusions alter column dataset_id set not null;
create index exclusions_dataset on exclusions (dataset_id, sample_id) where lifted_at is null;

-- Of what several people settle, the share that is kept out of training to measure by. Until now it was all of it,
-- and stays so under the policies that were set then.
alter table review_policies add column gold_share double precision not null default 1
    constraint review_policies_gold_share check (gold_share between 0 and 1);
alter table review_policies alter column gold_share drop default;

-- Settled by two people whom the policy asked, or by adjudication: what people are measured against, whether or
-- not the sample is kept out of training.
alter table verifications add column settled boolean not null default false;
update verifications set settled = true where state = 'gold';

-- What a scan found in each sample: one row a sample and kind of issue, in the order in which its kind is
-- walked through, with the facts that a person checks.
create table finding_issues (
    scan_id         uuid not null,
    sample_id       bigint not null,
    kind            text not null
                    constraint finding_issues_kind check (kind in ('label', 'near_duplicate_conflict', 'odd_field',
                        'near_duplicate', 'outlier', 'text_quality', 'missing_field', 'media')),
    -- 1 = worst of its kind in the scan
    rank            int not null,
    -- the fields that it is about
    fields          text[] not null default '{}',
    facts           jsonb not null,
    primary key (scan_id, kind, rank),
    foreign key (scan_id, sample_id) references findings on delete cascade
);
create index finding_issues_sample on finding_issues (scan_id, sample_id);
insert into finding_issues (scan_id, sample_id, kind, rank, facts)
    select scan_id, sample_id, 'label', rank, '{"kind": "label"}' from findings where flagged;

-- Groups of similar samples of a scan.
create table clusters (
    scan_id         uuid not null references scans on delete cascade,
    cluster         int not null,
    n               bigint not null,
    words           text[] not null,
    class           text not null,
    purity          real not null,
    -- samples with other labels than the main one, and these labels
    minority        bigint not null,
    labels          jsonb not null,
    underperforms   boolean not null,
    primary key (scan_id, cluster)
);
create index clusters_minority on clusters (scan_id, minority desc, cluster);
create index findings_cluster on findings (scan_id, cluster, rank);

-- Mean luma of the frames in [0, 1], found when they are encoded: a property that may give classes away.
alter table samples add column brightness real;

-- Probabilities of the user's own models, what reviews teach the ranking, and random audits.

-- One uploaded array: out-of-sample probabilities for every labelled sample of a snapshot, kept as a
-- columnar file in the snapshot's order.
create table predictions (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    snapshot_id     text not null,
    model           text not null,
    author          text not null,
    n_rows          bigint not null,
    n_classes       int not null,
    -- rows of the file that the snapshot has no label for
    n_left_out      bigint not null,
    blob            text not null,
    created_at      timestamptz not null default now(),
    seq             bigint generated always as identity,
    foreign key (dataset_id, snapshot_id) references snapshots
);
create index predictions_dataset on predictions (dataset_id, seq desc);

alter table jobs drop constraint jobs_kind;
alter table jobs add constraint jobs_kind check (kind in ('import', 'encode', 'scan', 'train', 'export', 'rule', 'rerank'));

-- Order of review. `place` is a permutation like `rank`, with an audit slipped in at every n-th place;
-- `audit` numbers the samples of the random draw. Both orders change when the ranking learns from
-- reviews, in one statement, so their indexes cannot be unique.
alter table findings add column place int, add column audit int;
update findings set place = rank;
alter table findings alter column place set not null;
drop index findings_rank;
create index findings_rank on findings (scan_id, rank);
create index findings_place on findings (scan_id, place);
create index findings_audit on findings (scan_id, audit) where audit is not null;

-- What the last refit of the meta-model gave, the reviews up to which it read, and every how many places
-- there is an audit (0: none).
alter table scans
    add column meta jsonb,
    add column meta_review bigint not null default 0,
    add column audit_every int not null default 0;

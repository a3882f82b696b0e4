-- Rules over samples: what was written, what each run of it hit and changed, and how a run is taken back.
-- A run is one job: its id is the job's. What it did can be undone whole: labels are retracted, exclusions
-- lifted, flags dropped with the run. Nothing that a person said is ever touched.

alter table jobs drop constraint jobs_kind;
alter table jobs add constraint jobs_kind
    check (kind in ('import', 'encode', 'scan', 'train', 'export', 'rule'));

-- Labels taken back. A label itself is never changed or deleted; one that is named here no longer counts.
-- No foreign key, as everywhere a row belongs to a sample (see 0002): the triggers keep the promise.
create table label_retractions (
    label_id        bigint primary key,
    author          text not null,
    reason          text not null default '',
    created_at      timestamptz not null default now()
);
create trigger label_retractions_append_only before update on label_retractions
    for each row execute function refuse_change();

-- The given and the current label of the touched samples, from the labels that still stand: the same
-- precedence as keep_current_label. The rows are locked before they are computed, so that a label that is
-- given at the same moment is either seen here or compared, by its own trigger, with what is written here.
create function retract_labels() returns trigger language plpgsql as $$
declare wrong boolean;
begin
    execute 'select exists (select from added a left join labels l on l.id = a.label_id where l.id is null)' into wrong;
    if wrong then
        raise exception 'a retraction names a label that is not there' using errcode = 'foreign_key_violation';
    end if;
    execute 'select from datasets where id in (select l.dataset_id from added a join labels l on l.id = a.label_id)
               order by id for key share';
    execute 'select from current_labels where sample_id in (select l.sample_id from added a join labels l on l.id = a.label_id)
               order by sample_id for update';
    execute $q$
        with touched as (
            select distinct l.sample_id from added a join labels l on l.id = a.label_id
        ), standing as (
            select l.* from touched t join labels l on l.sample_id = t.sample_id
            where not exists (select from label_retractions r where r.label_id = l.id)
        ), best as (
            select distinct on (sample_id) * from standing where source <> 'model'
            order by sample_id, label_precedence(source) desc, id desc
        ), given as (
            select distinct on (sample_id) sample_id, class from standing where source = 'import'
            order by sample_id, id desc
        )
        update current_labels c
        set given_class = g.class, class = b.class, label_id = b.id, source = b.source, author = b.author,
            decided_at = b.created_at
        from touched t left join best b on b.sample_id = t.sample_id left join given g on g.sample_id = t.sample_id
        where c.sample_id = t.sample_id
    $q$;
    return null;
end $$;
create trigger label_retractions_current after insert on label_retractions
    referencing new table as added for each statement execute function retract_labels();

create function drop_retractions() returns trigger language plpgsql as $$
begin
    execute 'delete from label_retractions r using gone g where r.label_id = g.id';
    return null;
end $$;
create trigger labels_retractions after delete on labels
    referencing old table as gone for each statement execute function drop_retractions();

create table rules (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    -- author of labels that the rule gives (rule:NAME), so it is never given to another rule
    name            text not null,
    -- as it was typed
    text            text not null,
    action          text not null
                    constraint rules_action check (action in ('flag', 'relabel', 'exclude')),
    class           text,
    author          text not null,
    created_at      timestamptz not null default now(),
    archived_at     timestamptz,
    constraint rules_name_key unique (dataset_id, name)
);

create table rule_runs (
    -- that of its job
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    rule_id         uuid not null references rules on delete cascade,
    -- what the rule said when the run was asked for
    text            text not null,
    action          text not null,
    class           text,
    -- whose scores the rule read; null: there was no scan
    scan_id         uuid references scans on delete set null,
    author          text not null,
    n_records       bigint not null default 0,
    n_hits          bigint not null default 0,
    n_changed       bigint not null default 0,
    -- hits that a relabel left alone because people had labelled them otherwise
    n_kept          bigint not null default 0,
    created_at      timestamptz not null default now(),
    applied_at      timestamptz,
    undone_at       timestamptz,
    undone_by       text
);
create index rule_runs_rule on rule_runs (rule_id, id desc);
create index rule_runs_dataset on rule_runs (dataset_id, id desc);

create table rule_hits (
    run_id          uuid not null references rule_runs on delete cascade,
    sample_id       bigint not null,
    class_before    text,
    changed         boolean not null,
    primary key (run_id, sample_id)
);
create index rule_hits_sample on rule_hits (sample_id);

-- Samples that are left out of snapshots, hence of scans, trainings and exports: those with a row here
-- that has not been lifted.
create table exclusions (
    sample_id       bigint not null,
    run_id          uuid not null references rule_runs on delete cascade,
    created_at      timestamptz not null default now(),
    lifted_at       timestamptz,
    primary key (sample_id, run_id)
);
create index exclusions_run on exclusions (run_id);
create index exclusions_standing on exclusions (sample_id) where lifted_at is null;

-- Names of the rules that flag a sample, and of those that exclude it, runs that were undone left out.
create function rules_flagging(sample bigint) returns text[] language sql stable as $$
    select coalesce(array_agg(distinct r.name order by r.name), '{}')
    from rule_hits h join rule_runs u on u.id = h.run_id join rules r on r.id = u.rule_id
    where h.sample_id = sample and u.action = 'flag' and u.applied_at is not null and u.undone_at is null
$$;
create function rules_excluding(sample bigint) returns text[] language sql stable as $$
    select coalesce(array_agg(distinct r.name order by r.name), '{}')
    from exclusions e join rule_runs u on u.id = e.run_id join rules r on r.id = u.rule_id
    where e.sample_id = sample and e.lifted_at is null
$$;

-- Who looks at which sample, when and why: the queue with its leases, the policy of second looks, batches,
-- decisions that were taken back, and what is verified.

-- A decision may also leave a sample out. `purpose` says what it was asked for, `policy` the version of the
-- policy at the time (0: none was set), `blind` that earlier decisions were hidden.
alter table reviews drop constraint reviews_decision;
alter table reviews add constraint reviews_decision
    check (decision in ('keep', 'relabel', 'unsure', 'ambiguous', 'out_of_taxonomy', 'bad_media', 'exclude'));
alter table reviews
    add column purpose text not null default 'first'
        constraint reviews_purpose check (purpose in ('first', 'second', 'adjudicate', 'gold')),
    add column policy int not null default 0,
    add column blind boolean not null default false,
    add column lease_id uuid;
create index reviews_author on reviews (dataset_id, author, id);

-- Decisions taken back. A review itself is never changed or deleted; one that is named here no longer counts.
create table review_retractions (
    review_id       bigint primary key references reviews on delete cascade,
    author          text not null,
    created_at      timestamptz not null default now()
);
create trigger review_retractions_append_only before update on review_retractions
    for each row execute function refuse_change();

-- The last word on a sample is that of its last review that stands. Answers to known samples say nothing
-- about the sample.
create or replace function keep_review_status() returns trigger language plpgsql as $$
begin
    if new.purpose = 'gold' then
        return null;
    end if;
    insert into review_status (sample_id, dataset_id, review_id, decision)
    values (new.sample_id, new.dataset_id, new.id, new.decision)
    on conflict (sample_id) do update set review_id = excluded.review_id, decision = excluded.decision
    where review_status.review_id < excluded.review_id;
    return null;
end $$;
create function retract_review() returns trigger language plpgsql as $$
declare
    sample bigint;
    standing reviews;
begin
    select sample_id into sample from reviews where id = new.review_id;
    select r.* into standing from reviews r
        where r.sample_id = sample and r.purpose <> 'gold'
          and not exists (select from review_retractions t where t.review_id = r.id)
        order by r.id desc limit 1;
    if standing.id is null then
        delete from review_status where sample_id = sample;
    else
        update review_status set review_id = standing.id, decision = standing.decision where sample_id = sample;
    end if;
    return null;
end $$;
create trigger review_retractions_status after insert on review_retractions
    for each row execute function retract_review();

-- A sample is left out by a run of a rule, by a person's decision, or by a bulk action.
alter table exclusions drop constraint exclusions_pkey;
alter table exclusions
    alter column run_id drop not null,
    add column review_id bigint references reviews on delete cascade,
    add column bulk_id uuid,
    add constraint exclusions_cause check (num_nonnulls(run_id, review_id, bulk_id) = 1);
drop index exclusions_run;
create unique index exclusions_run on exclusions (run_id, sample_id) where run_id is not null;
create unique index exclusions_review on exclusions (review_id) where review_id is not null;
create unique index exclusions_bulk on exclusions (bulk_id, sample_id) where bulk_id is not null;
create index exclusions_sample on exclusions (sample_id);

create or replace function drop_what_samples_own() returns trigger language plpgsql as $$
begin
    execute 'delete from exclusions e using gone g where e.sample_id = g.id';
    execute 'delete from findings f using gone g where f.sample_id = g.id';
    execute 'delete from current_labels c using gone g where c.sample_id = g.id';
    execute 'delete from labels l using gone g where l.sample_id = g.id';
    return null;
end $$;

-- Who looks twice at what. The highest version holds; earlier ones are kept because samples whose first
-- look came under one of them go on under it.
create table review_policies (
    dataset_id      uuid not null references datasets on delete cascade,
    version         int not null,
    double_check    text not null
                    constraint review_policies_double_check check (double_check in ('none', 'changes', 'keeps_share', 'all')),
    keeps_share     double precision not null default 0,
    blind           boolean not null,
    hide_model      boolean not null,
    gold_rate       double precision not null,
    seed            bigint not null,
    author          text not null,
    created_at      timestamptz not null default now(),
    primary key (dataset_id, version)
);
create trigger review_policies_append_only before update on review_policies
    for each row execute function refuse_change();

create table batches (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    name            text not null,
    -- who works through it; null: anybody
    owner           text,
    -- higher first; 0 is that of samples in no batch
    priority        smallint not null default 0,
    due_on          date,
    -- samples in it
    size            int not null,
    author          text not null,
    created_at      timestamptz not null default now(),
    closed_at       timestamptz,
    constraint batches_name_key unique (dataset_id, name)
);

-- Samples that wait for somebody. A row that is leased belongs to one tab of one person until `leased_until`.
create table queue_items (
    id              bigint generated always as identity primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    sample_id       bigint not null,
    purpose         text not null
                    constraint queue_items_purpose check (purpose in ('first', 'second', 'adjudicate', 'gold')),
    -- smaller first
    priority        double precision not null,
    batch_id        uuid references batches on delete set null,
    state           text not null default 'open' constraint queue_items_state check (state in ('open', 'done')),
    -- people who may not get it, the one who brought it about first
    not_by          text[] not null default '{}',
    -- people who passed it on for later
    skipped_by      text[] not null default '{}',
    -- the only person who gets it: samples of known class are slipped in one person at a time
    only_by         text,
    blind           boolean not null default false,
    -- the class that is shown as the sample's label and that "keep" confirms; null: the current one
    label           text,
    -- put in by the order of review, which takes it out again when it changes
    by_scan         boolean not null default false,
    lease_id        uuid,
    leased_by       text,
    holder          uuid,
    leased_until    timestamptz,
    created_at      timestamptz not null default now(),
    done_at         timestamptz,
    -- what decides who may get it, so that a draw looks only at the heads of the lanes it may take from
    lane            text collate "C" not null generated always as (purpose || e'\x1f' || coalesce(batch_id::text, '')
                      || e'\x1f' || coalesce(only_by, not_by[1], '')) stored
) with (fillfactor = 70);
-- one sample waits once
create unique index queue_items_open on queue_items (sample_id) where state = 'open' and purpose <> 'gold';
create unique index queue_items_gold on queue_items (sample_id, only_by) where state = 'open' and purpose = 'gold';
create index queue_items_lane on queue_items (dataset_id, lane, priority, id) where state = 'open';
create index queue_items_held on queue_items (leased_by, dataset_id) where state = 'open' and lease_id is not null;
create unique index queue_items_lease on queue_items (lease_id) where lease_id is not null;
create index queue_items_sample on queue_items (sample_id, id);
create index queue_items_batch on queue_items (batch_id, state) where batch_id is not null;

-- Every lease that was given, for decisions that come when it is over.
create table queue_leases (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    sample_id       bigint not null,
    purpose         text not null,
    blind           boolean not null,
    label           text,
    batch_id        uuid,
    leased_by       text not null,
    holder          uuid not null,
    created_at      timestamptz not null default now()
);
create index queue_leases_dataset on queue_leases (dataset_id, created_at);

-- How far into a scan's order of review the queue has been filled.
create table queue_sources (
    dataset_id      uuid primary key references datasets on delete cascade,
    scan_id         uuid references scans on delete cascade,
    after_place     int not null default 0,
    -- samples of the order that are not in the queue yet; decided ones among them are still counted
    left_over       bigint not null default 0
);
create index queue_sources_scan on queue_sources (scan_id);

-- What the looks at a sample come to: it waits for a second look or for adjudication, or its label is
-- verified; gold: by two people or by adjudication, and kept out of training.
create table verifications (
    sample_id       bigint primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    state           text not null
                    constraint verifications_state check (state in ('second', 'adjudicate', 'verified', 'gold')),
    -- the class that is verified
    class           text,
    -- people whose decision it rests on
    people          int not null,
    -- the label that their agreement gave
    label_id        bigint,
    updated_at      timestamptz not null default now()
);
create index verifications_state on verifications (dataset_id, state, sample_id);
insert into verifications (sample_id, dataset_id, state, class, people, updated_at)
    select s.sample_id, s.dataset_id, 'verified', case r.decision when 'keep' then r.class_before else r.classes[1] end,
      1, r.created_at
    from review_status s join reviews r on r.id = s.review_id where r.decision in ('keep', 'relabel');

create table comments (
    id              bigint generated always as identity primary key,
    client_id       uuid not null constraint comments_client_id_key unique,
    dataset_id      uuid not null references datasets on delete cascade,
    sample_id       bigint not null,
    author          text not null,
    text            text not null,
    created_at      timestamptz not null default now()
);
create index comments_sample on comments (sample_id, id);
create index comments_dataset on comments (dataset_id);

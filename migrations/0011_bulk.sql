-- Decisions on many samples at once, sets of samples with an address, and maps of the embeddings.

alter table jobs drop constraint jobs_kind;
alter table jobs add constraint jobs_kind
    check (kind in ('import', 'encode', 'scan', 'train', 'export', 'rule', 'rerank', 'bulk', 'map'));

-- Samples that somebody picked, for instance by drawing round them on a map. Never changed after it was made.
create table selections (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    author          text not null,
    n_samples       bigint not null,
    created_at      timestamptz not null default now()
);
create index selections_dataset on selections (dataset_id, created_at desc);
create table selection_samples (
    selection_id    uuid not null references selections on delete cascade,
    sample_id       bigint not null,
    primary key (selection_id, sample_id)
);

-- One decision on many samples: it goes in whole, in one transaction, and is undone whole. Its labels carry
-- its id as their job_id.
create table bulk_actions (
    -- that of its job, where it has one
    id              uuid primary key,
    -- names it, negated, in review_status: any review is later
    seq             bigint generated always as identity,
    -- made by the client, so that a repeated send changes nothing
    client_id       uuid not null constraint bulk_actions_client_id_key unique,
    dataset_id      uuid not null references datasets on delete cascade,
    author          text not null,
    action          text not null
                    constraint bulk_actions_action check (action in ('keep', 'relabel', 'exclude')),
    class           text,
    -- which samples were asked for, and those of them that were left out
    filter          jsonb not null,
    n_samples       bigint not null default 0,
    n_changed       bigint not null default 0,
    created_at      timestamptz not null default now(),
    applied_at      timestamptz,
    undone_at       timestamptz,
    undone_by       text
);
create index bulk_actions_dataset on bulk_actions (dataset_id, seq desc);

create table bulk_action_samples (
    bulk_id         uuid not null references bulk_actions on delete cascade,
    -- no foreign key, as everywhere a row belongs to a sample (see 0002)
    sample_id       bigint not null,
    class_before    text,
    -- another label than before, a person's word for one that had none, or newly excluded
    changed         boolean not null,
    -- decided on: false where there is no label to keep, and where several people settled it
    stated          boolean not null,
    -- what waited for a first look and was taken out of the queue
    queue_item      bigint,
    primary key (bulk_id, sample_id)
);
create index bulk_action_samples_sample on bulk_action_samples (sample_id);

-- What was said of a sample last, of what stands: a review, or an action (its seq, negated).
create function last_said(sample bigint) returns table (said_by bigint, decision text) language sql stable as $$
    select x.said_by, x.decision from (
        select r.id as said_by, r.decision, r.created_at as at
        from reviews r
        where r.sample_id = sample and r.purpose <> 'gold'
          and not exists (select from review_retractions t where t.review_id = r.id)
        union all
        select -a.seq, a.action, a.applied_at
        from bulk_action_samples b join bulk_actions a on a.id = b.bulk_id
        where b.sample_id = sample and a.applied_at is not null and a.undone_at is null and a.action <> 'exclude'
          and b.stated
    ) x order by x.at desc, x.said_by desc limit 1
$$;

create or replace function retract_review() returns trigger language plpgsql as $$
begin
    -- something that was said later stays
    update review_status s set review_id = l.said_by, decision = l.decision
        from reviews v cross join lateral last_said(v.sample_id) l
        where v.id = new.review_id and s.sample_id = v.sample_id and s.review_id = v.id;
    delete from review_status s where s.review_id = new.review_id;
    return null;
end $$;
-- asked for by the review that is taken back
create index review_status_review on review_status (review_id);

alter table exclusions
    add constraint exclusions_bulk_id_fkey foreign key (bulk_id) references bulk_actions on delete cascade;

-- Two dimensions of the embeddings of a dataset; the points are one file.
create table maps (
    -- that of its job
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    method          text not null
                    constraint maps_method check (method in ('umap', 'pca')),
    n_samples       bigint not null,
    blob            text not null,
    -- what went in and how well it came out
    facts           jsonb not null,
    created_at      timestamptz not null default now()
);
create index maps_dataset on maps (dataset_id, created_at desc);

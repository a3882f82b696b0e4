-- Labelling guides: what a class is, where it ends, and what was ruled on. Nothing is changed or deleted:
-- an edit is a new version, a revert too.

create table guides (
    dataset_id      uuid not null references datasets on delete cascade,
    -- a node of the taxonomy; '' is the guide of the whole dataset
    class           text not null default '',
    version         int not null,
    -- both Markdown: what it is, and where it ends
    markdown        text not null,
    boundary        text not null,
    author          text not null,
    reason          text not null default '',
    created_at      timestamptz not null default now(),
    primary key (dataset_id, class, version)
);
create trigger guides_append_only before update on guides
    for each row execute function refuse_change();

-- Rulings: how doubtful cases were settled, with the samples that they were about.
create table guide_decisions (
    id              bigint generated always as identity primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    class           text not null default '',
    -- Markdown
    text            text not null,
    author          text not null,
    created_at      timestamptz not null default now()
);
create index guide_decisions_class on guide_decisions (dataset_id, class, id desc);
create trigger guide_decisions_append_only before update on guide_decisions
    for each row execute function refuse_change();

create table guide_decision_samples (
    decision_id     bigint not null references guide_decisions on delete cascade,
    sample_id       bigint not null references samples on delete cascade,
    primary key (decision_id, sample_id)
);
create index guide_decision_samples_sample on guide_decision_samples (sample_id);

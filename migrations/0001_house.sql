-- The house: datasets, taxonomies, samples, labels, reviews, snapshots, scans, findings, trainings, jobs.
-- Core Postgres only (no extensions), so that the embedded server and managed ones both serve.
-- Times are UTC (timestamptz). Landed migrations are never edited: add another.

create table datasets (
    id              uuid primary key default gen_random_uuid(),
    name            text not null constraint datasets_name_key unique
                    constraint datasets_name_format check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    taxonomy_hash   text not null,
    created_at      timestamptz not null default now()
);

-- One row a node, kept in input order; leaves carry class_index, the column of every probability matrix.
create table taxonomy_nodes (
    dataset_id      uuid not null references datasets on delete cascade,
    position        int not null,
    node            text not null,
    names           jsonb not null default '{}',
    parent          text,
    level           int not null,
    root            text not null,
    class_index     int,
    primary key (dataset_id, node),
    unique (dataset_id, position)
);

create table samples (
    id              bigint generated always as identity primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    external_id     text not null,
    title           text not null default '',
    asr             text not null default '',
    ocr             jsonb not null default '[]',
    split           text not null default 'train'
                    constraint samples_split check (split in ('train', 'validation', 'test', 'unlabelled')),
    media_state     text not null default 'none'
                    constraint samples_media_state check (media_state in ('none', 'ready', 'features', 'bad')),
    -- code of the reason when media_state = 'bad'
    media_error     text,
    media_path      text,
    media_blob      text,
    media_type      text,
    poster_blob     text,
    strip_blob      text,
    duration_ms     int,
    width           int,
    height          int,
    fps             real,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    constraint samples_external_id_key unique (dataset_id, external_id)
);
create index samples_dataset on samples (dataset_id, id);
create index samples_to_inspect on samples (dataset_id, id) where media_blob is not null and media_state = 'none';

-- Assertions "this sample is class c". Append-only. The sample ties the row to its dataset; a second
-- foreign key would be checked for every row of an import.
create table labels (
    id              bigint generated always as identity primary key,
    dataset_id      uuid not null,
    sample_id       bigint not null references samples on delete cascade,
    class           text not null,
    source          text not null
                    constraint labels_source check (source in ('import', 'rule', 'annotator', 'consensus', 'adjudicated', 'model')),
    author          text not null,
    job_id          uuid,
    created_at      timestamptz not null default now()
);
create index labels_sample on labels (sample_id, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger labels_append_only before update on labels
    for each row execute function refuse_change();

-- Same numbers as domain::LabelSource::precedence; a test holds the two together.
create function label_precedence(source text) returns smallint language sql immutable as $$
    select case source
        when 'adjudicated' then 5 when 'consensus' then 4 when 'annotator' then 3
        when 'rule' then 2 when 'import' then 1 else 0 end::smallint
$$;

-- The given label (latest import) and the current label (latest of the highest precedence) of each
-- sample, kept by the trigger below so that pages over a million samples need no sort of the history.
-- No foreign key: its rows come only from labels, which has one, and a check a row slows imports.
create table current_labels (
    sample_id       bigint primary key,
    dataset_id      uuid not null,
    given_class     text,
    class           text,
    label_id        bigint,
    source          text,
    author          text,
    decided_at      timestamptz
);
create index current_labels_class on current_labels (dataset_id, class);
create index current_labels_given on current_labels (dataset_id, given_class);

create function keep_current_label() returns trigger language plpgsql as $$
begin
    insert into current_labels (sample_id, dataset_id, given_class, class, label_id, source, author, decided_at)
    select b.sample_id, b.dataset_id, g.class, b.class, b.id, b.source, b.author, b.created_at
    from (
        select distinct on (sample_id) * from added where source <> 'model'
        order by sample_id, label_precedence(source) desc, id desc
    ) b left join (
        select distinct on (sample_id) sample_id, class from added where source = 'import'
        order by sample_id, id desc
    ) g on g.sample_id = b.sample_id
    order by b.sample_id
    on conflict (sample_id) do update set
        given_class = coalesce(excluded.given_class, current_labels.given_class),
        class      = case when label_precedence(excluded.source) >= label_precedence(current_labels.source) then excluded.class      else current_labels.class end,
        label_id   = case when label_precedence(excluded.source) >= label_precedence(current_labels.source) then excluded.label_id   else current_labels.label_id end,
        author     = case when label_precedence(excluded.source) >= label_precedence(current_labels.source) then excluded.author     else current_labels.author end,
        decided_at = case when label_precedence(excluded.source) >= label_precedence(current_labels.source) then excluded.decided_at else current_labels.decided_at end,
        source     = case when label_precedence(excluded.source) >= label_precedence(current_labels.source) then excluded.source     else current_labels.source end;
    return null;
end $$;
create trigger labels_current after insert on labels
    referencing new table as added for each statement execute function keep_current_label();

create function drop_current_label() returns trigger language plpgsql as $$
begin
    delete from current_labels c using gone g where c.sample_id = g.id;
    return null;
end $$;
create trigger samples_current_label after delete on samples
    referencing old table as gone for each statement execute function drop_current_label();

create table jobs (
    id              uuid primary key,
    kind            text not null
                    constraint jobs_kind check (kind in ('import', 'encode', 'scan', 'train', 'export')),
    dataset_id      uuid references datasets on delete cascade,
    args            jsonb not null,
    state           text not null default 'queued'
                    constraint jobs_state check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    -- how often a worker took it up; the third crash fails it for good
    starts          int not null default 0,
    stage           text not null default '',
    done            bigint not null default 0,
    total           bigint,
    cancel_requested boolean not null default false,
    -- what a restart goes on from
    checkpoint      jsonb,
    result          jsonb,
    error           text,
    created_at      timestamptz not null default now(),
    started_at      timestamptz,
    finished_at     timestamptz
);
create index jobs_recent on jobs (created_at desc, id desc);
create index jobs_dataset on jobs (dataset_id, created_at desc);

create table job_log (
    id              bigint generated always as identity primary key,
    job_id          uuid not null references jobs on delete cascade,
    at              timestamptz not null default now(),
    level           text not null,
    message         text not null
);
create index job_log_job on job_log (job_id, id);

-- Rows that an import refused, in file order; the whole list is downloadable.
create table import_errors (
    job_id          uuid not null references jobs on delete cascade,
    seq             int not null,
    file            text not null,
    line            bigint not null,
    field           text,
    code            text not null,
    message         text not null,
    primary key (job_id, seq)
);

-- Columnar files of vectors in the blob store; Postgres holds the pointers.
create table embedding_files (
    id              bigint generated always as identity primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    field           text not null
                    constraint embedding_files_field check (field in ('frames', 'title', 'asr', 'ocr')),
    encoder         text not null,
    dimension       int not null,
    n_rows          int not null,
    blob            text not null,
    job_id          uuid,
    created_at      timestamptz not null default now()
);
create index embedding_files_dataset on embedding_files (dataset_id, field, id);

-- State of a fitted text encoder (document frequencies), one current version a dataset and field.
create table fitted_encoders (
    dataset_id      uuid not null references datasets on delete cascade,
    field           text not null,
    version         text not null,
    n_texts         bigint not null,
    blob            text not null,
    created_at      timestamptz not null default now(),
    primary key (dataset_id, field)
);

create table snapshots (
    dataset_id      uuid not null references datasets on delete cascade,
    id              text not null,
    parent          text,
    author          text not null,
    reason          text not null default '',
    n_labelled      bigint not null,
    -- samples whose label differs from the parent's
    n_changed       bigint not null,
    blob            text not null,
    created_at      timestamptz not null default now(),
    seq             bigint generated always as identity,
    primary key (dataset_id, id)
);

create table scans (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    snapshot_id     text not null,
    job_id          uuid,
    n_samples       bigint not null,
    n_flagged       bigint not null,
    -- noise report, encoders, parameters
    summary         jsonb not null,
    -- all scores, one row a sample, Parquet
    scores_blob     text not null,
    created_at      timestamptz not null default now(),
    seq             bigint generated always as identity,
    foreign key (dataset_id, snapshot_id) references snapshots
);
create index scans_dataset on scans (dataset_id, seq desc);

create table findings (
    scan_id         uuid not null references scans on delete cascade,
    sample_id       bigint not null references samples on delete cascade,
    rank            int not null,
    suspicion       real not null,
    flagged         boolean not null,
    given_class     text not null,
    suggested_class text not null,
    suggested_p     real not null,
    self_confidence real not null,
    normalized_margin real not null,
    detectors       text[] not null,
    reason          jsonb not null,
    neighbours      jsonb not null,
    cluster         int not null,
    primary key (scan_id, sample_id)
);
create unique index findings_rank on findings (scan_id, rank);
create index findings_given on findings (scan_id, given_class, rank);
create index findings_suggested on findings (scan_id, suggested_class, rank);

create table reviews (
    id              bigint generated always as identity primary key,
    -- made by the client, so that a repeated send changes nothing
    client_id       uuid not null constraint reviews_client_id_key unique,
    dataset_id      uuid not null references datasets on delete cascade,
    sample_id       bigint not null references samples on delete cascade,
    scan_id         uuid references scans on delete set null,
    author          text not null,
    decision        text not null
                    constraint reviews_decision check (decision in ('keep', 'relabel', 'unsure', 'ambiguous', 'out_of_taxonomy', 'bad_media')),
    classes         text[] not null default '{}',
    -- current label at the time of the decision
    class_before    text,
    comment         text not null default '',
    time_spent_ms   int,
    label_id        bigint references labels,
    created_at      timestamptz not null default now()
);
create index reviews_sample on reviews (sample_id, id);
create index reviews_dataset on reviews (dataset_id, id);
create trigger reviews_append_only before update on reviews
    for each row when (old.scan_id is not distinct from new.scan_id) execute function refuse_change();

-- Last review of each sample, kept for the status filter of long lists.
create table review_status (
    sample_id       bigint primary key references samples on delete cascade,
    dataset_id      uuid not null references datasets on delete cascade,
    review_id       bigint not null,
    decision        text not null
);
create index review_status_dataset on review_status (dataset_id, decision);
create function keep_review_status() returns trigger language plpgsql as $$
begin
    insert into review_status (sample_id, dataset_id, review_id, decision)
    values (new.sample_id, new.dataset_id, new.id, new.decision)
    on conflict (sample_id) do update set review_id = excluded.review_id, decision = excluded.decision
    where review_status.review_id < excluded.review_id;
    return null;
end $$;
create trigger reviews_status after insert on reviews
    for each row execute function keep_review_status();

create table trainings (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    snapshot_id     text not null,
    job_id          uuid,
    recipe          jsonb not null,
    metrics         jsonb not null,
    onnx_blob       text not null,
    -- the training it is compared with
    previous_id     uuid references trainings on delete set null,
    created_at      timestamptz not null default now(),
    seq             bigint generated always as identity,
    foreign key (dataset_id, snapshot_id) references snapshots
);
create index trainings_dataset on trainings (dataset_id, seq desc);

create table exports (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    snapshot_id     text not null,
    job_id          uuid,
    format          text not null,
    manifest        jsonb not null,
    blob            text not null,
    created_at      timestamptz not null default now(),
    foreign key (dataset_id, snapshot_id) references snapshots
);
create index exports_dataset on exports (dataset_id, created_at desc);

-- Answers to POSTs that carried an Idempotency-Key: the same key and body get the same answer.
create table idempotency_keys (
    key             text not null,
    route           text not null,
    request_hash    text not null,
    -- null while the first request is still being answered
    status          smallint,
    body            jsonb,
    created_at      timestamptz not null default now(),
    primary key (key, route)
);

-- What each training was tried for, what it brought, and what it cost; and on which samples it was measured.

-- JSON list of the ids of the samples it was measured on; null: of an older version
alter table trainings add column held_out_blob text;

create table ledger (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    training_id     uuid references trainings on delete cascade,
    -- what is new against the training before: nothing before it, labels, recipe, both, nothing;
    -- elsewhere: an experiment that was run outside and written down
    step            text not null
                    constraint ledger_step check (step in ('first', 'labels', 'recipe', 'both', 'repeat', 'elsewhere')),
    -- [{key, from, to}]: what is new in the recipe
    changes         jsonb not null constraint ledger_changes_array check (jsonb_typeof(changes) = 'array'),
    hypothesis      text not null,
    expected_gain   double precision,
    -- mean F1 over the training before, on the same samples and labels, with a 95 % interval
    measured_gain   double precision,
    gain_low        double precision,
    gain_high       double precision,
    -- what the interval is over, and how many of them
    gain_over       text constraint ledger_gain_over check (gain_over in ('samples', 'seeds')),
    n_over          bigint,
    -- reviews since the training before, and labels that they changed
    reviews         bigint not null,
    corrections     bigint not null,
    human_ms        bigint not null,
    machine_seconds double precision not null,
    -- reviews up to here are in
    until           timestamptz not null,
    author          text not null,
    created_at      timestamptz not null default now(),
    seq             bigint generated always as identity,
    constraint ledger_measured check ((measured_gain is null) = (gain_over is null))
);
create index ledger_dataset on ledger (dataset_id, seq desc);

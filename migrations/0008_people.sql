-- Accounts, teams, sessions, tokens. Secrets are kept as SHA-256 (they are random and long) or, for
-- passwords, as argon2id; nothing here lets anybody in who can only read it.

create table accounts (
    id              uuid primary key,
    -- what labels and reviews carry as their author; never given to another person
    name            text not null constraint accounts_name_format check (name ~ '^[^[:cntrl:][:space:]]([^[:cntrl:]]{0,98}[^[:cntrl:][:space:]])?$'),
    -- PHC string; null: cannot sign in
    password_hash   text,
    admin           boolean not null default false,
    disabled_at     timestamptz,
    created_at      timestamptz not null default now()
);
create unique index accounts_name_key on accounts (lower(name));

create table members (
    dataset_id      uuid not null references datasets on delete cascade,
    account_id      uuid not null references accounts on delete cascade,
    role            text not null constraint members_role check (role in ('annotator', 'reviewer', 'lead')),
    created_at      timestamptz not null default now(),
    primary key (dataset_id, account_id)
);
create index members_account on members (account_id);

create table sessions (
    token_hash      bytea primary key,
    account_id      uuid not null references accounts on delete cascade,
    created_at      timestamptz not null default now(),
    seen_at         timestamptz not null default now(),
    expires_at      timestamptz not null
);
create index sessions_account on sessions (account_id);
create index sessions_expiry on sessions (expires_at);

create table api_tokens (
    id              uuid primary key,
    account_id      uuid not null references accounts on delete cascade,
    name            text not null,
    token_hash      bytea not null constraint api_tokens_hash_key unique,
    scopes          text[] not null,
    created_at      timestamptz not null default now(),
    expires_at      timestamptz not null,
    used_at         timestamptz,
    revoked_at      timestamptz
);
create index api_tokens_account on api_tokens (account_id, created_at desc);

-- Failed sign-ins by account name and by network address: each failure doubles the wait.
create table sign_in_failures (
    key             text primary key,
    failures        int not null,
    last_at         timestamptz not null
);

-- The code that makes the first admin; one row at most, gone with the first account.
create table setup_code (
    sole            boolean primary key default true check (sole),
    code_hash       bytea not null,
    created_at      timestamptz not null default now()
);

-- Who changed what in accounts, teams and policies. Append-only.
create table audit_events (
    id              bigint generated always as identity primary key,
    at              timestamptz not null default now(),
    actor           text not null,
    action          text not null,
    dataset_id      uuid,
    facts           jsonb not null default '{}'
);
create index audit_events_dataset on audit_events (dataset_id, id desc);
create trigger audit_events_append_only before update on audit_events
    for each row execute function refuse_change();

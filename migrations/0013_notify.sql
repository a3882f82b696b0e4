-- Telling others: webhooks with their deliveries, and people who sign in by an OpenID provider.

-- Addresses that are told what happens in a dataset. A row is never deleted while its dataset lives, so that
-- the log of deliveries stays; a removed one is sent nothing.
create table webhooks (
    id              uuid primary key,
    dataset_id      uuid not null references datasets on delete cascade,
    url             text not null,
    -- signs what is sent; whoever reads it can pretend to be this service to the receiver, no more
    secret          text not null,
    events          text[] not null
                    constraint webhooks_events check (events <@ array['job.ended', 'snapshot.created', 'review.recorded'] and events <> '{}'),
    author          text not null,
    created_at      timestamptz not null default now(),
    removed_at      timestamptz
);
create index webhooks_dataset on webhooks (dataset_id) where removed_at is null;

create table webhook_deliveries (
    id              bigint generated always as identity primary key,
    webhook_id      uuid not null references webhooks on delete cascade,
    event           text not null,
    payload         jsonb not null,
    created_at      timestamptz not null default now(),
    attempts        int not null default 0,
    -- when it is tried (again); null once it has ended
    next_at         timestamptz default now(),
    last_at         timestamptz,
    -- HTTP status of the last answer, or why there was none
    status          int,
    error           text,
    delivered_at    timestamptz
);
create index webhook_deliveries_due on webhook_deliveries (next_at) where next_at is not null;
create index webhook_deliveries_webhook on webhook_deliveries (webhook_id, id desc);

-- Deliveries are written with what they tell of, in one transaction: nothing that happened goes untold,
-- nothing is told that did not happen.
create function tell_webhooks(dataset uuid, event text, facts jsonb) returns void language sql as $$
    insert into webhook_deliveries (webhook_id, event, payload)
    select w.id, tell_webhooks.event,
        jsonb_build_object('event', tell_webhooks.event, 'at', now(), 'dataset_id', d.id, 'dataset', d.name, 'data', facts)
    from webhooks w join datasets d on d.id = w.dataset_id
    where w.dataset_id = tell_webhooks.dataset and w.removed_at is null and tell_webhooks.event = any (w.events)
$$;

create function tell_of_job() returns trigger language plpgsql as $$
begin
    perform tell_webhooks(new.dataset_id, 'job.ended', jsonb_build_object(
        'id', new.id, 'kind', new.kind, 'state', new.state, 'error', new.error, 'result', new.result,
        'created_at', new.created_at, 'finished_at', new.finished_at));
    return null;
end $$;
create trigger jobs_webhooks after update of state on jobs
    for each row when (new.dataset_id is not null and old.state is distinct from new.state
        and new.state in ('succeeded', 'failed', 'cancelled'))
    execute function tell_of_job();

create function tell_of_snapshot() returns trigger language plpgsql as $$
begin
    perform tell_webhooks(new.dataset_id, 'snapshot.created', jsonb_build_object(
        'id', new.id, 'parent', new.parent, 'author', new.author, 'reason', new.reason,
        'n_labelled', new.n_labelled, 'n_changed', new.n_changed));
    return null;
end $$;
create trigger snapshots_webhooks after insert on snapshots for each row execute function tell_of_snapshot();

create function tell_of_review() returns trigger language plpgsql as $$
begin
    -- the lookup is cheap; the sample's name is only read for somebody who listens
    if exists (select from webhooks where dataset_id = new.dataset_id and removed_at is null
               and 'review.recorded' = any (events)) then
        perform tell_webhooks(new.dataset_id, 'review.recorded', jsonb_build_object(
            'id', new.id, 'client_id', new.client_id, 'author', new.author, 'decision', new.decision,
            'classes', new.classes, 'class_before', new.class_before, 'created_at', new.created_at,
            'sample', (select external_id from samples where id = new.sample_id)));
    end if;
    return null;
end $$;
create trigger reviews_webhooks after insert on reviews for each row execute function tell_of_review();

-- Who a person is at an OpenID provider. Accounts are found by this alone, never by a name or an e-mail
-- address that the provider tells.
create table identities (
    issuer          text not null,
    subject         text not null,
    account_id      uuid not null references accounts on delete cascade,
    created_at      timestamptz not null default now(),
    primary key (issuer, subject)
);
create index identities_account on identities (account_id);

-- Sign-ins that are at the provider just now; each is good once, for ten minutes, in one browser.
create table sign_in_attempts (
    state_hash      bytea primary key,
    nonce           text not null,
    pkce_verifier   text not null,
    next            text not null,
    -- whoever is signed in already and adds this way to sign in
    account_id      uuid references accounts on delete cascade,
    created_at      timestamptz not null default now()
);

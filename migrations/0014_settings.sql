-- What a person has chosen about the pages, so that another browser has it too. Without an account: of
-- whoever sits at the machine.
create table settings (
    account_id      uuid references accounts on delete cascade,
    -- action -> key; what is not in it is as it came
    keys            jsonb not null constraint settings_keys_object check (jsonb_typeof(keys) = 'object'),
    updated_at      timestamptz not null default now()
);
create unique index settings_person on settings (coalesce(account_id, '00000000-0000-0000-0000-000000000000'));

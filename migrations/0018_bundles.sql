-- Trainings as one file from pictures and text to probabilities, and what a training costs the processors.

-- {bytes, compared, same_argmax, max_difference}: the bundle's size, and how it compares with the stored embeddings'
-- answers; null: not made
alter table trainings add column bundle jsonb;

-- Seconds that processors worked on it; null: written down elsewhere, or by an older version
alter table ledger add column cpu_seconds double precision;

alter table jobs drop constraint jobs_kind;
alter table jobs add constraint jobs_kind
    check (kind in ('import', 'encode', 'scan', 'train', 'export', 'rule', 'rerank', 'bulk', 'map', 'ablate', 'bundle'));

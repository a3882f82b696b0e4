-- Trainings of several models, their epochs, and recipes whose switches are tried one by one.

-- [{blob, weight, recipe}]: the ONNX files whose probabilities are averaged, by weights that sum to 1
alter table trainings add column models jsonb;
update trainings set models = jsonb_build_array(jsonb_build_object('blob', onnx_blob, 'weight', 1.0, 'recipe', recipe));
alter table trainings alter column models set not null;
alter table trainings add constraint trainings_models
    check (jsonb_typeof(models) = 'array' and jsonb_array_length(models) > 0);
alter table trainings drop column onnx_blob;

-- JSON of what its answers on held-out samples say; null: of an older version
alter table trainings add column report_blob text;

-- An epoch of one of a job's networks
create table training_curves (
    id              bigint generated always as identity,
    job_id          uuid not null references jobs on delete cascade,
    -- the job's networks from 0
    model           int not null,
    name            text not null,
    epoch           int not null,
    -- loss, learning rate, scores on validation, seconds
    curve           jsonb not null,
    primary key (job_id, model, epoch)
);

-- Reviews that nobody took back; a correction is one that changed a label, which an answer on a sample whose label was
-- known does not
create view standing_reviews as
    select id, dataset_id, sample_id, class_before, classes, time_spent_ms, created_at,
        purpose <> 'gold' and decision = 'relabel' and classes[1] is distinct from class_before as corrects
    from reviews r
    where not exists (select from review_retractions t where t.review_id = r.id);

alter table ledger drop constraint ledger_step;
alter table ledger add constraint ledger_step
    check (step in ('first', 'labels', 'recipe', 'both', 'repeat', 'elsewhere', 'ablation'));

alter table jobs drop constraint jobs_kind;
alter table jobs add constraint jobs_kind
    check (kind in ('import', 'encode', 'scan', 'train', 'export', 'rule', 'rerank', 'bulk', 'map', 'ablate'));

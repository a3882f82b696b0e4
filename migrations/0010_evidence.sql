-- What a person sees of a finding beside its reason; null in scans from before.

-- The likeliest classes, likeliest first, at most nine, the given one among them: [{"class", "p"}].
-- What each field says on its own: {"frames": {"class", "p"}, ...}; a missing field has no vote.
alter table findings
    add column candidates jsonb,
    add column field_votes jsonb;

-- Counts the changes of a taxonomy's names (its classes never change), so that a process may keep it in memory.
alter table datasets add column taxonomy_version bigint not null default 0;

-- Good examples of a class: labels that people have confirmed, newest first. Imports do not pay for it.
create index current_labels_people on current_labels (dataset_id, class, decided_at desc)
    where source in ('annotator', 'consensus', 'adjudicated');

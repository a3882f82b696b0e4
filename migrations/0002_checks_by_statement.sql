-- Referential checks of the three big tables, once a statement instead of once a row.
--
-- A foreign key runs one query for every row: a third of the time of an import of 100,000 rows, and on
-- deletion one scan of findings for every sample. The triggers below keep the promises with one join a
-- statement: a row of labels or findings has a sample, and one of the same dataset; what a deleted row
-- owned goes with it. The dataset row is locked against deletion as a foreign key would lock it; samples
-- are deleted only with their dataset. Samples come in by one statement (store/imports.rs), which locks
-- its dataset row itself: a trigger with a transition table would keep a second copy of all the texts.
--
-- The statements of these functions are executed as text, so that they are planned for the rows at hand:
-- plpgsql would keep the plan that it made for a single row, a nested loop, and run it on 100,000.

alter table samples drop constraint samples_dataset_id_fkey;
alter table labels drop constraint labels_sample_id_fkey;
alter table findings drop constraint findings_sample_id_fkey;

create function labels_have_sample() returns trigger language plpgsql as $$
declare wrong boolean;
begin
    execute 'select from datasets where id in (select dataset_id from added) order by id for key share';
    execute 'select exists (select from added a left join samples s on s.id = a.sample_id
               where s.dataset_id is distinct from a.dataset_id)' into wrong;
    if wrong then
        raise exception 'a label names a sample that its dataset does not have' using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger labels_sample after insert on labels
    referencing new table as added for each statement execute function labels_have_sample();

create function findings_have_sample() returns trigger language plpgsql as $$
declare wrong boolean;
begin
    execute 'select exists (select from added a join scans n on n.id = a.scan_id
               left join samples s on s.id = a.sample_id
               where s.dataset_id is distinct from n.dataset_id)' into wrong;
    if wrong then
        raise exception 'a finding names a sample that its dataset does not have' using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger findings_sample after insert on findings
    referencing new table as added for each statement execute function findings_have_sample();

drop trigger samples_current_label on samples;
drop function drop_current_label();
create function drop_what_samples_own() returns trigger language plpgsql as $$
begin
    execute 'delete from findings f using gone g where f.sample_id = g.id';
    execute 'delete from current_labels c using gone g where c.sample_id = g.id';
    execute 'delete from labels l using gone g where l.sample_id = g.id';
    return null;
end $$;
create trigger samples_owned after delete on samples
    referencing old table as gone for each statement execute function drop_what_samples_own();

create function drop_what_datasets_own() returns trigger language plpgsql as $$
begin
    execute 'delete from samples s using gone g where s.dataset_id = g.id';
    return null;
end $$;
create trigger datasets_owned after delete on datasets
    referencing old table as gone for each statement execute function drop_what_datasets_own();

-- a label that goes asks for the reviews that made it
create index reviews_label on reviews (label_id) where label_id is not null;

-- One index answers for both: counts by given class are read for a whole dataset.
drop index current_labels_given;
drop index current_labels_class;
create index current_labels_class on current_labels (dataset_id, class, given_class);

create or replace function keep_current_label() returns trigger language plpgsql as $$
begin
    execute $q$
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
            source     = case when label_precedence(excluded.source) >= label_precedence(current_labels.source) then excluded.source     else current_labels.source end
    $q$;
    return null;
end $$;

-- What somebody may not know who may still be asked to look at a sample, and decisions that fell when a snapshot was
-- gone back to.

-- This person may be asked to look at the sample without knowing what others decided: it is neither verified nor
-- decided otherwise, and the policy in force, or that of somebody else's decision on it, has blind second looks.
create function blind_to(sample bigint, person text) returns boolean language sql stable as $$
    select coalesce(v.state, '') not in ('verified', 'gold')
        -- what people agree is of no class, and what was decided in bulk, is asked about no more
        and (v.state is not null or r.decision is null or r.decision = 'unsure'
            or exists (select from queue_items q where q.sample_id = s.id and q.state = 'open' and q.purpose <> 'gold'))
        and (exists (select from reviews o join review_policies p on p.dataset_id = o.dataset_id and p.version = o.policy
                where o.sample_id = s.id and o.author <> person and o.purpose <> 'gold'
                  and p.blind and p.double_check <> 'none'
                  and not exists (select from review_retractions t where t.review_id = o.id))
            or (select p.blind and p.double_check <> 'none' from review_policies p
                where p.dataset_id = s.dataset_id order by p.version desc limit 1) is true)
    from samples s left join verifications v on v.sample_id = s.id left join review_status r on r.sample_id = s.id
    where s.id = sample
$$;

-- The same, and somebody else has decided: there is something to hide.
create function hidden_from(sample bigint, person text) returns boolean language sql stable as $$
    select blind_to(sample, person) and exists (select from reviews o
        where o.sample_id = sample and o.author <> person and o.purpose <> 'gold'
          and not exists (select from review_retractions t where t.review_id = o.id))
$$;

-- The last word on the sample as this person is told it: where others' are hidden, her own.
create function told_decision(sample bigint, person text) returns text language sql stable as $$
    select case when r.review_id < 0 or not blind_to(sample, person) then r.decision
        else (select o.decision from reviews o
            where o.sample_id = sample and o.author = person and o.purpose <> 'gold'
              and not exists (select from review_retractions t where t.review_id = o.id)
            order by o.id desc limit 1) end
    from review_status r where r.sample_id = sample
$$;

-- A label that is none of somebody else's decision, alone or with others.
create function open_label(sample bigint, label bigint, source text, author text, person text) returns boolean
language sql stable as $$
    select source <> 'model' and not (source = 'consensus' and author = 'tamis')
      and not exists (select from reviews o where o.sample_id = sample and o.label_id = label and o.author <> person)
$$;

-- The sample had this class by such a label once: a scan that judged it judged nobody's hidden decision.
create function open_class(sample bigint, judged text, person text) returns boolean language sql stable as $$
    select exists (select from labels k where k.sample_id = sample and k.class = judged
      and open_label(sample, k.id, k.source, k.author, person))
$$;

-- A decision that fell with going back to a snapshot, and why; null: somebody took it back by itself.
alter table review_retractions
    add column restored_to text,
    add column reason text not null default '';

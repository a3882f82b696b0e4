//! What several people and the model say of a sample together, each weighed by how well they have agreed with
//! the others so far (CROWDLAB, see `detect::annotators`).

use std::collections::BTreeSet;

use ndarray::Array2;
use uuid::Uuid;

use super::{JobError, Services};
use crate::detect::DetectError;
use crate::detect::annotators::{Vote, Votes, crowdlab};
use crate::domain::Candidate;
use crate::store::consensus::{Consensus, SharedVote, WeighedVote};

/// Samples that people and model are weighed by, at most.
const SAMPLES: i64 = 500;

/// The consensus on `sample`. Tens of milliseconds: for whoever settles it, not for every card.
pub async fn of_sample(services: &Services, dataset: Uuid, sample: i64) -> Result<Consensus, JobError> {
    let votes = services.store.shared_votes(dataset, sample, SAMPLES).await?;
    tokio::task::spawn_blocking(move || weigh(&votes, sample)).await?
}

fn place<T: Ord>(sorted: &[T], value: &T) -> u32 {
    sorted.binary_search(value).map_or(0, |at| at as u32)
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Classes are those that anybody or the model names: what nobody speaks of takes no part.
fn weigh(votes: &[SharedVote], sample: i64) -> Result<Consensus, JobError> {
    let samples = distinct(votes.iter().map(|v| v.sample_id));
    let people = distinct(votes.iter().map(|v| v.person.as_str()));
    let named = votes.iter().flat_map(|v| v.candidates.iter().map(|c| &*c.class));
    let mut classes = distinct(votes.iter().map(|v| v.class.as_str()).chain(named));
    if classes.len() == 1 {
        // where all name one class there is still another that it is not; no id is empty
        classes.insert(0, "");
    }
    let own: Vec<&SharedVote> = votes.iter().filter(|v| v.sample_id == sample).collect();
    let mut consensus = Consensus {
        class: None,
        quality: None,
        votes: own
            .iter()
            .map(|v| WeighedVote { person: v.person.clone(), class: v.class.clone(), quality: None })
            .collect(),
        model: own.first().and_then(|v| likeliest(&v.candidates)),
        shared: samples.iter().filter(|s| votes.iter().filter(|v| v.sample_id == **s).count() > 1).count(),
    };
    let (Some(first), true) = (own.first(), !own.is_empty()) else { return Ok(consensus) };
    let mut p = Array2::<f32>::zeros((samples.len(), classes.len()));
    for v in votes {
        let mut row = p.row_mut(place(&samples, &v.sample_id) as usize);
        // what the candidates leave over lies on the other classes
        let told: f32 = v.candidates.iter().map(|c| c.p).sum();
        let others = classes.len().saturating_sub(v.candidates.len()).max(1);
        row.fill((1.0 - told).max(0.0) / others as f32);
        for c in &v.candidates {
            row[place(&classes, &&*c.class) as usize] = c.p.clamp(0.0, 1.0);
        }
    }
    let numbered: Vec<Vote> = votes
        .iter()
        .map(|v| Vote {
            sample: place(&samples, &v.sample_id),
            annotator: place(&people, &v.person.as_str()),
            class: place(&classes, &v.class.as_str()),
        })
        .collect();
    let broke = |e: DetectError| JobError::broke("stage.fusion", e);
    let votes_of = Votes::new(&numbered, samples.len(), people.len(), classes.len()).map_err(broke)?;
    match crowdlab(&votes_of, p.view()) {
        Ok(crowd) => {
            let at = place(&samples, &sample) as usize;
            consensus.class = Some(classes[crowd.labels[at] as usize].to_owned());
            consensus.quality = Some(crowd.quality[at]);
            let qualities = votes.iter().zip(&crowd.vote_quality).filter(|(v, _)| v.sample_id == sample);
            for (vote, (_, quality)) in consensus.votes.iter_mut().zip(qualities) {
                vote.quality = Some(*quality);
            }
        }
        // nobody shares a sample yet: the one person's word is all there is
        Err(DetectError::NoOverlap) => consensus.class = Some(first.class.clone()),
        Err(e) => return Err(broke(e)),
    }
    Ok(consensus)
}

fn likeliest(candidates: &[Candidate]) -> Option<Candidate> {
    candidates.iter().max_by(|a, b| a.p.total_cmp(&b.p)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(sample_id: i64, person: &str, class: &str, model: &str) -> SharedVote {
        let candidates =
            vec![Candidate { class: model.into(), p: 0.8 }, Candidate { class: "rest".into(), p: 0.1 }];
        SharedVote { sample_id, person: person.into(), class: class.into(), candidates }
    }

    #[test]
    fn whoever_agrees_with_the_others_counts_for_more() {
        let mut votes = Vec::new();
        for s in 0..40 {
            let truth = if s % 2 == 0 { "cat" } else { "dog" };
            let wrong = if s % 2 == 0 { "dog" } else { "cat" };
            votes.push(vote(s, "ann", truth, truth));
            votes.push(vote(s, "bob", truth, truth));
            votes.push(vote(s, "cy", if s % 4 < 2 { wrong } else { truth }, truth));
        }
        votes.push(vote(100, "ann", "cat", "cat"));
        votes.push(vote(100, "cy", "dog", "cat"));
        let c = weigh(&votes, 100).unwrap();
        assert_eq!(c.class.as_deref(), Some("cat"));
        assert_eq!((c.votes.len(), c.shared), (2, 41));
        assert!(c.votes[0].quality > c.votes[1].quality, "{:?}", c.votes);
        assert_eq!(c.quality, c.votes[0].quality);
        assert_eq!(c.model.map(|m| m.class.to_string()), Some("cat".to_owned()));
    }

    #[test]
    fn without_anything_shared_the_one_word_stands_unweighed() {
        let c = weigh(&[vote(1, "ann", "cat", "dog")], 1).unwrap();
        assert_eq!((c.class.as_deref(), c.quality), (Some("cat"), None));
        let c = weigh(&[vote(1, "ann", "cat", "dog")], 2).unwrap();
        assert_eq!((c.class, c.votes.len()), (None, 0));
        assert!(weigh(&[], 2).unwrap().class.is_none());
    }
}

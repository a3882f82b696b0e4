//! How fast people decide, and when they will be done, from the moments of their decisions alone.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

/// Between two decisions of one person that lie further apart there was a break.
const BREAK: TimeDelta = TimeDelta::minutes(5);
/// Fewer decisions say nothing of a pace.
const LEAST: usize = 10;

/// Decisions an hour of one person at work, breaks left out; `None` before there are ten without a break.
/// `decisions`: who, and when, in any order.
pub fn per_active_hour(decisions: &[(String, DateTime<Utc>)]) -> Option<f64> {
    let mut of: HashMap<&str, Vec<DateTime<Utc>>> = HashMap::new();
    for (person, at) in decisions {
        of.entry(person).or_default().push(*at);
    }
    let (mut n, mut active) = (0usize, TimeDelta::zero());
    for moments in of.values_mut() {
        moments.sort_unstable();
        for gap in moments.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap <= BREAK) {
            n += 1;
            active += gap;
        }
    }
    let hours = active.as_seconds_f64() / 3600.0;
    (n >= LEAST && hours > 0.0).then(|| n as f64 / hours)
}

/// When `left` more decisions will have been made, if they go on coming as they have since the first of
/// `decisions`, nights and breaks included; `None` before there are ten.
pub fn finish(decisions: &[(String, DateTime<Utc>)], left: i64, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let first = decisions.iter().map(|(_, at)| *at).min()?;
    if decisions.len() < LEAST || left <= 0 {
        return None;
    }
    let each = (now - first).as_seconds_f64() / decisions.len() as f64;
    let seconds = each * left as f64;
    // beyond a lifetime it is no date
    (seconds < 3e9).then(|| now + TimeDelta::seconds(seconds as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn breaks_do_not_slow_anybody_down() {
        // ten decisions twenty seconds apart, a night, and ten more; another person beside, slower
        let mut decisions: Vec<_> = (0..10).map(|i| ("ann".to_owned(), at(20 * i))).collect();
        decisions.extend((0..10).map(|i| ("ann".to_owned(), at(50_000 + 20 * i))));
        assert_eq!(per_active_hour(&decisions), Some(180.0));
        decisions.extend((0..10).map(|i| ("bob".to_owned(), at(60 * i))));
        // 18 gaps of 20 s and 9 of 60 s: 27 in 900 s
        assert_eq!(per_active_hour(&decisions), Some(108.0));
        assert_eq!(per_active_hour(&decisions[..5]), None);
        assert_eq!(per_active_hour(&[]), None);
    }

    #[test]
    fn the_end_is_where_the_rate_so_far_leads() {
        let decisions: Vec<_> = (0..20).map(|i| ("ann".to_owned(), at(30 * i))).collect();
        // 20 in 600 s until now
        assert_eq!(finish(&decisions, 100, at(600)), Some(at(600 + 3000)));
        assert_eq!(finish(&decisions, 0, at(600)), None);
        assert_eq!(finish(&decisions[..9], 100, at(600)), None);
        assert_eq!(finish(&decisions, i64::MAX, at(600)), None);
    }
}

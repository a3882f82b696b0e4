//! How many requests one account may make: enough for any person, too few for a script that runs wild. What
//! an account does with tokens is counted apart, so that such a script does not lock its owner out.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use uuid::Uuid;

use crate::domain::Viewer;

/// This part of a minute's requests may come at once.
const BURST_PART: u32 = 5;

/// Counted in this process alone.
#[derive(Debug)]
pub(crate) struct Limits {
    /// By account, and whether it came with a token.
    by_account: Option<DefaultKeyedRateLimiter<(Uuid, bool)>>,
    clock: DefaultClock,
}

impl Limits {
    /// `per_minute` 0: no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let by_account = NonZeroU32::new(per_minute).map(|n| {
            let burst = NonZeroU32::new((per_minute / BURST_PART).max(1)).unwrap_or(NonZeroU32::MIN);
            DefaultKeyedRateLimiter::keyed(Quota::per_minute(n).allow_burst(burst))
        });
        Self { by_account, clock: DefaultClock::default() }
    }

    /// Counts a request; `Err`: it is one too many, and this many seconds have to pass. Whoever sits at
    /// this machine before the first account is not counted.
    pub(crate) fn count(&self, viewer: &Viewer) -> Result<(), u32> {
        let (Some(limiter), Some(account)) = (&self.by_account, viewer.account) else { return Ok(()) };
        limiter.check_key(&(account, viewer.scopes.is_some())).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now()).as_secs_f64().ceil();
            (wait as u32).max(1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Scope;

    #[test]
    fn tokens_and_browsers_are_counted_apart() {
        let limits = Limits::new(10);
        let browser = Viewer { account: Some(Uuid::nil()), name: "li".into(), admin: false, scopes: None };
        let token = Viewer { scopes: Some(vec![Scope::Read]), ..browser.clone() };
        assert_eq!([limits.count(&token), limits.count(&token)], [Ok(()), Ok(())]);
        // ten a minute: one each six seconds after the first two
        let wait = limits.count(&token).unwrap_err();
        assert!((1..=6).contains(&wait), "{wait}");
        assert_eq!(limits.count(&browser), Ok(()));
        let other = Viewer { account: Some(Uuid::max()), ..token };
        assert_eq!(limits.count(&other), Ok(()));
        assert!((0..1000).all(|_| limits.count(&Viewer::local()).is_ok()));
        assert!((0..1000).all(|_| Limits::new(0).count(&browser).is_ok()));
    }
}

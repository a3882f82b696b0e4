//! Golden cases of second looks.

use super::*;

fn policy(double_check: DoubleCheck) -> Policy {
    Policy { double_check, gold_share: 1.0, ..Default::default() }
}

fn look(review: i64, person: &str, purpose: Purpose, verdict: &str, double_check: DoubleCheck) -> Look {
    let verdict = match verdict {
        "unsure" => Verdict::Unsure,
        "exclude" => Verdict::Exclude,
        class => Verdict::Class(class.to_owned()),
    };
    Look {
        review,
        person: person.to_owned(),
        purpose,
        verdict,
        shown: Some("cat".to_owned()),
        policy: policy(double_check),
        at: review as f64,
    }
}

use DoubleCheck::{All, Changes, KeepsShare, None as Never};
use Purpose::{Adjudicate, First, Second};

fn stands(looks: &[Look]) -> (Standing, Option<String>, bool, usize) {
    let o = settle(1, looks);
    (o.standing, o.class, o.consensus, o.people)
}

#[test]
fn one_decision_is_enough_where_the_policy_says_so() {
    let cat = Some("cat".to_owned());
    assert_eq!(stands(&[]), (Standing::Open, None, false, 0));
    assert_eq!(stands(&[look(1, "ann", First, "cat", Never)]), (Standing::Verified, cat.clone(), false, 1));
    assert_eq!(stands(&[look(1, "ann", First, "cat", Changes)]), (Standing::Verified, cat.clone(), false, 1));
    assert_eq!(stands(&[look(1, "ann", First, "dog", Changes)]), (Standing::Second, None, false, 1));
    assert_eq!(stands(&[look(1, "ann", First, "exclude", Changes)]).0, Standing::Second);
    assert_eq!(stands(&[look(1, "ann", First, "exclude", Never)]), (Standing::Decided, None, false, 1));
    assert_eq!(stands(&[look(1, "ann", First, "cat", All)]).0, Standing::Second);
    assert_eq!(stands(&[look(1, "ann", First, "unsure", Never)]).0, Standing::Open);
    // the latest first look counts
    let twice = [look(1, "ann", First, "cat", Never), look(2, "bob", First, "dog", Never)];
    assert_eq!(stands(&twice), (Standing::Verified, Some("dog".into()), false, 1));
}

#[test]
fn two_agree_or_a_third_settles() {
    let agreed = [look(1, "ann", First, "dog", All), look(2, "bob", Second, "dog", All)];
    assert_eq!(stands(&agreed), (Standing::Gold, Some("dog".into()), true, 2));
    // by accident, without the policy asking for it
    let chance = [look(1, "ann", First, "dog", Never), look(2, "bob", Second, "dog", Never)];
    assert_eq!(stands(&chance), (Standing::Verified, Some("dog".into()), true, 2));
    let mut split = vec![look(1, "ann", First, "dog", All), look(2, "bob", Second, "cat", All)];
    let o = settle(1, &split);
    assert_eq!((o.standing, o.class), (Standing::Adjudicate, None));
    assert_eq!(o.not_by, ["ann", "bob"]);
    assert_eq!(o.votes, [1, 2]);
    split.push(look(3, "cy", Adjudicate, "unsure", All));
    let o = settle(1, &split);
    assert_eq!((o.standing, o.not_by), (Standing::Adjudicate, vec!["ann".into(), "bob".into(), "cy".into()]));
    split.push(look(4, "dee", Adjudicate, "dog", All));
    assert_eq!(stands(&split), (Standing::Gold, Some("dog".into()), false, 2));
    split[3].verdict = Verdict::Exclude;
    let o = settle(1, &split);
    assert_eq!((o.standing, o.excluded_by), (Standing::Decided, Some(4)));
}

#[test]
fn of_what_people_settle_a_share_is_gold_and_the_rest_is_trained_on() {
    let settled = |sample: i64, share: f64, seed: i64| {
        let mut looks = [look(1, "ann", First, "dog", All), look(2, "bob", Second, "dog", All)];
        looks.iter_mut().for_each(|l| l.policy = Policy { gold_share: share, seed, ..l.policy });
        settle(sample, &looks)
    };
    let gold = |share: f64, seed: i64| -> Vec<i64> {
        (0..20_000).filter(|s| settled(*s, share, seed).standing == Standing::Gold).collect()
    };
    assert!(gold(0.0, 0).is_empty());
    assert_eq!(gold(1.0, 0).len(), 20_000);
    // 2000 +- 6 standard deviations of 42
    let tenth = gold(Policy::default().gold_share, 0);
    assert!((1745..2255).contains(&tenth.len()), "{}", tenth.len());
    assert_eq!(gold(0.1, 0), tenth, "the same samples each time");
    assert_ne!(gold(0.1, 1), tenth, "others by another seed");
    let rest = settled((0..).find(|s| !tenth.contains(s)).unwrap(), 0.1, 0);
    assert_eq!((rest.standing, rest.consensus, rest.settled), (Standing::Verified, true, true));
    // what one person said is settled by nobody, and what is adjudicated follows the same share
    assert!(!settle(1, &[look(1, "ann", First, "dog", Never)]).settled);
    let mut split = [
        look(1, "ann", First, "dog", All),
        look(2, "bob", Second, "cat", All),
        look(3, "cy", Adjudicate, "dog", All),
    ];
    split.iter_mut().for_each(|l| l.policy.gold_share = 0.0);
    let o = settle(1, &split);
    assert_eq!((o.standing, o.settled), (Standing::Verified, true));
}

#[test]
fn somebody_elses_second_thoughts_count_once() {
    let looks = [
        look(1, "ann", First, "dog", All),
        look(2, "bob", Second, "dog", All),
        look(3, "ann", Second, "cat", All),
    ];
    let o = settle(1, &looks);
    assert_eq!((o.standing, o.votes), (Standing::Adjudicate, vec![2, 3]));
    // the first look was taken back: the second stands alone
    let o = settle(1, &looks[1..2]);
    assert_eq!((o.standing, o.not_by), (Standing::Second, vec!["bob".into()]));
}

#[test]
fn what_a_decision_counts_as() {
    let all = policy(All);
    let never = policy(Never);
    let first = [look(10, "ann", First, "dog", All)];
    let of = |person: &str, asked, may: bool, p: &Policy, looks: &[Look]| {
        counts_as(person, asked, may, p, 1, looks)
    };
    assert_eq!(of("ann", None, false, &all, &[]), First);
    assert_eq!(of("ann", None, false, &all, &first), First);
    assert_eq!(of("bob", None, false, &all, &first), Second);
    assert_eq!(of("bob", Some((First, 5.0)), false, &all, &first), Second);
    // without double checks a later word is a new first one, unless the other decided behind one's back
    let alone = [look(10, "ann", First, "dog", Never)];
    assert_eq!(of("bob", None, false, &never, &alone), First);
    assert_eq!(of("bob", Some((First, 11.0)), false, &never, &alone), First);
    assert_eq!(of("bob", Some((First, 5.0)), false, &never, &alone), Second);
    // a second look that was asked for is one also when the policy asks for none any more
    assert_eq!(of("bob", None, false, &never, &first), Second);
    assert_eq!(of("bob", Some((Purpose::Gold, 5.0)), false, &all, &first), Purpose::Gold);
    let split = [look(1, "ann", First, "dog", All), look(2, "bob", Second, "cat", All)];
    assert_eq!(of("cy", Some((Adjudicate, 5.0)), false, &all, &split), Adjudicate);
    assert_eq!(of("cy", None, true, &all, &split), Adjudicate);
    assert_eq!(of("cy", None, false, &all, &split), Second);
    assert_eq!(of("bob", None, true, &all, &split), Second, "one of the two settles nothing");
    assert_eq!(of("cy", Some((Second, 5.0)), true, &all, &split), Second);
    // one of the two took theirs back meanwhile: it is a look like any other
    assert_eq!(of("cy", Some((Adjudicate, 5.0)), true, &all, &split[..1]), Second);
}

#[test]
fn chance_is_even_and_repeats() {
    let p = policy(KeepsShare(0.25));
    let asked =
        (0..20_000).filter(|s| p.asks_again(*s, &look(1, "ann", First, "cat", KeepsShare(0.25)))).count();
    // 5000 +- 6 standard deviations of 61
    assert!((4634..5366).contains(&asked), "{asked}");
    assert!(p.asks_again(3, &look(1, "ann", First, "dog", Never)), "changes always");
    let mut gold = policy(Never);
    assert!(!(0..1000).any(|s| gold.slips_gold_in(s, "ann")));
    gold.gold_rate = 0.1;
    let of = |p: &Policy, person: &str| (0..1000).filter(|s| p.slips_gold_in(*s, person)).collect::<Vec<_>>();
    assert_eq!(of(&gold, "ann"), of(&gold, "ann"));
    assert_ne!(of(&gold, "ann"), of(&gold, "bob"));
    assert_ne!(of(&gold, "ann"), of(&Policy { seed: 1, ..gold }, "ann"));
}

#[test]
fn policies_parse_or_name_the_field() {
    let form = |double_check: &str, keeps_share, gold_rate| PolicyForm {
        double_check: double_check.into(),
        keeps_share,
        blind: true,
        hide_model: false,
        gold_rate,
        gold_share: 0.25,
        seed: 0,
    };
    for good in [form("none", None, 0.0), form("keeps_share", Some(0.2), 0.5), form("all", None, 0.1)] {
        assert_eq!(PolicyForm::from(&Policy::try_from(&good).unwrap()), good);
    }
    let field = |f: PolicyForm| Policy::try_from(&f).unwrap_err().field();
    assert_eq!(field(form("some", None, 0.0)), "double_check");
    assert_eq!(field(form("keeps_share", None, 0.0)), "keeps_share");
    assert_eq!(field(form("keeps_share", Some(1.0), 0.0)), "keeps_share");
    assert_eq!(field(form("all", Some(0.5), 0.0)), "keeps_share");
    assert_eq!(field(form("all", None, 0.6)), "gold_rate");
    assert_eq!(field(form("all", None, f64::NAN)), "gold_rate");
    for share in [-0.1, 1.1, f64::NAN] {
        assert_eq!(field(PolicyForm { gold_share: share, ..form("all", None, 0.0) }), "gold_share");
    }
}

//! What is said of a Redis, by what it tells.

use super::super::finding::Outcome;
use super::*;

fn address(host: &str) -> Address {
    Address {
        host: host.to_owned(),
        port: 6379,
    }
}

fn voter(names: Option<&str>) -> Voter {
    Voter {
        address: address("sentinel"),
        names: match names {
            Some("") => Ok(None),
            Some(host) => Ok(Some(address(host))),
            None => Err("no answer".to_owned()),
        },
    }
}

#[test]
fn sentinels_must_agree_and_be_enough() {
    let check = Check::RedisSentinels;
    let outcome = |named: [Option<&str>; 3], quorum: u64| {
        agreement(check, &named.map(voter), &[Ok(quorum)]).outcome
    };
    assert_eq!(outcome([Some("a"); 3], 2), Outcome::Ok);
    assert_eq!(outcome([Some("a"), Some("a"), None], 2), Outcome::Warning);
    assert_eq!(outcome([Some("a"), Some("a"), None], 3), Outcome::Error);
    assert_eq!(outcome([Some("a"), Some("b"), None], 1), Outcome::Error);
    assert_eq!(outcome([Some(""); 3], 1), Outcome::Error);
    let alone = agreement(check, &[voter(Some("a"))], &[Err(Untold::NotAllowed)]);
    assert_eq!(alone.outcome, Outcome::Note);
}

#[test]
fn versions_are_compared_as_numbers() {
    let outcome = |text: &str| version(&Ok(("redis".to_owned(), text.to_owned()))).outcome;
    for good in ["6.2.0", "7.0.15", "8.1", "10.0.0"] {
        assert_eq!(outcome(good), Outcome::Ok, "{good}");
    }
    for bad in ["6.0.16", "5.0.14", "", "x"] {
        assert_eq!(outcome(bad), Outcome::Error, "{bad}");
    }
}

#[test]
fn what_may_not_be_asked_is_a_note_and_what_fails_a_warning() {
    assert_eq!(clock_ahead(&Ok(-5)).outcome, Outcome::Ok);
    assert_eq!(clock_ahead(&Ok(6)).outcome, Outcome::Warning);
    assert_eq!(clock_ahead(&Err(Untold::NotAllowed)).outcome, Outcome::Note);
    let failed = Err(Untold::Failed("no answer".to_owned()));
    assert_eq!(clock_ahead(&failed).outcome, Outcome::Warning);
}

#[test]
fn a_password_is_expected_beyond_this_machine() {
    let outcome = |host: &str, password: Option<&str>| {
        let mut settings = Settings::new(Shape::Single(address(host)));
        settings.login.password = password.map(|p| crate::secret::Secret::new(p.to_owned()));
        protection(&settings).outcome
    };
    assert_eq!(outcome("127.0.0.1", None), Outcome::Note);
    assert_eq!(outcome("redis", None), Outcome::Warning);
    assert_eq!(outcome("redis", Some("p")), Outcome::Note);
    assert_eq!(outcome("::1", Some("p")), Outcome::Ok);
}

#[test]
fn an_answer_that_takes_long_is_warned_of() {
    assert_eq!(latency(Duration::from_millis(1)).outcome, Outcome::Ok);
    assert_eq!(latency(Duration::from_millis(50)).outcome, Outcome::Warning);
}

//! Asking several servers at once, of whom each may be wrong or gone.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dial::Dial;
use super::failure::Failure;
use super::settings::Address;

/// What each of `voters` says, in their order.
pub(super) async fn each<T>(
    voters: &[Address],
    dial: &Dial,
    question: &Cmd,
    limit: Duration,
    read: impl Fn(Value, &Address) -> Result<T, Failure>,
) -> Vec<(Address, Result<T, Failure>)> {
    let mut answers = ask(voters, dial, question, limit).join_all().await;
    answers.sort_by_key(|(_, voter)| voters.iter().position(|other| other == voter));
    let answers = answers.into_iter().map(|(answer, voter)| {
        let said = answer.and_then(|answer| read(answer, &voter));
        (voter, said)
    });
    answers.collect()
}

/// Asks all `voters` at once.
fn ask(
    voters: &[Address],
    dial: &Dial,
    question: &Cmd,
    limit: Duration,
) -> JoinSet<(Result<Value, Failure>, Address)> {
    let mut asking = JoinSet::new();
    for voter in voters {
        let (dial, voter, question) = (dial.clone(), voter.clone(), question.clone());
        asking.spawn(async move {
            let asked = async {
                let mut connection = dial.open(&voter, AsyncConnectionConfig::new()).await?;
                connection.ask(&question, limit).await
            };
            (asked.await, voter)
        });
    }
    asking
}

/// Asks all `voters` at once; gives the address that more than half of them name, or else the one
/// named most often by those who answer in time. One of them alone may be cut off from the others.
pub(super) async fn vote(
    voters: &[Address],
    dial: &Dial,
    question: Cmd,
    limit: Duration,
    read: impl Fn(Value, &Address) -> Result<Option<Address>, Failure>,
    nobody: String,
) -> Result<Address, Failure> {
    let mut asking = ask(voters, dial, &question, limit);
    let mut named: Vec<(Address, usize)> = Vec::new();
    let mut failure = Failure::Silence(format!("{nobody}, or none answers within {limit:?}"));
    let counting = async {
        while let Some(asked) = asking.join_next().await {
            let Ok((answer, voter)) = asked else {
                continue;
            };
            match answer.and_then(|answer| read(answer, &voter)) {
                Ok(Some(address)) => {
                    if count(&mut named, address) > voters.len() / 2 {
                        return;
                    }
                }
                Ok(None) => failure = Failure::Silence(nobody.clone()),
                Err(other) => failure = other,
            }
        }
    };
    // What was counted until then counts.
    let _late = timeout(limit, counting).await;
    let most = named.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(address, _)| address).ok_or(failure)
}

/// How often `address` was named, this time included.
fn count(named: &mut Vec<(Address, usize)>, address: Address) -> usize {
    if let Some((_, count)) = named.iter_mut().find(|(known, _)| *known == address) {
        *count = count.saturating_add(1);
        return *count;
    }
    named.push((address, 1));
    1
}

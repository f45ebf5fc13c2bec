//! What our user of Redis may do: all that is needed, and no more.

use super::super::finding::{Check, Finding};
use super::told;
use crate::store::redis::{Server, Settings, Told};

pub(super) fn judge(settings: &Settings, server: &Server) -> [Finding; 2] {
    let user = settings.login.user.as_deref().unwrap_or("default");
    [
        needed(user, &server.denied),
        unneeded(user, &server.unneeded),
    ]
}

fn needed(user: &str, denied: &[&str]) -> Finding {
    let check = Check::RedisRights;
    if denied.is_empty() {
        return check
            .ok("every command that is needed is allowed")
            .of(format!("user {user}"));
    }
    let grant: Vec<_> = denied.iter().map(|command| format!("+{command}")).collect();
    check
        .error(
            format!("not allowed: {}", denied.join(" ")),
            format!(
                "ACL SETUSER {user} ~kf:{{kf}}:* {}; then write it down (ACL SAVE, or the \
                 configuration of Redis), on replicas as well",
                grant.join(" ")
            ),
        )
        .of(format!("user {user}"))
}

fn unneeded(user: &str, unneeded: &Told<Vec<String>>) -> Finding {
    let check = Check::RedisUnneededRights;
    let finding = match told(check, unneeded) {
        Ok(rules) if rules.is_empty() => check.ok("nothing beyond that"),
        Ok(rules) => {
            let found = rules.join(" ");
            let advice = "whoever has the gateway's password could empty or reconfigure Redis: give \
                          Keyferry a user of its own";
            // What lets doctor look is no danger.
            let looks = [
                "+info",
                "+config|get",
                "+time",
                "+acl|getuser",
                "+cluster|info",
            ];
            let is_harmless = |rule: &String| looks.contains(&rule.as_str());
            if rules.iter().all(is_harmless) {
                check.ok(format!("only what looking needs: {found}"))
            } else {
                check.warning(found, advice)
            }
        }
        Err(finding) => finding,
    };
    finding.of(format!("user {user}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_user_who_may_more_than_look_is_warned_of() {
        let outcome = |rules: &[&str]| {
            let rules = rules.iter().map(ToString::to_string).collect();
            unneeded("keyferry", &Ok(rules)).outcome
        };
        assert_eq!(outcome(&[]), Outcome::Ok);
        assert_eq!(outcome(&["+info", "+config|get"]), Outcome::Ok);
        assert_eq!(outcome(&["+info", "+config"]), Outcome::Warning);
        assert_eq!(outcome(&["+@all", "~*"]), Outcome::Warning);
    }

    #[test]
    fn what_is_denied_is_named_with_the_command_that_allows_it() {
        let found = needed("keyferry", &["xadd", "cluster|slots"]);
        assert_eq!(found.outcome, Outcome::Error);
        let advice = found.advice.unwrap();
        assert!(advice.contains("+xadd +cluster|slots"), "{advice}");
    }
}

//! What came instead of an answer, what it means and what to do.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::settings::{Address, Shape};
use crate::store::StoreError;

/// Why there is no answer. It never means that something is absent.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody answered, or not in time.
    Silence(String),
    /// Somebody answered who is not the primary, or not any more.
    NotPrimary,
    /// The server refused, or what it answered means nothing.
    Refusal(RedisError),
}

/// Where the node of a cluster says to ask. Nothing was done there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// That node serves the keys from now on.
    Moved(Address),
    /// That node takes the keys over just now: ask it this one thing.
    Ask(Address),
    /// Here, in a moment.
    Later,
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io => Self::Silence(format!("Redis: {error}")),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::NotPrimary,
            _ => Self::Refusal(error),
        }
    }
}

impl From<redis::ParsingError> for Failure {
    fn from(error: redis::ParsingError) -> Self {
        Self::Refusal(error.into())
    }
}

impl Failure {
    /// The script is not known to the server.
    pub(super) fn is_unknown_script(&self) -> bool {
        self.is(ServerErrorKind::NoScript)
    }

    /// The server has fewer replicas than it must have to take a write.
    pub(super) fn is_too_few_replicas(&self) -> bool {
        matches!(self, Self::Refusal(error) if error.code() == Some("NOREPLICAS"))
    }

    /// Where to ask instead, when `asked` answered so.
    pub(super) fn elsewhere(&self, asked: &Address) -> Option<Elsewhere> {
        let Self::Refusal(error) = self else {
            return None;
        };
        let address = error
            .redirect_node()
            .and_then(|(address, _)| Address::told(address, asked));
        match address {
            Some(address) if self.is(ServerErrorKind::Ask) => Some(Elsewhere::Ask(address)),
            Some(address) => Some(Elsewhere::Moved(address)),
            None if self.is(ServerErrorKind::TryAgain) => Some(Elsewhere::Later),
            None => None,
        }
    }

    fn is(&self, kind: ServerErrorKind) -> bool {
        matches!(self, Self::Refusal(error) if error.kind() == ErrorKind::Server(kind))
    }

    /// What to tell the operator of a Redis of this shape.
    pub(super) fn explain(&self, shape: &Shape) -> StoreError {
        StoreError::Unavailable(match self {
            Self::Silence(why) => why.clone(),
            Self::NotPrimary => match shape {
                Shape::Single(_) => {
                    "this Redis is a read-only replica; name the primary in store.url (READONLY)"
                        .to_owned()
                }
                _ => "this Redis is a replica; its primary is looked for (READONLY)".to_owned(),
            },
            Self::Refusal(error) => refusal(error),
        })
    }
}

const WRONG_LOGIN: &str = "Redis refuses the user or the password; check store.url or store.user, \
                           and store.password_file";

/// What the server's error codes mean, and what to do.
const ADVICE: [(&str, &str); 12] = [
    (
        "LOADING",
        "Redis is still loading its data; it answers when it has",
    ),
    (
        "OOM",
        "Redis has reached maxmemory; give it more (its maxmemory-policy must be noeviction)",
    ),
    (
        "MISCONF",
        "Redis cannot save to its disk and takes no writes; look at its log",
    ),
    (
        "NOAUTH",
        "Redis asks for a password; name it in store.password_file",
    ),
    ("WRONGPASS", WRONG_LOGIN),
    (
        "NOPERM",
        "Redis does not allow this user what is needed; docs/STORE.md has the list",
    ),
    (
        "MASTERDOWN",
        "this Redis is a replica that lost its primary",
    ),
    ("CLUSTERDOWN", "the Redis cluster is down"),
    (
        "MOVED",
        "this Redis is a node of a cluster, and not the one for these keys; name the cluster's \
         nodes in store.cluster",
    ),
    (
        "TRYAGAIN",
        "the Redis cluster is moving the keys to another node; it answers when it has",
    ),
    (
        "NOREPLICAS",
        "Redis has too few replicas to take a write, and may have been replaced",
    ),
    (
        "WRONGTYPE",
        "the keys kf:{kf}:… hold something else; give Keyferry a database of its own",
    ),
];

fn refusal(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    // Redis 6 wraps what a script ran into: `ERR Error running script …: -OOM command …`. And a
    // long question is refused before the password is asked for.
    let meant = |known: &str| {
        code == known
            || detail.contains(&format!("-{known} "))
            || (known == "NOAUTH" && detail.contains("unauthenticated"))
    };
    match ADVICE.iter().find(|(known, _)| meant(known)) {
        Some((known, advice)) => format!("{advice} ({known})"),
        None if error.kind() == ErrorKind::AuthenticationFailed => WRONG_LOGIN.to_owned(),
        None => format!("Redis: {error}"),
    }
}

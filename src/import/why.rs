//! Why something in a file is not taken over, and what to do about it.

use serde::Serialize;

use super::Told;
use crate::certificate::{Fingerprint, NotHanded};
use crate::client::ClientId;

/// What kind of a hindrance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is understood, and must not be taken over.
    Refused,
    /// It could mean several things.
    Ambiguous,
    /// It is not understood.
    NotUnderstood,
}

/// Why something is not taken over. No text of a file stands in it but ids of clients, since a line
/// may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A default that lets in whoever is not listed.
    #[error(
        "\"default\" lets everybody in; with enrolment.mode = \"auto\" whoever has a certificate of \
         your authority becomes a client of its own"
    )]
    Everybody,
    /// An empty key that lets in whoever has no certificate.
    #[error("it lets in whoever shows no certificate; every client needs one, or a key")]
    Anonymous,
    /// Whoever has a certificate of an authority is let in.
    #[error(
        "it names no client: whoever has a certificate of the authority is let in; name the authority \
         under [[ca]], and set enrolment.mode to \"auto\" or \"approve\""
    )]
    Authority,
    /// Certificates that nobody verified are let in.
    #[error("it lets in certificates that no authority vouches for; that is never done here")]
    Unverified,
    /// Whoever cannot show who he is is let in as somebody.
    #[error(
        "it lets in whoever shows nothing, as one consumer; every client needs something to show"
    )]
    Fallback,
    /// Whom the other gateway does not let in.
    #[error(
        "it says whom the other gateway shuts out, not whom it lets in; leave it out, or write those who \
         are let in into a table (csv)"
    )]
    ShutsOut,
    /// A pattern.
    #[error(
        "it is a pattern (wildcard or regular expression), which lets in whoever fits it; name each \
         certificate"
    )]
    Pattern,
    /// Another file is named.
    #[error("it includes another file, which is not followed; name that file to import as well")]
    Include,
    /// The value is made while requests come.
    #[error("it is computed of each request; write what it comes to")]
    Computed,
    /// The name of an issuer.
    #[error("it names an issuer, which is no client; authorities are named under [[ca]]")]
    Issuer,
    /// A serial number alone, or a name.
    #[error(
        "a {0} names no certificate: say among which it is to be looked up, with --issued FOLDER or \
         --known CA, or write SHA-256 fingerprints"
    )]
    Described(Told),
    /// None of the certificates that were given is meant.
    #[error(
        "none of the certificates that there are has this {0}; add it to --issued, or leave the line out"
    )]
    NotIssued(Told),
    /// Certificates of several issuers are meant.
    #[error("certificates of several issuers have this {0}; name one by its SHA-256 fingerprint")]
    SeveralIssuers(Told),
    /// Two certificates of different clients.
    #[error(
        "another line names the same certificate for the client {0}; a certificate names one client"
    )]
    TwoClients(ClientId),
    /// Two names lead to one id.
    #[error(
        "others that the file calls by another name would be the client {0}, too; name them apart, or \
         alike if they are one"
    )]
    OneId(ClientId),
    /// No id can be made of the name.
    #[error(
        "of what it calls the client no id can be made (1 to 64 characters of a-z 0-9 . _ -, no hidden \
         ones); give it another name"
    )]
    Name,
    /// It does not say how the client is called, and shows nothing to derive it from.
    #[error("it does not name the client; give it a name")]
    Nameless,
    /// What it is written in is wrong there.
    #[error("it is not understood: {0}")]
    Syntax(&'static str),
    /// The file as a whole is.
    #[error("from here on the file is not understood: {0}; nothing of it counts")]
    File(&'static str),
    /// What should be a certificate is none.
    #[error(transparent)]
    NotHanded(NotHanded),
    /// The client is disabled.
    #[error("the client {0} is disabled here; enable it first: keyferry client enable {0}")]
    Disabled(ClientId),
    /// The store has the certificate for somebody else.
    #[error(
        "here it is of the client {0} already; take it away there first: keyferry certificate remove, or \
         --undo what was announced"
    )]
    Anothers(ClientId),
    /// The store has it as ended.
    #[error(
        "it was taken away or replaced here, and no import brings it back; to do so: keyferry certificate \
         add --client ID FINGERPRINT"
    )]
    Ended,
    /// The SHA-1 was seen at a certificate that identifies somebody else now, or nobody.
    #[error("its SHA-1 was bound to the certificate {0} here; see: keyferry certificate list")]
    Bound(Fingerprint),
    /// The client has another meaning here.
    #[error(
        "there is a client {0} here that was called otherwise; if it is the same, write its id into the \
         file, if not, another one"
    )]
    Namesake(ClientId),
}

impl Why {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::Anonymous => "anonymous",
            Self::Authority => "authority",
            Self::Unverified => "unverified",
            Self::Fallback => "fallback",
            Self::ShutsOut => "shuts_out",
            Self::Pattern => "pattern",
            Self::Include => "include",
            Self::Computed => "computed",
            Self::Issuer => "issuer",
            Self::Described(_) => "described",
            Self::NotIssued(_) => "not_issued",
            Self::SeveralIssuers(_) => "several_issuers",
            Self::TwoClients(_) => "two_clients",
            Self::OneId(_) => "one_id",
            Self::Name => "name",
            Self::Nameless => "nameless",
            Self::Syntax(_) => "syntax",
            Self::File(_) => "file",
            Self::NotHanded(_) => "not_a_certificate",
            Self::Disabled(_) => "disabled",
            Self::Anothers(_) => "anothers",
            Self::Ended => "ended",
            Self::Bound(_) => "bound",
            Self::Namesake(_) => "namesake",
        }
    }

    /// What kind of a hindrance it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::SeveralIssuers(_)
            | Self::TwoClients(_)
            | Self::OneId(_)
            | Self::Anothers(_)
            | Self::Namesake(_) => Kind::Ambiguous,
            Self::Syntax(_) | Self::File(_) | Self::NotHanded(_) | Self::Nameless => {
                Kind::NotUnderstood
            }
            Self::Everybody
            | Self::Anonymous
            | Self::Authority
            | Self::Unverified
            | Self::Fallback
            | Self::ShutsOut
            | Self::Pattern
            | Self::Include
            | Self::Computed
            | Self::Issuer
            | Self::Described(_)
            | Self::NotIssued(_)
            | Self::Name
            | Self::Disabled(_)
            | Self::Ended
            | Self::Bound(_) => Kind::Refused,
        }
    }
}

impl From<NotHanded> for Why {
    fn from(why: NotHanded) -> Self {
        Self::NotHanded(why)
    }
}

//! Where clients are asked for their certificates.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Accept, ClientCertificates, HostPattern, Routes, ServerNames};
use crate::directory::{Directory, Left};

/// Says at each handshake whether the client is asked for its certificate: unless it is known that
/// nobody is left who could come by one to the host that it names.
///
/// What is not known for sure is asked for. That nobody is left holds until the next change to
/// [who could come](Directory::population); then everybody is asked, until it is
/// [worked out](Self::work_out) anew.
pub struct Asking {
    directory: Arc<Directory>,
    names: ServerNames,
    hosts: Hosts,
    found: ArcSwap<Found>,
}

/// The hosts that have routes of their own.
struct Hosts {
    /// Every authority that is trusted.
    authorities: Names,
    /// Whose certificates each accepts; none: all of them.
    accepting: HashMap<Box<str>, Option<Names>>,
}

type Names = BTreeSet<Box<str>>;

/// What was found, and of which population.
#[derive(Default)]
struct Found {
    population: u64,
    silent: Silent,
}

/// The hosts at which nobody is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silent {
    /// Whatever host a client names, and when it names none.
    pub everywhere: bool,
    /// Those at which nobody is left; somebody may be elsewhere.
    pub hosts: Names,
}

impl Asking {
    /// Asks, at those `names` that are for it, for what `routes` accept. `authorities` are the names
    /// of all that are trusted, in the order that routes refer to.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        names: ServerNames,
        routes: &Routes,
        authorities: &[Box<str>],
    ) -> Self {
        Self {
            directory,
            names,
            hosts: Hosts::of(routes, authorities),
            found: ArcSwap::default(),
        }
    }

    /// Whether a client that names this host (in lower case, without port) is asked now. No lock, no
    /// wait.
    #[must_use]
    pub fn asks(&self, host: Option<&str>) -> bool {
        let found = self.found.load();
        let is_silent = |host| found.silent.hosts.contains(host);
        let nobody = found.silent.everywhere || host.is_some_and(is_silent);
        let is_known = nobody && found.population == self.directory.population();
        self.policy(host).asks() && !is_known
    }

    /// What becomes of the certificate of a client that names this host, likewise.
    #[must_use]
    pub fn policy(&self, host: Option<&str>) -> ClientCertificates {
        self.names.policy(host)
    }

    /// Works out anew where nobody is left, when something has changed since the last time; gives it
    /// when it is something else.
    pub fn work_out(&self) -> Option<Silent> {
        // In this order: what changes from here on makes what is found void.
        let population = self.directory.population();
        let before = self.found.load();
        if before.population == population || !self.directory.is_loaded() {
            return None;
        }
        let silent = self.hosts.silent(&Left::of(&self.directory.view()));
        let news = (before.silent != silent).then(|| silent.clone());
        self.found.store(Arc::new(Found { population, silent }));
        news
    }
}

impl Hosts {
    fn of(routes: &Routes, authorities: &[Box<str>]) -> Self {
        let named = routes.iter().filter_map(|route| match &route.host {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Any => None,
        });
        Self {
            authorities: authorities.iter().cloned().collect(),
            accepting: named
                .map(|host| (host.into(), accepted(routes, host, authorities)))
                .collect(),
        }
    }

    fn silent(&self, left: &Left) -> Silent {
        // A certificate of an authority that is not recorded could be any; so could one of an
        // authority that goes by another name now.
        let is_known = |name: &Option<Box<str>>| {
            let name = name.as_ref();
            name.is_some_and(|name| self.authorities.contains(name))
        };
        if left.newcomers || !left.authorities.iter().all(is_known) {
            return Silent::default();
        }
        let nobody = |accepted: &Option<Names>| match accepted {
            None => left.authorities.is_empty(),
            Some(accepted) => {
                let mut names = left.authorities.iter().flatten();
                !names.any(|name| accepted.contains(name))
            }
        };
        let hosts = self.accepting.iter();
        let hosts = hosts.filter(|(_, accepted)| nobody(accepted));
        Silent {
            everywhere: left.authorities.is_empty(),
            hosts: hosts.map(|(host, _)| host.clone()).collect(),
        }
    }
}

/// The authorities whose certificates the routes that serve `host` accept; none: all. A route for
/// keys counts as one for all, since its clients fetch their keys at this host.
fn accepted(routes: &Routes, host: &str, authorities: &[Box<str>]) -> Option<Names> {
    let serving = routes.serving(host);
    let mut accepted = Names::new();
    for route in serving.filter(|route| route.accept != Accept::None) {
        if route.cas.is_empty() {
            return None;
        }
        let names = route
            .cas
            .iter()
            .map(|ca| authorities.get(usize::from(ca.0)));
        accepted.extend(names.flatten().cloned());
    }
    Some(accepted).filter(|accepted| !accepted.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::CaIndex;
    use crate::client::ClientRecord;
    use crate::clock::Timestamp;
    use crate::phase::{self, Setting, Step, Target};
    use crate::policy::Route;
    use crate::store::embedded::Embedded;
    use crate::store::{Action, Actor, Change, Store, Write};

    fn names(list: &[&str]) -> Vec<Box<str>> {
        list.iter().map(|name| (*name).into()).collect()
    }

    fn hosts(list: &[(&str, &str, Accept, &[u16])]) -> Hosts {
        let routes = list.iter().map(|(host, path, accept, cas)| Route {
            name: String::new(),
            host: host.parse().unwrap(),
            path: (*path).to_owned(),
            backend: 0,
            accept: *accept,
            scopes: Vec::new(),
            cas: cas.iter().map(|ca| CaIndex(*ca)).collect(),
        });
        Hosts::of(&Routes::new(routes.collect()), &names(&["one", "two"]))
    }

    fn silent(hosts: &Hosts, left: &[Option<&str>]) -> (bool, Vec<String>) {
        let authorities = left.iter().map(|name| name.map(Box::from)).collect();
        let silent = hosts.silent(&Left {
            newcomers: false,
            authorities,
        });
        let names = silent.hosts.iter().map(ToString::to_string);
        (silent.everywhere, names.collect())
    }

    #[test]
    fn a_host_is_silent_when_nobody_is_left_of_the_authorities_that_it_accepts() {
        use Accept::{Either, Key, None as Open};
        let hosts = hosts(&[
            ("a", "/", Either, &[0]),
            ("b", "/", Either, &[1]),
            ("ab", "/x", Either, &[0]),
            ("ab", "/y", Either, &[1]),
            ("any", "/", Either, &[]),
            ("keys", "/", Key, &[]),
            ("a-open", "/", Either, &[0]),
            ("a-open", "/healthz", Open, &[]),
            ("open", "/", Open, &[]),
        ]);
        assert_eq!(
            silent(&hosts, &[Some("two")]),
            (false, vec!["a".to_owned(), "a-open".to_owned()])
        );
        assert_eq!(
            silent(&hosts, &[Some("one")]),
            (false, vec!["b".to_owned()])
        );
        assert_eq!(silent(&hosts, &[Some("one"), Some("two")]), (false, vec![]));
        let (everywhere, all) = silent(&hosts, &[]);
        assert!(everywhere && all.len() == 7, "{all:?}");
        // What is not known could be anybody's.
        for unknown in [None, Some("of old")] {
            assert_eq!(silent(&hosts, &[unknown, Some("two")]), (false, vec![]));
        }
        let newcomers = Left {
            newcomers: true,
            ..Left::default()
        };
        assert_eq!(hosts.silent(&newcomers), Silent::default());
    }

    #[test]
    fn routes_of_every_host_count_where_they_can_be_reached() {
        let hosts = hosts(&[
            ("whole", "/", Accept::Either, &[0]),
            ("part", "/v1", Accept::Either, &[0]),
            ("*", "/", Accept::Either, &[1]),
        ]);
        assert_eq!(
            silent(&hosts, &[Some("two")]),
            (false, vec!["whole".to_owned()])
        );
    }

    #[tokio::test]
    async fn after_any_change_everybody_is_asked_until_it_is_worked_out_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(&folder.path().join("keyferry.redb")).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let directory = Arc::new(Directory::new(Arc::clone(&store)));
        let asking = |policy| {
            let names = ServerNames::new(policy, [].into_iter().collect());
            Asking::new(Arc::clone(&directory), names, &Routes::default(), &[])
        };
        let off = asking(ClientCertificates::NeverAsk);
        let asking = asking(ClientCertificates::Explain);
        let now = Timestamp::from_unix(1_795_418_999);
        let commit = async |change: Change| {
            let epoch = store.commit(&change).await.unwrap().epoch;
            directory.wait_for(epoch).await.unwrap();
        };
        assert!(asking.asks(None) && !off.asks(None));
        assert_eq!(asking.work_out(), None, "nothing is loaded");
        let test = async {
            let retired = Setting::new(Step::Retired, Actor::Gateway, now);
            commit(phase::set(None, Target::All, retired)).await;
            assert!(asking.asks(None), "not worked out");
            assert!(asking.work_out().is_some_and(|silent| silent.everywhere));
            assert!(!asking.asks(None) && !asking.asks(Some("a.example")));

            let client = ClientRecord::new("a".parse().unwrap(), None, now);
            let change = |write| Change::new(Action::ClientAdded, Actor::Gateway, now, vec![write]);
            commit(change(Write::create(client.clone()))).await;
            assert!(asking.asks(None) && asking.asks(Some("a.example")));
            assert_eq!(asking.work_out(), None, "it is as it was");
            assert!(!asking.asks(None));
            // Whatever gives a client a key writes it again as it is.
            commit(change(Write::replace(directory.epoch(), client.clone()))).await;
            assert!(!asking.asks(None));
            let tags = ["a".parse().unwrap()].into();
            let tagged = ClientRecord { tags, ..client };
            commit(change(Write::replace(directory.epoch(), tagged))).await;
            assert!(asking.asks(None));
        };
        tokio::select! {
            () = directory.follow() => {}
            () = test => {}
        }
    }
}

//! The way to Redis: slow, cut, silent, or not there.

use std::time::Duration;

use super::load::Load;
use super::people::Group;
use super::scene::{LONG, SHORT, Single, told_at};
use crate::support::proxy::Mode;
use crate::support::wait_for;

const SLOW: Duration = Duration::from_millis(60);

/// Those who are not known are told to come again, which shows that the gateway has felt the fault.
pub(crate) fn felt(load: &Load<'_>, count: usize) {
    load.until("the fault to be felt", count, |heard| {
        heard.group == Group::Unknown && heard.status == 503
    });
}

/// Everybody who is known is told to come again: what is known is too old.
pub(crate) fn too_old(load: &Load<'_>) {
    load.until("what is known to be too old", 8, |heard| {
        heard.group == Group::Known && heard.status == 503
    });
}

/// No answer comes through the proxy, or none that can be used.
fn is_dead(single: &Single) {
    let told = told_at(&single.proxy.url(), "PING");
    assert!(told.is_err(), "{told:?}");
}

/// The fault ends before what is known is too old.
fn short(fault: &'static str, mode: Mode) {
    let single = Single::start(&[], LONG);
    single.load().through(fault, |load| {
        load.fault(|| single.proxy.set(mode));
        is_dead(&single);
        felt(load, 3);
        load.rounds();
        load.lift("the way is as before", || single.proxy.set(Mode::Pass));
    });
}

/// The fault lasts until what is known is too old.
fn long(fault: &'static str, mode: Mode) {
    let single = Single::start(&[], SHORT);
    let load = single.load().known_may_wait();
    load.through(fault, |load| {
        load.fault(|| single.proxy.set(mode));
        is_dead(&single);
        felt(load, 3);
        too_old(load);
        load.lift("the way is as before", || single.proxy.set(Mode::Pass));
    });
}

/// Every answer comes late, and in time.
#[test]
fn a_slow_way() {
    let single = Single::start(&[], LONG);
    single.load().through("a slow way", |load| {
        load.fault(|| single.proxy.set(Mode::Delay(SLOW)));
        let begun = keyferry::clock::monotonic();
        told_at(&single.proxy.url(), "PING").expect("a late answer");
        assert!(begun.elapsed() > SLOW);
        load.rounds();
        load.until("somebody unknown, late", 5, |heard| {
            heard.group == Group::Unknown && heard.status == 401
        });
        load.lift("nothing: it was only slow", || single.proxy.set(Mode::Pass));
    });
}

#[test]
fn a_way_that_is_slower_than_every_deadline() {
    let mode = Mode::Delay(Duration::from_secs(3));
    long("a way that is slower than every deadline", mode);
}

#[test]
fn bytes_that_trickle() {
    let mode = Mode::Trickle(1, Duration::from_millis(200));
    short("bytes that trickle", mode);
}

#[test]
fn a_black_hole_for_a_moment() {
    short("a black hole for a moment", Mode::Hold);
}

#[test]
fn a_black_hole_for_longer_than_max_stale() {
    long("a black hole for longer than max stale", Mode::Hold);
}

/// Redis hears every question, and does what it is told.
#[test]
fn answers_that_do_not_come_back() {
    short("answers that do not come back", Mode::Deaf);
}

#[test]
fn connections_that_are_refused() {
    long("connections that are refused", Mode::Refuse);
}

#[test]
fn connections_that_are_reset_as_they_are_made() {
    short("connections that are reset as they are made", Mode::Reset);
}

#[test]
fn answers_that_are_cut_in_the_middle() {
    short("answers that are cut in the middle", Mode::Cut(3));
}

/// Connections that are there are ended so, again and again, and new ones are as good as ever.
fn cut_again_and_again(fault: &'static str, mode: Mode) {
    let single = Single::start(&[], LONG);
    single.load().through(fault, |load| {
        wait_for("the gateway's connections", || {
            (single.proxy.live() > 1).then_some(())
        });
        load.fault(|| ());
        for _ in 0..5 {
            single.proxy.set_live(mode);
            load.until("somebody new", 1, |heard| {
                heard.group == Group::New && heard.status == 200
            });
        }
        load.lift("new connections", || ());
    });
}

#[test]
fn connections_that_are_cut() {
    cut_again_and_again("connections that are cut", Mode::Reset);
}

#[test]
fn connections_that_are_ended() {
    cut_again_and_again("connections that are ended", Mode::End);
}

/// Half open: the other end is gone and nobody was told, as when a firewall forgets a connection.
#[test]
fn connections_that_lead_nowhere_any_more() {
    let single = Single::start(&[], LONG);
    let load = single.load();
    load.through("connections that lead nowhere any more", |load| {
        wait_for("the gateway's connections", || {
            (single.proxy.live() > 1).then_some(())
        });
        load.fault(|| single.proxy.set_live(Mode::Vanish));
        assert!(single.proxy.live() > 1, "nobody was told");
        told_at(&single.proxy.url(), "PING").expect("an answer on a new connection");
        felt(load, 1);
        load.lift("new connections, after the deadline", || ());
    });
}

//! The contract of the store (see `keyferry::store::Store`), tried on every adapter: the embedded
//! store, the embedded store through the socket of the gateway that holds it, and Redis in all its
//! shapes, as real processes. The cases are written once; `contract!` runs each on all of them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on has failed"
)]

mod activity;
mod adapter;
#[path = "../support/again.rs"]
mod again;
mod backup;
mod cases;
mod compaction;
mod damage;
mod death;
mod directory;
mod down;
mod failover;
mod lost;
mod mailbox;
mod phases;
#[path = "../support/pki.rs"]
mod pki;
mod records;
#[path = "../support/redis/mod.rs"]
mod redis_server;
mod replaced;
mod replicas;
mod reseal;
mod select;
mod socket;
mod throughput;

macro_rules! on {
    ($module:ident $case:ident: $($name:ident $kind:ident)*) => {
        mod $case {
            use super::adapter::Kind;

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$module::$case(Kind::$kind).await;
            })*
        }
    };
}

/// For what goes through the contract alone, so that the shape of a Redis makes no difference.
macro_rules! on_each {
    ($module:ident: $($case:ident)*) => {
        $(on! {
            $module $case:
                embedded Embedded
                local Local
                redis Redis
        })*
    };
}

macro_rules! contract {
    ($($module:ident: $($case:ident)*;)*) => {
        $($(on! {
            $module $case:
                embedded Embedded
                local Local
                redis Redis
                redis_6_2 Oldest
                valkey Valkey
                redis_with_tls Tls
                redis_with_sentinels Sentinel
                redis_cluster Cluster
        })*)*
    };
}

contract! {
    cases:
        a_change_is_done_whole_or_not_at_all
        a_store_that_lost_what_a_change_follows_is_not_changed
        of_many_changes_to_one_version_one_wins
        first_sight_on_many_replicas_makes_one_client
        epochs_have_no_gaps_and_each_has_one_event
        an_absent_record_is_none
        a_refused_record_is_an_error_and_holds_up_no_other
        a_record_that_is_not_authentic_is_refused
        what_is_written_reads_back_to_the_letter
        a_load_and_the_events_after_it_give_the_present
        following_wakes_with_the_change
        following_waits_no_longer_than_told
        events_that_are_no_longer_kept_are_a_gap
        another_history_is_told_whatever_its_numbers
        a_long_way_behind_is_caught_up_in_order;
    select:
        everything_of_one_client_is_selected_and_nothing_else
        what_is_given_to_a_client_meanwhile_is_selected
        phases_are_selected
        what_is_damaged_of_others_hinders_no_selection;
    activity:
        sightings_keep_the_latest_and_make_no_event
        a_credential_keeps_its_last_use_and_where_it_came_from
        a_batch_that_is_told_again_counts_once
        counts_add_up_over_clients_days_and_writers
        only_the_days_that_are_kept_are_counted
        what_a_brownout_spent_is_counted_by_version
        a_large_batch_is_taken;
    mailbox:
        a_mailbox_changes_whole_or_not_at_all
        of_many_who_change_a_mailbox_one_does;
    replicas:
        each_gateway_is_heard_of_with_what_it_told_last;
    damage:
        what_is_damaged_of_what_was_seen_holds_up_nothing_else
        damage_that_names_nobody_is_told_of;
    reseal:
        every_record_is_signed_anew_while_others_change_them;
    directory:
        a_directory_loads_and_follows
        catching_up_sees_a_change_of_another_at_once
        a_directory_that_fell_behind_the_kept_events_loads_again
        catching_up_survives_that_the_asker_goes_away
        what_a_client_has_is_read_with_all_that_it_was_given;
    phases:
        o12_retiring_and_undoing_it_changes_nothing;
}

on! {
    death what_was_acknowledged_survives_a_kill:
        embedded Embedded
        local Local
        redis Redis
}

on! {
    activity what_is_asked_for_outlasts_the_hour:
        redis Redis
        redis_6_2 Oldest
        redis_cluster Cluster
}

on! {
    down a_store_that_is_down_is_unavailable_and_comes_back:
        local Local
        redis Redis
        redis_with_tls Tls
        redis_with_sentinels Sentinel
        redis_cluster Cluster
}

on_each! {
    backup:
        a_backup_brings_everything_back_to_the_letter
        an_older_backup_revives_nothing
        what_an_export_of_changes_revokes_is_never_alive
        what_was_given_back_since_stays_given_back
        a_restore_loosens_no_phase_silently
        a_day_counts_once
}

//! `install` and `uninstall` against a real dockerd and real containerds, and the words of both
//! commands.
//!
//! Each of dockerd's tests starts a dockerd of its own: its data, sockets, pid and configuration
//! are in a directory of its own, so the machine's dockerd (and any other test's) is neither seen
//! nor touched. Needs root, dockerd and docker, or containerd.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests start the program itself, dockerd and docker"
)]

mod containerd;
mod docker;
mod dockerd;
mod drop_in;
mod here;
mod kubernetes;
mod nodes;
mod real_containerd;
mod words;

use libtest_mimic::Arguments;
use test_support::needs::Needs;

fn main() {
    let trial_if = |needs: Needs| {
        move |name: &str, test: fn()| {
            needs.trial(name, move || {
                test();
                Ok(())
            })
        }
    };
    let root_and = |what: &str, is_there: fn() -> bool| {
        trial_if(Needs::root().and(|| Needs::new(what, is_there())))
    };
    let of_root = trial_if(Needs::root());
    let trial = root_and("dockerd and docker", dockerd::can_run);
    let of_containerd = root_and("containerd and nsenter", real_containerd::can_run);
    let of_newer = root_and("a newer containerd", real_containerd::can_run_newer);
    let trials = vec![
        trial(
            "dockerd_offers_the_runtime_after_install_and_not_after_uninstall",
            docker::offers_the_runtime,
        ),
        trial(
            "runtimes_of_the_command_line_are_not_lost_to_a_reload",
            docker::keeps_flagged_runtimes,
        ),
        trial(
            "a_dockerd_with_dns_on_its_command_line_still_starts",
            docker::keeps_dns_flag,
        ),
        trial(
            "the_default_runtime_of_the_command_line_is_not_removed",
            docker::keeps_flagged_default,
        ),
        trial(
            "a_default_runtime_counts_at_once_and_is_given_back",
            docker::sets_the_default,
        ),
        trial(
            "a_purge_leaves_nothing_and_waits_for_containers_that_were_never_started",
            docker::purges,
        ),
        trial(
            "the_command_tells_each_step_and_is_idempotent",
            docker::command_for_real,
        ),
        trial("a_dry_run_changes_nothing", docker::dry_run),
        trial(
            "a_malformed_file_is_left_alone_with_code_1",
            docker::malformed,
        ),
        of_root(
            "a_binary_that_others_could_replace_is_refused",
            words::replaceable,
        ),
        of_root("only_root_may_install", words::not_root),
        of_root("wrong_words_give_code_2", words::usage),
        of_root(
            "the_command_for_podman_and_crio_tells_each_step_and_is_idempotent",
            drop_in::command_for_real,
        ),
        of_containerd(
            "containerd_offers_the_runtime_and_all_else_is_untouched",
            containerd::older_offers,
        ),
        of_newer(
            "a_newer_containerd_offers_the_runtime_and_all_else_is_untouched",
            containerd::newer_offers,
        ),
        of_containerd(
            "containerds_new_file_keeps_its_defaults",
            containerd::new_file,
        ),
        of_containerd(
            "the_command_for_containerd_tells_each_step_and_is_idempotent",
            containerd::command_for_real,
        ),
        of_containerd(
            "a_malformed_file_of_containerds_is_left_alone_with_its_line",
            containerd::malformed,
        ),
        of_root("what_the_page_says_of_nodes_holds", nodes::rows_hold),
        of_containerd("a_node_is_prepared_and_left_as_it_was", kubernetes::node),
        of_containerd(
            "kubernetes_objects_are_printed_or_handed_to_kubectl",
            kubernetes::kubectl,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

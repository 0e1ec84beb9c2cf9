//! What is tried against a jail: rows of SECURITY.md, each with the test of `tests/jail` or `tests/vm`
//! that makes the attempt, in the jail and without it.

/// An attack on a jail.
#[derive(Debug)]
pub struct Attack {
    /// The suite that makes it.
    pub suite: &'static str,
    /// Its test there, with its group.
    pub test: &'static str,
    /// What is attempted, for people.
    pub attack: &'static str,
    /// Why it fails.
    pub defence: &'static str,
    /// By whom, in which types.
    pub tried: &'static str,
}

const ALL: &str = "root, root with `--no-user-namespace`, and a user without rights, in `nsjail`; root and that user in `notify`";
const BOTH: &str = "root and a user without rights, in `nsjail` and in `notify`";
const BOTH_AND_WITHOUT_LANDLOCK: &str =
    "root and a user without rights, in `nsjail` and in `notify`, there with Landlock and without";
const SUPERVISED: &str = "root and a user without rights, in `notify`, with Landlock and without";

const fn attack(
    test: &'static str,
    attack: &'static str,
    defence: &'static str,
    tried: &'static str,
) -> Attack {
    Attack {
        suite: "jail",
        test,
        attack,
        defence,
        tried,
    }
}

/// All of them, in SECURITY.md's order.
pub const ATTACKS: &[Attack] = &[
    attack(
        "supervised::nothing_that_is_sent_any_other_way_arrives",
        "some ninety ways to send: TCP, MPTCP, SMC and SCTP, each with TCP Fast Open by sendto, sendmsg, sendmmsg; Fast Open by an option; a device or its number unbound; connected anew; UDP four ways, UDP-Lite, raw, IPv4 in IPv6's clothes",
        "in `nsjail` every address is the jail's own, and captured; in `notify` no other sockets exist, TCP's are tied to the loopback, and UDP's are Unix sockets",
        BOTH_AND_WITHOUT_LANDLOCK,
    ),
    attack(
        "supervised::there_are_no_other_families_of_sockets",
        "every family, type and protocol of sockets, netlink's too; io_uring; the calls of x32 and of 32-bit programs",
        "a list of what exists, by registers that nobody can change",
        "root and a user without rights, in `notify`",
    ),
    attack(
        "walls::families_and_calls_past_the_filter_are_shut",
        "AF_VSOCK, Bluetooth, CAN, AF_ALG, AF_XDP and others, raw and packet sockets, io_uring, x32, words put into the terminal",
        "no capability over networks; a seccomp filter",
        ALL,
    ),
    attack(
        "supervised::an_address_that_is_changed_meanwhile_leads_nowhere",
        "8,000 connects to an address that a thread changes between an allowed and a denied one; a supervisor that looks and lets the kernel go on loses",
        "what is judged is what is connected to: one copy of the address",
        BOTH_AND_WITHOUT_LANDLOCK,
    ),
    attack(
        "supervised::a_descriptor_that_is_changed_meanwhile_leads_nowhere",
        "8,000 connects of a descriptor that is a Unix socket's and a TCP socket's by turns; a supervisor that lets Unix sockets pass loses",
        "the supervisor connects its own descriptor of the socket that it made",
        BOTH_AND_WITHOUT_LANDLOCK,
    ),
    attack(
        "attacks::who_stalls_its_supervisor_opens_nothing",
        "40 connects to an address in a page that isn't filled (userfaultfd), later with a denied one",
        "each call that waits has a thread of its own; what was read at last is judged",
        "root, in `notify`, with Landlock and without (a user may not open what it takes)",
    ),
    attack(
        "attacks::who_stalls_all_of_its_supervisor_harms_itself_alone",
        "the same by 100 calls, more than a supervisor has threads: its own later calls wait; other jails don't, and this one ends when it is to",
        "each jail has a supervisor of its own; who reads what will never be there is killed with the rest",
        "root, in `notify`",
    ),
    attack(
        "attacks::a_socket_that_was_handed_over_connects_nowhere",
        "a service outside, whose socket was opened by `--allow-socket`, hands a fresh TCP socket over, to be connected",
        "what the supervisor didn't make it doesn't connect",
        SUPERVISED,
    ),
    attack(
        "attacks::another_socket_at_an_allowed_path_is_shut",
        "an engine's socket put where `--allow-socket` opened an agent's: by a link, a hard link, another name, a folder in the place of its own",
        "what a path stands for that the command can change is found out before it runs: that very file, which is kept open",
        ALL,
    ),
    attack(
        "attacks::inherited_sockets_are_closed_or_refused",
        "a socket of the network's among the descriptors, or as standard input",
        "closed before anything is run, or nothing is run",
        ALL,
    ),
    attack(
        "attacks::filter_and_jail_are_out_of_its_reach",
        "ptrace, `/proc/PID/mem` for reading and writing, environ, root, descriptors, namespaces and pidfd_getfd of the jail's own processes",
        "they are closed to others of their user; in `nsjail` another user namespace is between them",
        "root, root with `--no-user-namespace`, and a user without rights, in `nsjail`; root and that user in `notify`, with Landlock and without",
    ),
    attack(
        "attacks::its_policy_stays_what_it_was_at_the_start",
        "its own policy's file, written to by itself; then `policy reload`, `apply`, and `approve` of what it was denied",
        "the file is read once, before anything runs, and nothing of the jail's can be asked for a change",
        ALL,
    ),
    attack(
        "walls::sockets_of_resolvers_buses_and_engines_are_hidden",
        "Unix sockets of systemd-resolved, D-Bus, systemd, Docker and of the user's own bus",
        "judged by the file that is connected to; in `nsjail` hidden by mounts, too",
        ALL,
    ),
    attack(
        "supervised::unix_sockets_of_others_are_shut",
        "Unix sockets by path, by a name, by a link and through /proc",
        "the kernel tells whose socket a file is; only the command's own are open",
        "root and a user without rights, in `notify`",
    ),
    Attack {
        suite: "vm",
        ..attack(
            "jail::name_services_lead_nowhere_else",
            "names with data in them, asked of systemd-resolved by nss-resolve, by varlink and over D-Bus, on Debian 13",
            "as above: they fall back to DNS, which is the filter's",
            BOTH,
        )
    },
    Attack {
        suite: "vm",
        ..attack(
            "jail::systemd_runs_nothing_for_it",
            "systemd-run: the system's manager as root, the user's own as a user",
            "as above",
            BOTH,
        )
    },
    Attack {
        suite: "vm",
        ..attack(
            "jail::the_kernel_runs_nothing_for_it",
            "a key that is looked up by a program that the kernel runs on the host (`request_key`; for `dns_resolver` by the host's name servers)",
            "a seccomp filter; containers have the same, whatever their profile (`vm`, `filter::the_kernel_runs_nothing_on_the_host_for_it`)",
            BOTH,
        )
    },
    attack(
        "walls::settings_of_the_kernel_are_read_only_to_root",
        "core_pattern and other settings by which root has the kernel run programs, also through mounts of its own",
        "/proc and /sys are read-only; where that could be undone, no user namespace can be made",
        ALL,
    ),
    attack(
        "walls::its_rules_links_and_routes_are_not_its_own",
        "nft, ip link and ip route, in its user namespace and in one of its own",
        "no capability over its network namespace, and no way to one",
        ALL,
    ),
    attack(
        "walls::other_namespaces_are_not_open",
        "setns to every network and user namespace that /proc and /run/netns show",
        "no right over them; /run/netns is hidden",
        ALL,
    ),
    attack(
        "supervised::a_server_on_localhost_is_reached_by_its_own_alone",
        "the host's servers on localhost, by another address with its own server's port; listen without bind; the loopback's tie undone",
        "listeners are known by their sockets' numbers; the tie takes a capability to undo",
        "root and a user without rights, in `notify`",
    ),
];

/// Panics unless the attacks of a suite are among its tests.
pub fn must_be_tests_of(suite: &str, tests: &[String]) {
    for attack in ATTACKS.iter().filter(|attack| attack.suite == suite) {
        assert!(
            tests.iter().any(|test| test == attack.test),
            "SECURITY.md names {}, and there is no such test",
            attack.test
        );
    }
}

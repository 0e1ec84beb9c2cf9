//! `boundary-shim jail` on a real system: where it works, and what would lead out of it there: systemd, its
//! resolver and its bus.
//!
//! The last of these tests leaves `kernel.yama.ptrace_scope` at 3, as only a restart leads back: no test
//! behind it may want to trace anything.

use test_support::command::Answer;
use test_support::jail_doctor::{self, Said};
use test_support::jail_rows::{self, Caller, Outcome, Row, Setting};

use crate::Test;
use crate::machine::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("containers_under_apparmor_are_as_the_page_says", containers),
    ("name_services_lead_nowhere_else", name_services),
    ("systemd_runs_nothing_for_it", service_manager),
    ("the_kernel_runs_nothing_for_it", upcalls),
    ("hosts_are_as_the_page_says", hosts),
];

fn containers(machine: &Machine) {
    let profile = "/root/nsjail.json";
    machine
        .run(&format!("boundary-shim gen-seccomp --output {profile}"))
        .must_succeed();
    for row in jail_rows::ROWS {
        let Setting::ConfinedContainer(container) = row.setting else {
            continue;
        };
        for caller in row.callers {
            let flags = container.flags_for(*caller, profile).join(" ");
            let program = "-v /usr/local/bin/boundary-shim:/usr/local/bin/boundary-shim:ro";
            let run_with = |flags: &str, script: &str| {
                machine.container(container.runtime, &format!("{program} {flags}"), script)
            };
            each_type(row, *caller, |script| run_with(&flags, script));
            if let Outcome::Refuses { .. } = row.nsjail {
                let flags = container.flags_for(*caller, profile);
                let lines = Said::followed(row, flags, profile, |flags, script| {
                    run_with(&flags.join(" "), script)
                });
                assert_eq!(lines, ["--security-opt apparmor=boundary-default"]);
            }
        }
    }
}

fn each_type(row: &Row, caller: Caller, run: impl Fn(&str) -> Answer) {
    let doctor = Said::of(&run(jail_doctor::SCRIPT));
    for jail_type in jail_doctor::TYPES {
        let outcome = row.outcome(jail_type);
        if outcome != Outcome::NotMeant {
            let answer = run(&row.script(jail_type));
            let what = format!("{}, {caller:?}, {jail_type}", row.place);
            outcome.must_be(&answer, &what);
            doctor.must_agree(row, jail_type, &answer, &what);
        }
    }
}

/// On the machine itself.
fn run_as(machine: &Machine, caller: Caller, script: &str) -> Answer {
    machine.write("/tmp/script", script);
    let who = match caller {
        Caller::Root => "",
        Caller::User => "setpriv --reuid 1777 --regid 1777 --clear-groups",
    };
    machine.run(&format!("cd /var/tmp && {who} sh /tmp/script"))
}

fn hosts(machine: &Machine) {
    for row in jail_rows::ROWS {
        let Setting::Host(setting) = row.setting else {
            continue;
        };
        machine.run(&format!("sysctl -w {setting}")).must_succeed();
        for caller in row.callers {
            each_type(row, *caller, |script| run_as(machine, *caller, script));
        }
        if setting.starts_with("user.") {
            let automatic = "boundary-shim jail --log auto-$(id -u).jsonl -- echo run";
            let answer = run_as(machine, Caller::User, automatic);
            assert_eq!(answer.stdout, "run\n", "{answer:?}");
            assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
            assert!(
                answer
                    .stderr
                    .contains("jailed by notify: nsjail can't be had here")
                    && answer.stderr.contains("user.max_user_namespaces"),
                "{answer:?}"
            );
            machine
                .run("sysctl -w user.max_user_namespaces=11000")
                .must_succeed();
        }
    }
    machine.restore();
}

/// Everybody who starts a jail here, by each type.
fn all_jails(mut each: impl FnMut(Caller, &'static str)) {
    for caller in [Caller::Root, Caller::User] {
        for jail_type in jail_rows::TYPES {
            each(caller, jail_type);
        }
    }
}

fn jailed(machine: &Machine, caller: Caller, jail_type: &str, script: &str) -> Answer {
    machine.write("/tmp/jailed", script);
    let jail = format!(
        "boundary-shim jail --jail-type {jail_type} --log r-$(id -u).jsonl --allow domain=allowed.test -- sh /tmp/jailed"
    );
    run_as(machine, caller, &jail)
}

/// Every way to have a name looked up by somebody else: each name's first label says which way it was.
fn lookups(label: &str) -> String {
    format!(
        "getent hosts allowed.test
         getent ahosts {label}-nss.denied.test
         timeout 20 resolvectl query {label}-varlink.denied.test
         timeout 20 busctl call org.freedesktop.resolve1 /org/freedesktop/resolve1 \
         org.freedesktop.resolve1.Manager ResolveHostname isit 0 {label}-bus.denied.test 0 0
         true"
    )
}

/// What of these names is on the wire to the internet while something runs.
fn on_the_wire(machine: &Machine, label: &str, run: impl FnOnce()) -> Vec<&'static str> {
    machine
        .run("systemd-run --quiet --unit capture tcpdump -i internet -U --immediate-mode -w /root/names.pcap")
        .must_succeed();
    machine.waits_for(
        "the capture",
        "journalctl -u capture | grep -q 'listening on'",
    );
    run();
    // What was sent before this is in the file before it.
    let mark = format!("mark-{label}");
    machine.run(&format!("resolvectl query {mark}.denied.test"));
    machine.waits_for("the mark", &format!("grep -qa {mark} /root/names.pcap"));
    machine.run("systemctl stop capture").must_succeed();
    let seen = |way: &&str| {
        machine
            .run(&format!("grep -qa -e {label}-{way} /root/names.pcap"))
            .code
            == 0
    };
    let ways = ["nss", "varlink", "bus"];
    ways.into_iter().filter(seen).collect()
}

fn name_services(machine: &Machine) {
    machine
        .run("grep -q '^hosts:.*resolve' /etc/nsswitch.conf")
        .must_succeed();
    let user = Account::made(machine);
    for caller in [Caller::Root, Caller::User] {
        let label = format!("bare{caller:?}").to_lowercase();
        let seen = on_the_wire(machine, &label, || {
            run_as(machine, caller, &lookups(&label));
        });
        assert_eq!(
            seen,
            ["nss", "varlink", "bus"],
            "without a jail, {caller:?}"
        );
    }
    all_jails(|caller, jail_type| {
        let label = format!("{jail_type}{caller:?}").to_lowercase();
        let mut said = None;
        let seen = on_the_wire(machine, &label, || {
            said = Some(jailed(machine, caller, jail_type, &lookups(&label)));
        });
        let said = said.expect("it ran");
        assert!(seen.is_empty(), "{label}: {seen:?}: {said:?}");
        assert!(said.stdout.contains("allowed.test"), "{label}: {said:?}");
    });
    drop(user);
}

/// As root the system's, as a user the user's own.
fn service_manager(machine: &Machine) {
    let user = Account::made(machine);
    machine.run("loginctl enable-linger jailed").must_succeed();
    machine.waits_for(
        "the user's manager",
        "systemctl is-active user@1777.service && test -S /run/user/1777/systemd/private",
    );
    // By its private socket, which needs no message bus.
    let script = "export XDG_RUNTIME_DIR=/run/user/$(id -u)
         [ $(id -u) = 0 ] || own=--user
         rm -f page-$(id -u)
         systemd-run $own --no-block curl -sS -m 20 -o $PWD/page-$(id -u) http://denied.test/";
    for caller in [Caller::Root, Caller::User] {
        run_as(machine, caller, script).must_succeed();
        machine.waits_for(
            "the page",
            &format!("grep 'I am denied.test' /var/tmp/page-{}", id(caller)),
        );
    }
    all_jails(|caller, jail_type| {
        let said = jailed(machine, caller, jail_type, script);
        assert_ne!(said.code, 0, "{jail_type}, {caller:?}: {said:?}");
        assert!(
            said.stderr.contains("Failed"),
            "{jail_type}, {caller:?}: {said:?}"
        );
        let page = machine.run(&format!("cat /var/tmp/page-{}", id(caller)));
        assert_ne!(page.code, 0, "{page:?}");
    });
    drop(user);
}

fn upcalls(machine: &Machine) {
    let helper = Helper::of_the_kernels(machine);
    // Who isn't root can't read where it is.
    machine
        .run("install -m 755 bed/bin/attacker /usr/local/bin/")
        .must_succeed();
    // Another one each time: the kernel remembers for a while which isn't to be had.
    let ask = |label: &str| format!("attacker request-key {label}");
    for caller in [Caller::Root, Caller::User] {
        let said = run_as(machine, caller, &ask(&format!("{caller:?}")));
        assert_eq!(helper.calls(), 1, "without a jail, {caller:?}: {said:?}");
    }
    all_jails(|caller, jail_type| {
        let script = ask(&format!("{caller:?}-{jail_type}"));
        let said = jailed(machine, caller, jail_type, &script);
        assert_eq!(said.stdout, "EPERM\n", "{jail_type}, {caller:?}: {said:?}");
        assert_eq!(helper.calls(), 0, "{jail_type}, {caller:?}");
    });
    machine.run("rm /usr/local/bin/attacker");
}

/// What the kernel runs on the host for whoever asks for a key, wherever that is.
pub(crate) struct Helper<'machine>(&'machine Machine);

impl<'machine> Helper<'machine> {
    /// Before the kernel's own is there, which keyutils brings.
    pub(crate) fn of_the_kernels(machine: &'machine Machine) -> Self {
        machine.write(
            "/usr/sbin/request-key",
            "#!/bin/sh\necho called >>/root/calls\n",
        );
        machine
            .run("chmod 755 /usr/sbin/request-key")
            .must_succeed();
        Self(machine)
    }

    /// How often it was called since this was asked last: the kernel waits for it, and so did the caller.
    pub(crate) fn calls(&self) -> usize {
        let calls = self.0.run("cat /root/calls; rm -f /root/calls");
        calls.stdout.lines().count()
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        self.0.run("rm -f /usr/sbin/request-key /root/calls");
    }
}

/// Who has no right, as systemd and the message bus want to know everybody.
struct Account<'machine>(&'machine Machine);

impl<'machine> Account<'machine> {
    fn made(machine: &'machine Machine) -> Self {
        machine
            .run("useradd --uid 1777 --create-home jailed")
            .must_succeed();
        Self(machine)
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.0.run(
            "loginctl disable-linger jailed; loginctl terminate-user jailed; \
             until userdel --remove jailed; do pkill -KILL -u 1777; sleep 0.2; done",
        );
    }
}

fn id(caller: Caller) -> u32 {
    match caller {
        Caller::Root => 0,
        Caller::User => 1777,
    }
}

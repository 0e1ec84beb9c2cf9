//! How libseccomp joins rules, held down: the patch is written against these ways, and the check is
//! there because of them.

use super::*;
use crate::seccomp::proof::cbpf::Call;
use crate::seccomp::proof::interpreter::evaluate;
use proptest::prelude::*;
use serde_json::{Value, json};

const USER: u64 = 0x1000_0000;
const USER_AND_NET: u64 = 0x5000_0000;
const PLAIN: u64 = 0x11;

fn filter(default: &str, architectures: &[&str], rules: &[Value]) -> Filter {
    let json = json!({"defaultAction": default, "architectures": architectures, "syscalls": rules});
    Filter::read(&json).unwrap()
}

fn always(action: &str, errno: u16) -> Value {
    json!({"names": ["clone"], "action": action, "errnoRet": errno})
}

fn masked(action: &str, errno: u16, mask: u64, value: u64) -> Value {
    let condition =
        json!({"index": 0, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"});
    json!({"names": ["clone"], "action": action, "errnoRet": errno, "args": [condition]})
}

/// What x86_64's program says of a call by name.
fn says(program: &Program, name: &str, arguments: [u64; 6]) -> Action {
    let machine = judged("SCMP_ARCH_X86_64");
    let number = machine.number(name).unwrap();
    evaluate(
        program,
        &Call {
            number,
            architecture: machine.word,
            arguments,
            ..Call::default()
        },
    )
    .unwrap()
}

fn judged(name: &str) -> Machine {
    judged_by(&filter("SCMP_ACT_ERRNO", &[name], &[]))[0]
}

/// What becomes of `clone` with these flags under these rules.
fn clone(rules: &[Value], flags: u64) -> Action {
    let program = compile(&filter("SCMP_ACT_ERRNO", &["SCMP_ARCH_X86_64"], rules)).unwrap();
    says(&program, "clone", [flags, 0, 0, 0, 0, 0])
}

#[test]
fn the_first_rule_without_conditions_wins_and_swallows_all_others() {
    let allow_some = || masked("SCMP_ACT_ALLOW", 0, 0x2e02_0000, 0);
    let (allow, deny) = (
        || always("SCMP_ACT_ALLOW", 0),
        || always("SCMP_ACT_ERRNO", 22),
    );
    for flags in [PLAIN, USER, USER_AND_NET] {
        for rules in [
            [allow_some(), deny()],
            [deny(), allow_some()],
            [deny(), allow()],
        ] {
            assert_eq!(clone(&rules, flags), Action::Errno(22), "{rules:?}");
        }
        for rules in [
            [allow(), deny()],
            [allow(), masked("SCMP_ACT_ERRNO", 22, USER, USER)],
        ] {
            assert_eq!(clone(&rules, flags), Action::Allow, "{rules:?}");
        }
        assert_eq!(
            clone(&[masked("SCMP_ACT_ERRNO", 22, USER, USER), allow()], flags),
            Action::Allow
        );
    }
}

#[test]
fn rules_with_overlapping_conditions_are_ordered_by_libseccomp() {
    let allow = masked("SCMP_ACT_ALLOW", 0, 0x7e02_0000, USER_AND_NET);
    let deny = masked("SCMP_ACT_ERRNO", 22, USER, USER);
    for rules in [[allow.clone(), deny.clone()], [deny, allow]] {
        assert_eq!(clone(&rules, USER_AND_NET), Action::Allow);
        assert_eq!(clone(&rules, USER), Action::Errno(22));
        assert_eq!(clone(&rules, PLAIN), Action::Errno(1));
    }
}

#[test]
fn the_same_conditions_with_another_action_are_refused_and_with_the_same_one_are_not() {
    let rule = |action| masked(action, 22, 0x7e02_0000, 0);
    let twice = filter(
        "SCMP_ACT_ERRNO",
        &[],
        &[rule("SCMP_ACT_ALLOW"), rule("SCMP_ACT_ERRNO")],
    );
    assert_eq!(
        compile(&twice).unwrap_err().to_string(),
        "syscalls[1].names[0] (\"clone\"): an earlier rule has the same conditions and another action"
    );
    assert_eq!(
        clone(&[rule("SCMP_ACT_ALLOW"), rule("SCMP_ACT_ALLOW")], PLAIN),
        Action::Allow
    );
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let of = |value: u64| json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
    let rules = [json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [of(1), of(2)]})];
    let verdicts = [1, 2, 3].map(|flags| clone(&rules, flags));
    assert_eq!(verdicts, [Action::Allow, Action::Allow, Action::Errno(1)]);
}

#[test]
fn a_rule_with_the_default_verdict_is_no_rule() {
    // With the default's error it protects nothing; with another one it is there, and first.
    let late = always("SCMP_ACT_ALLOW", 0);
    assert_eq!(
        clone(&[always("SCMP_ACT_ERRNO", 1), late.clone()], PLAIN),
        Action::Allow
    );
    assert_eq!(
        clone(&[always("SCMP_ACT_ERRNO", 2), late], PLAIN),
        Action::Errno(2)
    );
}

#[test]
fn rules_with_conditions_and_the_same_verdict_add_up() {
    let rules = [
        masked("SCMP_ACT_ALLOW", 0, 0x7e02_0000, 0),
        masked("SCMP_ACT_ALLOW", 0, 0x2e02_0000, 0),
    ];
    let verdicts = [PLAIN, USER_AND_NET, 0x2_0000].map(|flags| clone(&rules, flags));
    assert_eq!(verdicts, [Action::Allow, Action::Allow, Action::Errno(1)]);
}

#[test]
fn unknown_names_are_passed_over() {
    let names = ["no_such_call", "clone", &"x".repeat(100), "clone\0"];
    let rules = [json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    assert_eq!(clone(&rules, PLAIN), Action::Allow);
}

#[test]
fn calls_of_unnamed_architectures_kill_but_the_machines_own_are_judged() {
    let own = arch::own().unwrap();
    let other = if own == judged("SCMP_ARCH_RISCV64") {
        "SCMP_ARCH_AARCH64"
    } else {
        "SCMP_ARCH_RISCV64"
    };
    let program = compile(&filter(
        "SCMP_ACT_ERRNO",
        &[other],
        &[always("SCMP_ACT_ALLOW", 0)],
    ))
    .unwrap();
    let says = |architecture, number| {
        evaluate(
            &program,
            &Call {
                number,
                architecture,
                ..Call::default()
            },
        )
        .unwrap()
    };
    for machine in [own, judged(other)] {
        assert_eq!(
            says(machine.word, machine.number("clone").unwrap()),
            Action::Allow
        );
        assert_eq!(says(machine.word, 9999), Action::Errno(1));
    }
    assert_eq!(says(7, 9999), Action::KillThread);
}

/// It also shows that the arch words and numbers of `machine` are libseccomp's, and that programs
/// of the other byte order are read in it.
#[test]
fn every_architecture_that_libseccomp_knows_gets_its_program() {
    let mut unknown = Vec::new();
    for name in [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "LOONGARCH64",
        "M68K",
        "MIPS",
        "MIPSEL",
        "MIPS64",
        "MIPSEL64",
        "MIPS64N32",
        "MIPSEL64N32",
        "PARISC",
        "PARISC64",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "RISCV64",
        "SHEB",
        "SH",
    ] {
        let name = format!("SCMP_ARCH_{name}");
        let condition = json!({"index": 2, "value": 0x1_0000_0000_u64, "op": "SCMP_CMP_GE"});
        let rule = json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [condition]});
        match compile(&filter(
            "SCMP_ACT_ERRNO",
            &[&name],
            &[rule, json!({"names": ["mount"], "action": "SCMP_ACT_LOG"})],
        )) {
            Err(fault) => unknown.push(fault),
            Ok(program) => {
                let machine = judged(&name);
                let says = |call: &str, third| {
                    let number = machine.number(call).unwrap();
                    let arguments = [0, 0, third, 0, 0, 0];
                    evaluate(
                        &program,
                        &Call {
                            number,
                            architecture: machine.word,
                            arguments,
                            instruction_pointer: 0,
                        },
                    )
                };
                assert_eq!(says("mount", 0), Ok(Action::Log), "{name}");
                assert_eq!(says("umount2", 0), Ok(Action::Errno(1)), "{name}");
                let wide = machine.word & 0x8000_0000 != 0
                    && !name.contains("N32")
                    && name != "SCMP_ARCH_X32";
                if wide {
                    assert_eq!(says("clone", 0xffff_ffff), Ok(Action::Errno(1)), "{name}");
                    assert_eq!(says("clone", 0x1_0000_0000), Ok(Action::Allow), "{name}");
                }
            }
        }
    }
    for fault in unknown {
        let told = fault.to_string();
        assert!(told.starts_with("architectures: SCMP_ARCH_"), "{told}");
        assert!(
            told.ends_with("is unknown to the libseccomp that is built in"),
            "{told}"
        );
    }
}

#[test]
fn architectures_of_two_byte_orders_are_refused() {
    let mixed = filter(
        "SCMP_ACT_ERRNO",
        &["SCMP_ARCH_S390X", "SCMP_ARCH_AARCH64"],
        &[],
    );
    assert!(
        compile(&mixed)
            .unwrap_err()
            .to_string()
            .contains("another byte order")
    );
}

#[test]
fn the_arguments_of_every_comparison_are_compared_as_they_should_be() {
    let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let values = [
        0,
        1,
        0x7fff_ffff,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0001,
        u64::MAX - 1,
        u64::MAX,
    ];
    for operator in operators {
        for value in values {
            let condition = json!({"index": 5, "value": value, "valueTwo": 1, "op": format!("SCMP_CMP_{operator}")});
            let rule = json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [condition]});
            let filter = filter("SCMP_ACT_KILL", &["SCMP_ARCH_X86_64"], &[rule]);
            let condition = filter.rules[0].conditions[0];
            let holds = |argument| match condition.test {
                // Bits of the value that are outside of the mask don't count for libseccomp.
                Test::Masked { mask, value } => argument & mask == value & mask,
                _ => condition.holds(argument),
            };
            let program = compile(&filter).unwrap();
            for argument in values {
                let verdict = if holds(argument) {
                    Action::Allow
                } else {
                    Action::KillThread
                };
                let said = says(&program, "clone", [0, 0, 0, 0, 0, argument]);
                assert_eq!(said, verdict, "{operator} {value:#x} {argument:#x}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_filter_panics(rules in prop::collection::vec(any_rule(), 0..12), default in any_action()) {
        let filter = filter(default, &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], &rules);
        if let Ok(program) = compile(&filter) {
            says(&program, "clone", [0; 6]);
        }
    }
}

fn any_action() -> impl Strategy<Value = &'static str> {
    let actions = [
        "ALLOW",
        "LOG",
        "ERRNO",
        "TRACE",
        "TRAP",
        "KILL",
        "KILL_PROCESS",
        "NOTIFY",
    ];
    prop::sample::select(
        actions
            .map(|action| format!("SCMP_ACT_{action}").leak() as &str)
            .to_vec(),
    )
}

fn any_rule() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "clone",
        "socket",
        "socketcall",
        "ipc",
        "no_such_call",
        "",
        "\0",
    ]);
    let operator = prop::sample::select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
    let condition = (0..6_u32, any::<u64>(), any::<u64>(), operator).prop_map(|(index, value, second, operator)| {
        json!({"index": index, "value": value, "valueTwo": second, "op": format!("SCMP_CMP_{operator}")})
    });
    let names = prop::collection::vec(
        names.prop_filter("files have none", |name| !name.is_empty()),
        0..4,
    );
    (names, any_action(), any::<u16>(), prop::collection::vec(condition, 0..4)).prop_map(
        |(names, action, errno, args)| json!({"names": names, "action": action, "errnoRet": errno, "args": args}),
    )
}

fn judged_names(named: &[&str]) -> Vec<&'static str> {
    let filter =
        Filter::read(&json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": named})).unwrap();
    judged_by(&filter)
        .into_iter()
        .map(|machine| machine.architecture.name())
        .collect()
}

#[test]
fn the_machines_own_calls_are_judged_whether_named_or_not() {
    let own = arch::own().unwrap().architecture.name();
    assert_eq!(judged_names(&[]), [own]);
    assert_eq!(judged_names(&[own, "SCMP_ARCH_NATIVE", own]), [own]);
    assert_eq!(
        judged_names(&["SCMP_ARCH_RISCV64"]),
        ["SCMP_ARCH_RISCV64", own]
    );
    assert_eq!(judged_names(&["SCMP_ARCH_S390X"]), ["SCMP_ARCH_S390X"]);
}

//! The check accepts what is narrow and refuses what isn't, on filters as engines write them.

use super::*;
use crate::seccomp::proof::interpreter::evaluate;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A small filter with all that Docker's has.
fn docker_like() -> Value {
    let first = |name: &str, operator: &str, value: u64| json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": value, "op": operator}]});
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["read", "write", "exit_group", "bind", "ipc", "fork"], "action": "SCMP_ACT_ALLOW"},
            first("socket", "SCMP_CMP_NE", 40),
            first("personality", "SCMP_CMP_EQ", 8),
            first("personality", "SCMP_CMP_EQ", 0xffff_ffff),
            first("clone", "SCMP_CMP_MASKED_EQ", 0x7e02_0000),
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    })
}

fn with(filter: &Value, rule: Value) -> Value {
    let mut filter = filter.clone();
    filter["syscalls"].as_array_mut().unwrap().push(rule);
    filter
}

fn allow(name: &str) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ALLOW"})
}

fn forbidding(name: &str, bits: u64) -> Value {
    let condition = json!({"index": 0, "value": bits, "op": "SCMP_CMP_MASKED_EQ"});
    json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]})
}

/// The rule that the reference experiments found to be the narrowest that works.
fn narrow() -> Value {
    forbidding("clone", 0x2e02_0000)
}

fn check(before: &Value, after: &Value, tier: Tier) -> Result<(), String> {
    let (before, after) = (Filter::read(before).unwrap(), Filter::read(after).unwrap());
    verify(&before, &after, tier).map_err(|refusal| {
        if let Unverified::Violation(found) = &refusal {
            is_so(&before, &found.call, found.before);
            is_so(&after, &found.call, found.after);
        }
        format!("{:#}", anyhow::Error::from(refusal))
    })
}

/// The program, run on the call, gives the verdict that was read out of it.
fn is_so(filter: &Filter, call: &Call, verdict: Action) {
    assert_eq!(evaluate(&compile(filter).unwrap(), call), Ok(verdict));
}

/// What is said where the narrow rule is there, and something else was done, too.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let before = docker_like();
    let mut after = with(&before, narrow());
    change(&mut after);
    check(&before, &after, Tier::Nsjail).expect_err("it was taken")
}

fn append(filter: &mut Value, rule: Value) {
    *filter = with(filter, rule);
}

#[test]
fn what_each_tier_grants_is_taken_and_less_and_more_are_not() {
    let base = docker_like();
    let rules = |tier: Tier| match tier {
        Tier::Nsjail => vec![narrow()],
        Tier::Unshare => vec![narrow(), forbidding("unshare", 0xafff_ffff)],
        Tier::Chromium => vec![
            forbidding("clone", 0x0e02_0000),
            forbidding("unshare", 0xefff_ffff),
        ],
        Tier::Bwrap => {
            let plain = ["clone", "mount", "umount2", "pivot_root"].map(allow);
            plain
                .into_iter()
                .chain([forbidding("unshare", 0xefff_ffff)])
                .collect()
        }
        Tier::Seed => vec![allow("clone")],
    };
    let patched = |tier| {
        rules(tier)
            .into_iter()
            .fold(base.clone(), |filter, rule| with(&filter, rule))
    };
    for tier in Tier::ALL {
        for patch in Tier::ALL {
            let outcome = check(&base, &patched(patch), tier);
            assert_eq!(
                outcome.is_ok(),
                patch == tier,
                "{} by the rules of {}: {outcome:?}",
                tier.name(),
                patch.name()
            );
        }
    }
}

#[test]
fn a_patch_that_does_nothing_is_refused() {
    assert_eq!(
        check(&docker_like(), &docker_like(), Tier::Nsjail).unwrap_err(),
        "the patched seccomp profile is wrong: x86_64 clone(0x40000000, 0x0, 0x0, 0x0, 0x0, 0x0) should be allowed; before: \
         error 1; after: error 1"
    );
}

#[test]
fn an_appended_rule_that_an_earlier_one_swallows_is_refused() {
    let mut before = docker_like();
    before["syscalls"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"names": ["clone"], "action": "SCMP_ACT_KILL"}));
    let told = check(&before, &with(&before, narrow()), Tier::Nsjail).unwrap_err();
    assert!(
        told.contains("clone(0x0, ") && told.contains("should be allowed"),
        "{told}"
    );
}

#[test]
fn more_than_the_tier_grants_is_refused() {
    let told = refusal(|after| append(after, allow("clone")));
    assert!(
        told.contains("x86_64 clone(0x2") && told.contains("should be as before"),
        "{told}"
    );
    let told = refusal(|after| append(after, allow("setns")));
    assert!(
        told.contains("x86_64 setns(0x0, 0x0, 0x0, 0x0, 0x0, 0x0) should be as before"),
        "{told}"
    );
    assert!(
        told.ends_with("; before: error 1; after: allowed"),
        "{told}"
    );
    // One argument value in 2^64, which no list of values to try would hold.
    let odd = json!({"index": 3, "value": 0x1234_5678_9abc_def0_u64, "op": "SCMP_CMP_EQ"});
    let told = refusal(|after| {
        append(
            after,
            json!({"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "args": [odd]}),
        )
    });
    assert!(
        told.contains("x86_64 bpf(0x0, 0x0, 0x0, 0x123456789abcdef0, 0x0, 0x0)"),
        "{told}"
    );
}

#[test]
fn another_error_number_is_refused() {
    let told = refusal(|after| after["syscalls"][5]["errnoRet"] = json!(1));
    assert!(
        told.contains("clone3(") && told.ends_with("before: error 38; after: error 1"),
        "{told}"
    );
    let told = refusal(|after| after["defaultErrnoRet"] = json!(2));
    assert!(told.ends_with("before: error 1; after: error 2"), "{told}");
    let told = refusal(|after| after["defaultAction"] = json!("SCMP_ACT_LOG"));
    assert!(told.ends_with("after: allowed and logged"), "{told}");
}

#[test]
fn a_dropped_or_added_architecture_is_refused() {
    let told =
        refusal(|after| after["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]));
    assert!(
        told.contains(": x86 ") && told.ends_with("after: the thread is killed"),
        "{told}"
    );
    let told =
        refusal(|after| after["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]));
    assert!(
        told.contains(": x32 ") && told.ends_with("after: the thread is killed"),
        "{told}"
    );
    let told = refusal(|after| {
        after["architectures"]
            .as_array_mut()
            .unwrap()
            .push(json!("SCMP_ARCH_AARCH64"))
    });
    assert!(
        told.contains(": aarch64 ") && told.contains("before: the thread is killed"),
        "{told}"
    );
    let told = refusal(|after| after["architectures"] = json!(["SCMP_ARCH_S390X"]));
    assert_eq!(
        told,
        "the patched seccomp profile is for other architectures"
    );
}

#[test]
fn a_rule_that_is_looser_on_one_smaller_architecture_only_is_refused() {
    // x86 has `socketcall`, which the other two don't; `bind` is one of its calls there.
    let told = refusal(|after| append(after, allow("socketcall")));
    assert!(told.contains(": x86 socketcall("), "{told}");
    let told = refusal(|after| append(after, allow("vm86")));
    assert!(told.contains(": x86 vm86("), "{told}");
}

#[test]
fn the_flags_are_where_the_architecture_has_them() {
    let base = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]});
    let with_index = |index: u32| {
        let mut rule = narrow();
        rule["args"][0]["index"] = json!(index);
        let mut filter = base.clone();
        filter["syscalls"] = json!([rule]);
        filter
    };
    assert_eq!(check(&base, &with_index(1), Tier::Nsjail), Ok(()));
    assert!(
        check(&base, &with_index(0), Tier::Nsjail)
            .unwrap_err()
            .contains("s390")
    );
}

#[test]
fn what_was_allowed_and_logged_may_stay_so() {
    let base = json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"]});
    assert_eq!(check(&base, &base, Tier::Bwrap), Ok(()));
    assert_eq!(
        check(
            &base,
            &with(
                &json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": []}),
                allow("clone")
            ),
            Tier::Seed
        ),
        Ok(())
    );
    let allowing = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []});
    let logging = with(
        &allowing,
        json!({"names": ["clone"], "action": "SCMP_ACT_LOG"}),
    );
    assert!(check(&allowing, &logging, Tier::Seed).is_err());
}

#[test]
fn a_filter_that_no_runtime_takes_is_named() {
    let told = refusal(|after| {
        append(
            after,
            json!({"names": ["clone"], "action": "SCMP_ACT_TRAP", "args": [
                {"index": 0, "value": 0x2e02_0000, "op": "SCMP_CMP_MASKED_EQ"},
            ]}),
        )
    });
    assert_eq!(
        told,
        "the patched seccomp profile makes no filter: syscalls[7].names[0] (\"clone\"): an earlier rule has the same \
         conditions and another action"
    );
}

/// The filters in real specifications, by the file's name; empty where they aren't there.
fn real_filters() -> Vec<(String, Value)> {
    let Some(folder) = crate::seccomp::real_data::folder("specs") else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).unwrap();
    let filters = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let spec: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_name()?.to_str()?.to_owned();
        spec.pointer("/linux/seccomp")
            .map(|seccomp| (name, seccomp.clone()))
    });
    filters.collect()
}

#[test]
fn the_narrow_rule_is_taken_after_every_real_filter() {
    for (name, before) in real_filters() {
        let outcome = check(&before, &with(&before, narrow()), Tier::Nsjail);
        // With CAP_SYS_ADMIN, `clone` is allowed already.
        assert_eq!(outcome, Ok(()), "{name}");
        let doubled = with(
            &with(&before, narrow()),
            json!({"names": ["kcmp"], "action": "SCMP_ACT_ALLOW"}),
        );
        let allowed = before.to_string().contains("\"kcmp\"");
        assert_eq!(
            check(&before, &doubled, Tier::Nsjail).is_ok(),
            allowed,
            "{name}"
        );
    }
}

proptest! {
    // Each is three programs.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the check says is what trying says: whatever rule is added, it is refused if one of
    /// many calls shows why.
    #[test]
    fn no_added_rule_loosens_or_tightens_unseen(
        name in prop::sample::select(vec!["clone", "unshare", "socket", "personality", "read", "bind", "setns"]),
        action in prop::sample::select(vec!["SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO"]),
        operators in prop::collection::vec((0..2_u32, prop::sample::select(vec!["EQ", "NE", "LT", "GE", "MASKED_EQ"]), any_value()), 0..3),
        tried in prop::collection::vec((any_value(), any_value()), 8),
    ) {
        let before = with(&docker_like(), narrow());
        let args: Vec<_> = operators.iter().map(|(index, operator, value)| {
            json!({"index": index, "value": value, "op": format!("SCMP_CMP_{operator}")})
        }).collect();
        let after = with(&before, json!({"names": [name], "action": action, "args": args}));
        let read = |filter: &Value| Filter::read(filter).unwrap();
        let Ok(program) = compile(&read(&after)) else { return Ok(()) };
        let taken = verify(&read(&before), &read(&after), Tier::Nsjail).is_ok();
        let was = compile(&read(&before)).unwrap();
        let near = operators.iter().flat_map(|(_, _, value)| [*value, value.wrapping_add(1), value.wrapping_sub(1)]);
        let near: Vec<u64> = near.collect();
        let pairs = near.iter().flat_map(|one| near.iter().map(|two| (*one, *two))).chain(tried);
        for machine in judged_by(&read(&before)) {
            let Some(number) = machine.number(name) else { continue };
            for (first, second) in pairs.clone() {
                let wide = machine.word & 0x8000_0000 != 0;
                let [first, second] = [first, second].map(|value| if wide { value } else { value & 0xffff_ffff });
                let arguments = [first, second, 0, 0, 0, 0];
                let call = Call { number, architecture: machine.word, arguments, ..Call::default() };
                let same = evaluate(&was, &call) == evaluate(&program, &call);
                prop_assert!(same || !taken, "{} {arguments:x?}", arch::describe(machine.word, number));
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = u64> {
    let flag = (0..64_u32).prop_map(|place| 1 << place);
    prop_oneof![
        0..3_u64,
        Just(40),
        Just(0x2e02_0000),
        Just(0x5000_0000),
        Just(0xffff_ffff),
        flag,
        any::<u64>()
    ]
}

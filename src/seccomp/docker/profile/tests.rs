//! Profiles as Go reads them, each case as dockerd 20.10.24 was seen to take it, and every fault
//! with its place.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Profile, String> {
    Profile::read(text.as_bytes()).map_err(|fault| fault.to_string())
}

fn fault(text: &str) -> String {
    read(text).expect_err(text)
}

/// A profile of one rule, with these members beside its action.
fn one(members: &str) -> String {
    format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"action":"SCMP_ACT_ALLOW",{members}}}]}}"#
    )
}

fn plain(text: &str) -> Value {
    read(text)
        .unwrap_or_else(|fault| panic!("{text}: {fault}"))
        .rules[0]
        .plain
        .clone()
}

#[test]
fn keys_may_stand_in_any_case() {
    let usual = read(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG"}]}"#,
    );
    let other = "{\"DefaultAction\":\"SCMP_ACT_ERRNO\",\"\u{17f}YSCALL\u{17f}\":[{\"NAMES\":[\"a\"],\"Action\":\"SCMP_ACT_LOG\"}]}";
    assert_eq!(read(other), usual);
    let kelvin = read(&one(
        "\"names\":[\"a\"],\"includes\":{\"min\u{212a}ernel\":\"4.8\"}",
    ))
    .unwrap();
    assert_eq!(kelvin.rules[0].conditions.includes.kernel, Some((4, 8)));
}

#[test]
fn of_two_equal_keys_the_last_counts() {
    assert_eq!(
        plain(&one(r#""names":["a"],"names":["b","c"]"#))["names"],
        json!(["b", "c"])
    );
    assert_eq!(
        plain(&one(r#""names":["a"],"action":"SCMP_ACT_LOG""#))["action"],
        "SCMP_ACT_LOG"
    );
    // The last by place, whatever the spelling.
    assert_eq!(
        plain(&one(r#""names":["a"],"NAMES":["b"],"names":["c"]"#))["names"],
        json!(["c"])
    );
    assert_eq!(
        plain(&one(r#""names":["a"],"names":["c"],"NAMES":["b"]"#))["names"],
        json!(["b"])
    );
}

/// dockerd makes of the first one: call `b` is logged, if its first argument is 1.
#[test]
fn what_go_would_mix_of_two_values_is_refused() {
    let rule = r#"{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}"#;
    let second = r#"[{"names":["b"],"action":"SCMP_ACT_LOG"}]"#;
    let twice = |key: &str| {
        format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rule}],"{key}":{second}}}"#)
    };
    assert_eq!(
        fault(&twice("syscalls")),
        "line 1 column 192: a key stands there twice, and Docker would mix the two values"
    );
    assert_eq!(
        fault(&twice("Syscalls")),
        "syscalls: stands there twice, and Docker would mix the two values"
    );
    // Here Go keeps the first, there it forgets it.
    fault(&one(r#""names":["a"],"action":null"#));
    fault(&one(r#""names":["a"],"NAMES":null"#));
    fault(&one(
        r#""names":["a"],"includes":{"caps":["X"]},"includes":{"arches":["amd64"]}"#,
    ));
    // Read into a kernel version, the empty string leaves the earlier one.
    fault(&one(
        r#""names":["a"],"includes":{"minKernel":"6.2","minKernel":""}"#,
    ));
    fault(&one(
        r#""names":["a"],"includes":{"minKernel":"6.2","MinKernel":""}"#,
    ));
}

#[test]
fn what_is_not_known_is_passed_over_and_kept() {
    let podmans = r#"{"x":{"Names":7,"names":8},"DEFAULTACTION":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"defaultErrno":"ENOSYS",
        "syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"errno":"EPERM","y":[null]}]}"#;
    let profile = read(podmans).unwrap();
    assert_eq!(
        profile.rules[0].plain,
        json!({"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1})
    );
    assert_eq!(profile.tree()["x"], json!({"Names": 7, "names": 8}));
    assert_eq!(profile.tree()["defaultErrno"], "ENOSYS");
    assert_eq!(profile.tree()["syscalls"][0]["y"], json!([null]));
    let keys: Vec<_> = profile.tree().as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "x",
            "defaultAction",
            "defaultErrnoRet",
            "defaultErrno",
            "syscalls"
        ]
    );
}

#[test]
fn null_is_nothing() {
    let nothing = r#""names":["a"],"name":null,"errnoRet":null,"args":null,"comment":null,"includes":null,"excludes":{"caps":null,"arches":null,"minKernel":null}"#;
    assert_eq!(
        read(&one(nothing)).unwrap().rules,
        read(&one(r#""names":["a"]"#)).unwrap().rules
    );
    let lists = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":null,"archMap":[null],"flags":null,"syscalls":null}"#;
    assert_eq!(read(lists).unwrap().rules, []);
}

#[test]
fn a_rule_is_written_as_go_writes_it() {
    let allow = |names: Value| json!({"names": names, "action": "SCMP_ACT_ALLOW"});
    assert_eq!(plain(&one(r#""comment":"no names""#)), allow(json!(null)));
    assert_eq!(plain(&one(r#""names":[],"args":[]"#)), allow(json!([])));
    assert_eq!(plain(&one(r#""name":"a","names":[]"#)), allow(json!(["a"])));
    assert_eq!(
        plain(&one(r#""name":"","names":["b"]"#)),
        allow(json!(["b"]))
    );
    assert_eq!(plain(&one(r#""names":["a"],"errnoRet":0"#))["errnoRet"], 0);
    let arguments = r#""names":["a"],"args":[{"index":1,"value":18446744073709551615,"valueTwo":0,"op":"SCMP_CMP_EQ","x":1},
        {"op":"SCMP_CMP_MASKED_EQ","valueTwo":2}]"#;
    let wanted = json!([{"index": 1, "value": u64::MAX, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": 0, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]);
    assert_eq!(plain(&one(arguments))["args"], wanted);
}

#[test]
fn nothing_at_all_means_no_filter() {
    for text in ["{}", r#"{"syscalls":[]}"#, r#"{"defaultAction":"","x":1}"#] {
        assert!(read(text).unwrap().is_unconfined(), "{text}");
    }
    for text in [
        r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#,
    ] {
        assert!(!read(text).unwrap().is_unconfined(), "{text}");
    }
}

#[test]
fn text_that_is_not_json_is_told_with_line_and_column() {
    assert_eq!(fault(""), "line 1 column 0: EOF while parsing a value");
    assert_eq!(
        fault("{\n  \"a\": 1,\n}"),
        "line 3 column 1: trailing comma"
    );
    assert_eq!(fault("{} x"), "line 1 column 4: trailing characters");
    assert_eq!(fault("{}{}"), "line 1 column 3: trailing characters");
    assert_eq!(
        fault(&"[".repeat(100_000)),
        "line 1 column 128: recursion limit exceeded"
    );
    assert_eq!(
        fault(&format!("{}{{}}", " ".repeat(LONGEST))),
        "profile: longer than 1048576 bytes"
    );
    assert!(Profile::read(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn what_docker_or_runc_refuses_is_told_with_place_and_cause() {
    for (text, told) in [
        ("[]", "profile: not an object"),
        ("null", "profile: not an object"),
        (r#"{"defaultAction":7}"#, "defaultAction: not a string"),
        (
            r#"{"architectures":["SCMP_ARCH_X86"],"archMap":[{}]}"#,
            "archMap: stands beside architectures; only one of them may",
        ),
        (r#"{"syscalls":{}}"#, "syscalls: not a list"),
        (r#"{"syscalls":[[]]}"#, "syscalls[0]: not an object"),
        (
            r#"{"syscalls":[{}]}"#,
            "defaultAction: an action (SCMP_ACT_…) is missing",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[null]}"#,
            "syscalls[0]: not an object",
        ),
        (
            r#"{"archMap":[{"subArchitectures":[7]}]}"#,
            "archMap[0].subArchitectures[0]: not a string",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","Architectures":["amd64"]}"#,
            "architectures[0]: \"amd64\" is not an architecture",
        ),
    ] {
        assert_eq!(fault(text), told, "{text}");
    }
    for (members, told) in [
        (
            r#""name":"a","names":["b"]"#,
            "syscalls[0].name: stands beside names; only one of them may",
        ),
        (
            r#""NAMES":["a"],"Action":"ALLOW""#,
            "syscalls[0].action: \"ALLOW\" is not an action (SCMP_ACT_…)",
        ),
        (
            r#""names":["a",""]"#,
            "syscalls[0].names[1]: \"\" is not the name of a system call",
        ),
        (r#""names":"a""#, "syscalls[0].names: not a list"),
        (r#""comment":["a"]"#, "syscalls[0].comment: not a string"),
        (r#""args":[null]"#, "syscalls[0].args[0]: not an object"),
        (r#""includes":[]"#, "syscalls[0].includes: not an object"),
        (
            r#""excludes":{"caps":"CAP_CHOWN"}"#,
            "syscalls[0].excludes.caps: not a list",
        ),
        (
            r#""excludes":{"caps":["CAP_A",7]}"#,
            "syscalls[0].excludes.caps[1]: not a string",
        ),
        (
            r#""excludes":{"minKernel":4.8}"#,
            "syscalls[0].excludes.minKernel: not a string",
        ),
    ] {
        assert_eq!(fault(&one(members)), told, "{members}");
    }
}

#[test]
fn numbers_are_whole_and_not_negative() {
    for number in ["-1", "1e3", "1.0", "-0", "18446744073709551616"] {
        let value = format!(r#""names":["a"],"args":[{{"value":{number},"op":"SCMP_CMP_EQ"}}]"#);
        assert!(
            fault(&one(&value)).starts_with("syscalls[0].args[0].value: "),
            "{number}"
        );
        let errno = format!(r#""names":["a"],"errnoRet":{number}"#);
        assert!(
            fault(&one(&errno)).starts_with("syscalls[0].errnoRet: "),
            "{number}"
        );
    }
    let told = fault(&one(
        r#""names":["a"],"args":[{"value":-1,"op":"SCMP_CMP_EQ"}]"#,
    ));
    assert_eq!(
        told,
        "syscalls[0].args[0].value: -1 is not a whole number from 0 to 18446744073709551615"
    );
    assert_eq!(
        fault(&one(r#""names":["a"],"args":[{"index":"1"}]"#)),
        "syscalls[0].args[0].index: not a number"
    );
}

#[test]
fn a_kernel_version_is_two_numbers() {
    let condition = |version: &str| {
        one(&format!(
            r#""names":["a"],"includes":{{"minKernel":"{version}"}}"#
        ))
    };
    for (version, wanted) in [
        ("4.8", (4, 8)),
        ("255.255", (255, 255)),
        ("04.008", (4, 8)),
        ("0.1", (0, 1)),
        ("", (0, 0)),
    ] {
        assert_eq!(
            read(&condition(version)).unwrap().rules[0]
                .conditions
                .includes
                .kernel,
            Some(wanted),
            "{version}"
        );
    }
    for version in [
        "4",
        "4.",
        ".8",
        ".",
        "4.8.0",
        "4.8-rc1",
        "4.8.0-generic",
        "+4.8",
        "-4.8",
        " 4.8",
        "4.8 ",
        "-1.0",
        "4.256",
        "0.0",
        "00.0",
        "a.b",
        "٤.٨",
    ] {
        let told =
            "syscalls[0].includes.minKernel: not a kernel version of the form N.N, each up to 255";
        assert_eq!(fault(&condition(version)), told, "{version}");
    }
}

/// A reader whose time grew with the square of these would take minutes.
#[test]
fn a_hostile_megabyte_is_read_in_one_pass() {
    let keys: String = (0..60_000).map(|at| format!("\"{at}\":1,")).collect();
    let twice: String = "\"0\":1,".repeat(70_000);
    assert!(read(&format!("{{{keys}{twice}\"0\":1}}")).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Profile::read(&bytes);
    }

    #[test]
    fn a_fault_is_one_line(text in "\\PC{0,5}[\\{\\[\"a-z:,0-9\\n\\}\\]]{0,60}") {
        if let Err(told) = read(&text) {
            prop_assert_eq!(told.lines().count(), 1, "{}", told);
        }
    }
}

//! Clients of every kind within TLS that is intercepted: each trusts the jail's own authority without a setting
//! of its own, and shows what it is denied.

use test_support::bed::Bed;
use test_support::harness::Test;

use crate::jail::{Caller, SUPERVISED_USER, USER};
use crate::world::{self, NAMED, PROGRAMS, World};

pub(crate) const TESTS: &[Test] = &[("is_trusted_by_clients_as_they_come", trusted)];

// landjail has it as notify does.
const CALLERS: [Caller; 2] = [USER, SUPERVISED_USER];

/// By path, so that requests have to be read.
const RULE: &str = "domain=n150.far.test method=GET path=/open/*";

/// Who answers there.
const ANSWERED: &str = "I am nobody at ";
/// What the filter says.
const DENIED: &str = "no rule allows it";

/// A client: how it gets `$URL`, and what it shows where that is answered, and where it is denied.
const CLIENTS: [(&str, &str, &str); 12] = [
    ("curl -sS -m 20 $URL", ANSWERED, DENIED),
    ("wget -q -O - -T 20 -t 1 --content-on-error $URL", ANSWERED, DENIED),
    ("git ls-remote $URL", "not valid: is this a git repository?", "denied: GET n150.far.test/shut/a/info/refs"),
    ("python3 -c 'import sys, urllib.request as r\ntry: print(r.urlopen(sys.argv[1]).read())\nexcept Exception as e: print(e.read())' $URL", ANSWERED, DENIED),
    ("python3 -c 'import sys, requests; print(requests.get(sys.argv[1]).text)' $URL", ANSWERED, DENIED),
    ("python3 -m pip download --retries 0 --no-cache-dir --disable-pip-version-check --index-url $URL small", "from versions: none", "from versions: none"),
    ("node -e 'fetch(process.argv[1]).then(r => r.text()).then(console.log, e => console.log(e.cause.code))' $URL", ANSWERED, DENIED),
    ("npm view --fetch-retries=0 --registry $URL small", "Unexpected token", "403 Forbidden"),
    ("$PROGRAMS/go-static $URL", ANSWERED, DENIED),
    ("$PROGRAMS/go-libc $URL", ANSWERED, DENIED),
    ("java -XX:TieredStopAtLevel=1 -cp $PROGRAMS Get $URL", ANSWERED, DENIED),
    ("mkdir -p k/src; cd k; : >src/lib.rs
      printf '[package]\\nname = \"k\"\\n[dependencies]\\nsmall = { version = \"1\", registry = \"own\" }\\n' >Cargo.toml
      CARGO_HOME=$HOME/h CARGO_REGISTRIES_OWN_INDEX=sparse+$URL/ CARGO_NET_RETRY=0 $PROGRAMS/cargo fetch", "expected value at line 1 column 1", DENIED),
];

fn trusted(bed: &Bed) {
    let _world = World::shared(bed);
    for caller in CALLERS {
        let said = all_of(bed, caller);
        for (number, (client, answered, denied)) in CLIENTS.iter().enumerate() {
            let [open, shut] = [&said[2 * number], &said[2 * number + 1]];
            assert!(open.contains(answered), "{}: {client}: {open}", caller.name);
            assert!(shut.contains(denied), "{}: {client}: {shut}", caller.name);
            // The variable by which it is told makes Java say so, and says nothing else.
            let told = open
                .matches("Picked up JAVA_TOOL_OPTIONS: \"-Djavax")
                .count();
            assert_eq!(
                told,
                usize::from(client.starts_with("java")),
                "{client}: {open}"
            );
        }
    }
}

/// What each client prints of what is open and of what is shut, one after the other.
fn all_of(bed: &Bed, caller: Caller) -> Vec<String> {
    let own = world::empty_folder(bed);
    let mut script = format!(
        "exec 2>&1; cd {own}; export PATH=/usr/bin:/bin HOME={own} PROGRAMS={PROGRAMS} GIT_TERMINAL_PROMPT=0 LC_ALL=C\n"
    );
    for (client, ..) in CLIENTS {
        for path in ["open/a", "shut/a"] {
            script += &format!("echo '== '; export URL=https://{NAMED}/{path}; (\n{client}\n)\n");
        }
    }
    let log = format!("{own}/log");
    let line = caller.line(&["--log", &log, "--allow", RULE], &script);
    // The caller's own choice of roots: the little internet's authority.
    let line = [
        &["env", "SSL_CERT_FILE=/etc/little-internet.pem"][..],
        &line,
    ]
    .concat();
    let answer = bed.exec(&line);
    let said: Vec<String> = answer
        .stdout
        .split("== \n")
        .skip(1)
        .map(str::to_owned)
        .collect();
    assert_eq!(said.len(), 2 * CLIENTS.len(), "{answer:?}");
    said
}

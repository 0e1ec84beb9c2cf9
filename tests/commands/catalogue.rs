//! Each command, file and answer that README and `docs/` show, in the order of the pages, and what shows that
//! it is as the page says. `tests/docs` holds it against the pages: nothing is missing, nothing is left over.

/// One of them.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) page: &'static str,
    /// As it stands there, without its comment; of a file or an answer the first line.
    pub(crate) what: &'static str,
    pub(crate) by: By,
}

/// What shows it.
#[derive(Debug)]
pub(crate) enum By {
    /// This suite, which types it.
    Typed(Typed),
    /// A test or a script of another kind of host: its file, and what stands in it.
    Elsewhere(&'static str, &'static [&'static str]),
    /// Nothing but who looks at it, with the reason.
    Nothing(&'static str),
}

/// How it is typed, on a host with Docker.
#[derive(Debug)]
pub(crate) struct Typed {
    /// What has happened before: a script.
    pub(crate) after: &'static str,
    /// What is typed, if the page shows no command; `BLOCK` is a file with what it shows.
    pub(crate) instead: Option<&'static str>,
    /// What is said, among other things.
    pub(crate) says: &'static [&'static str],
}

const fn typed(page: &'static str, what: &'static str, says: &'static [&'static str]) -> Shown {
    after(page, "", what, says)
}

const fn after(
    page: &'static str,
    after: &'static str,
    what: &'static str,
    says: &'static [&'static str],
) -> Shown {
    let by = By::Typed(Typed {
        after,
        instead: None,
        says,
    });
    Shown { page, what, by }
}

/// A file, or an answer, by its first line.
const fn file(
    page: &'static str,
    what: &'static str,
    instead: &'static str,
    says: &'static [&'static str],
) -> Shown {
    let by = By::Typed(Typed {
        after: "",
        instead: Some(instead),
        says,
    });
    Shown { page, what, by }
}

const fn elsewhere(
    page: &'static str,
    what: &'static str,
    test: &'static str,
    words: &'static [&'static str],
) -> Shown {
    let by = By::Elsewhere(test, words);
    Shown { page, what, by }
}

const fn nothing(page: &'static str, what: &'static str, why: &'static str) -> Shown {
    let by = By::Nothing(why);
    Shown { page, what, by }
}

const README: &str = "README.md";
const ENGINES: &str = "docs/engines.md";
const HTTPJAIL: &str = "docs/migrate-from-httpjail.md";
const CODER: &str = "docs/migrate-from-coder-boundary.md";
const KUBERNETES: &str = "docs/kubernetes.md";
const MATRIX: &str = "docs/matrix.md";
const POLICIES: &str = "docs/policies.md";
const RECORDS: &str = "docs/records.md";
const TROUBLES: &str = "docs/troubleshooting.md";
const THREATS: &str = "docs/threat-model.md";

/// A container that goes on, has done what its policy allows, and something that it doesn't.
const WEB: &str = "docker rm -f web >/dev/null 2>&1
    docker run --detach --name web --runtime=boundary bed sleep 600
    docker exec web curl -sS https://allowed.test/path
    ! docker exec web curl -sS https://denied.test/";

/// What a container of another policy would have written, of a pod.
const POD: &str = r#"printf '%s\n' >/var/log/boundary/0f0f.jsonl \
    '{"v":2,"seq":1,"time":"2026-01-01T00:00:00.000Z","container":"0f0f","event":"start","gateway":{"program":"0.1.0","began":"2026-01-01T00:00:00.000Z","policy":"default","policy_hash":"00","mode":"enforce","pod":"web-1","namespace":"shop"}}' \
    '{"v":2,"seq":2,"time":"2026-01-01T00:00:01.000Z","container":"0f0f","event":"stop","totals":{"allowed":0,"denied":0,"bytes_out":0,"bytes_in":0}}'"#;

pub(crate) const SHOWN: &[Shown] = &[
    nothing(README, " docker run --runtime=boundary IMAGE", "a picture"),
    elsewhere(README, "scripts/demo", "tests/commands/main.rs", &["scripts/demo"]),
    nothing(README, "scripts/test", "it is what runs this test"),
    nothing(
        README,
        "scripts/release",
        "minutes, and a clean tree: it is run before a release; of what it does, scripts/packages-e2e tries scripts/package",
    ),
    elsewhere(
        README,
        "sudo dpkg --install target/dist/boundary-shim_*_amd64.deb",
        "scripts/packages-e2e",
        &["dpkg --install"],
    ),
    typed(
        README,
        "sudo boundary-shim install docker",
        &["/etc/docker/daemon.json", "--runtime=boundary"],
    ),
    typed(README, "sudo systemctl restart docker", &[]),
    file(
        README,
        "# /etc/boundary/policies/default.yaml",
        "cp BLOCK /etc/boundary/policies/default.yaml && boundary-shim policy check /etc/boundary/policies/default.yaml",
        &["no mistakes; 5 rules allow, 1 deny"],
    ),
    typed(README, "boundary-shim policy check", &["no mistakes"]),
    typed(
        README,
        "boundary-shim policy explain default GET https://packages.example.org/",
        &["allowed: GET / by HTTPS to allowed.test:443"],
    ),
    typed(
        README,
        "docker run --rm --runtime=boundary IMAGE curl https://packages.example.org/",
        &["I am allowed.test"],
    ),
    typed(
        README,
        "boundary-shim jail --allow domain=example.com -- curl https://example.com/",
        &["I am allowed.test"],
    ),
    typed(README, "sudo boundary-shim logs", &["ALLOWED", "DENIED"]),
    after(
        README,
        "! docker run --rm --runtime=boundary bed curl -sS https://denied.test/",
        "sudo boundary-shim logs --last --denied",
        &["denied.test", "domain=denied.test"],
    ),
    after(README, WEB, "sudo boundary-shim status", &["web", "ok"]),
    typed(README, "sudo boundary-shim doctor", &["ok    kernel", "ok    docker"]),
    after(
        ENGINES,
        "mkdir -p /etc/containerd",
        "sudo boundary-shim install containerd",
        &["/etc/containerd/config.toml"],
    ),
    elsewhere(
        ENGINES,
        "sudo systemctl restart containerd",
        "scripts/kubernetes-cluster.sh",
        &["systemctl restart containerd"],
    ),
    elsewhere(
        ENGINES,
        "sudo boundary-shim install podman",
        "tests/podman/as_the_runtime.rs",
        &["fn install(", "\"install\", \"podman\""],
    ),
    elsewhere(
        ENGINES,
        "sudo podman --runtime=boundary run --rm IMAGE COMMAND",
        "tests/podman/as_the_runtime.rs",
        &["fn install(", "\"--runtime\", \"boundary\""],
    ),
    typed(
        "docs/jail.md",
        "boundary-shim jail --allow domain=example.com -- curl https://example.com/",
        &["I am allowed.test"],
    ),
    // An image with the program in it, as a user of jails has one.
    after(
        MATRIX,
        "docker run --name made bed true
         docker cp /usr/local/bin/boundary-shim made:/bin/ && docker commit made bed
         ! docker run --rm bed boundary-shim jail --jail-type nsjail -- true",
        "boundary-shim gen-seccomp --docker-version 25.0.13 --output seccomp-v25.0.13.json",
        &[],
    ),
    typed(
        MATRIX,
        "docker run --cap-add=NET_ADMIN --security-opt seccomp=seccomp-v25.0.13.json IMAGE boundary-shim jail --jail-type nsjail -- true",
        &["\"event\":\"stop\""],
    ),
    typed(
        MATRIX,
        "docker run --runtime=boundary IMAGE boundary-shim jail --jail-type nsjail -- true",
        &["\"event\":\"stop\""],
    ),
    typed(
        MATRIX,
        "docker run IMAGE boundary-shim jail -- true",
        &["jailed by notify"],
    ),
    typed(
        MATRIX,
        "docker run --cap-drop ALL --security-opt no-new-privileges IMAGE boundary-shim jail --jail-type notify -- true",
        &["\"event\":\"stop\""],
    ),
    typed(
        KUBERNETES,
        "boundary-shim install kubernetes --image images.example.org/boundary-shim:0.1.0 > boundary.yaml",
        &[],
    ),
    elsewhere(
        KUBERNETES,
        "kubectl apply -f boundary.yaml",
        "scripts/kubernetes-daemonset.sh",
        &["kube apply -f - < <(manifests"],
    ),
    elsewhere(
        KUBERNETES,
        "kubectl label node NODE boundary-shim/boundary=true",
        "scripts/kubernetes-e2e",
        &["kube label node node boundary-shim/boundary=true"],
    ),
    elsewhere(
        KUBERNETES,
        "kubectl label node NODE boundary-shim/boundary=uninstall --overwrite",
        "scripts/kubernetes-daemonset.sh",
        &["kube label node node boundary-shim/boundary=uninstall --overwrite"],
    ),
    after(
        KUBERNETES,
        "grep -q 'kind: RuntimeClass' boundary.yaml",
        "boundary-shim uninstall kubernetes",
        &["kubectl"],
    ),
    elsewhere(
        KUBERNETES,
        "kubectl --namespace kube-system create configmap boundary-shim --from-file=policies/ --dry-run=client --output=yaml | kubectl apply -f -",
        "scripts/kubernetes-live.sh",
        &["kube create configmap boundary-shim --namespace kube-system --from-file="],
    ),
    elsewhere(
        KUBERNETES,
        "kubectl label namespace NAMESPACE policy.boundary-shim/npm=allowed",
        "scripts/kubernetes-live.sh",
        &["kube label namespace chooses policy.boundary-shim/services=allowed"],
    ),
    elsewhere(
        KUBERNETES,
        "kubectl label namespace NAMESPACE mode.boundary-shim/observe=allowed",
        "scripts/kubernetes-e2e",
        &["mode.boundary-shim/observe=allowed"],
    ),
    elsewhere(
        CODER,
        "ln -s boundary-shim /usr/local/bin/boundary",
        "tests/jail/boundary.rs",
        CODERS_PAGE,
    ),
    elsewhere(
        CODER,
        "boundary --allow \"domain=example.com\" -- curl -sS http://example.com/",
        "tests/jail/boundary.rs",
        CODERS_PAGE,
    ),
    elsewhere(
        CODER,
        "boundary --allow \"method=GET,HEAD domain=example.com path=/open/*\" -- curl -sS http://example.com/open/x",
        "tests/jail/boundary.rs",
        CODERS_PAGE,
    ),
    elsewhere(
        CODER,
        "boundary --log-level info --jail-type landjail --allow \"domain=example.com\" -- curl -sS http://example.com/",
        "tests/jail/boundary.rs",
        CODERS_PAGE,
    ),
    elsewhere(
        CODER,
        "boundary --config config.yaml -- curl -sS http://example.com/",
        "tests/jail/boundary.rs",
        CODERS_PAGE,
    ),
    elsewhere(
        CODER,
        "boundary --disable-audit-logs --log-dir /tmp/boundary_logs --allow \"domain=example.com\" -- curl -sS http://example.com/",
        "tests/jail/boundary.rs",
        CODERS_PAGE,
    ),
    elsewhere(CODER, "boundary --version", "tests/jail/boundary.rs", CODERS_PAGE),
    elsewhere(CODER, "allowlist:", "tests/jail/boundary.rs", CODERS_PAGE),
    typed(
        HTTPJAIL,
        "boundary-shim jail --allow domain=example.com -- curl https://example.com/",
        &["I am allowed.test"],
    ),
    typed(
        HTTPJAIL,
        "boundary-shim jail --allow 'domain=api.example.com method=GET,HEAD path=/v1/public/*' -- curl https://api.example.com/v1/public/list",
        &["I am *.wild.test"],
    ),
    typed(
        HTTPJAIL,
        "boundary-shim jail --allow 'domain=*' --deny domain=ads.example.com -- curl https://example.com/",
        &["I am allowed.test"],
    ),
    typed(
        HTTPJAIL,
        "boundary-shim jail --mode observe --log seen.jsonl -- curl https://example.com/",
        &["I am allowed.test"],
    ),
    typed(HTTPJAIL, "boundary-shim policy suggest ./seen.jsonl > policy.yaml", &[]),
    typed(
        HTTPJAIL,
        "boundary-shim policy check policy.yaml",
        &["no mistakes; 1 rules allow"],
    ),
    typed(
        HTTPJAIL,
        "boundary-shim policy explain policy.yaml GET https://example.com/",
        &["allowed:"],
    ),
    after(
        "docs/nesting.md",
        "! docker run --rm bed go-jail",
        "boundary-shim gen-seccomp > nsjail.json",
        &[],
    ),
    typed(
        "docs/nesting.md",
        "docker run --security-opt seccomp=nsjail.json IMAGE",
        &["lo"],
    ),
    file(
        POLICIES,
        "# /etc/boundary/config.toml",
        "cp BLOCK /etc/boundary/config.toml
         cd /etc/boundary/policies && cp default.yaml npm.yaml && cp default.yaml everything-we-use.yaml
         boundary-shim doctor",
        &["configuration: valid, 3 valid policies"],
    ),
    after(POLICIES, WEB, "boundary-shim policy suggest web > web.yaml", &[]),
    typed(POLICIES, "boundary-shim policy check web.yaml", &["no mistakes; 1 rules allow"]),
    typed(
        POLICIES,
        "boundary-shim policy explain web.yaml GET https://example.org/path",
        &["allowed: GET /path by HTTPS to allowed.test:443"],
    ),
    typed(POLICIES, "sudo boundary-shim policy reload [CONTAINER…]", &["web"]),
    typed(POLICIES, "sudo boundary-shim policy apply FILE [CONTAINER…]", &["web"]),
    typed(POLICIES, "sudo boundary-shim policy reset [CONTAINER…]", &["web"]),
    typed(
        POLICIES,
        "sudo boundary-shim policy show CONTAINER",
        &["domain=*.files.allowed.test"],
    ),
    elsewhere(
        POLICIES,
        "sudo boundary-shim policy pending [CONTAINER…] [--follow] [--json]",
        "tests/docker/approvals.rs",
        &["what_is_approved_passes_and_nothing_else_does", "\"pending\""],
    ),
    elsewhere(
        POLICIES,
        "sudo boundary-shim policy approve ID [--for 1h] [--write]",
        "tests/docker/approvals.rs",
        &["what_an_approval_lets_pass_is_cut_at_its_end", "\"--for\"", "--write"],
    ),
    elsewhere(
        POLICIES,
        "sudo boundary-shim policy dismiss ID",
        "tests/docker/approvals.rs",
        &["\"dismiss\""],
    ),
    typed(RECORDS, "boundary-shim logs", &["web"]),
    typed(RECORDS, "boundary-shim logs web", &["allowed.test", "denied.test"]),
    after(RECORDS, POD, "boundary-shim logs shop/", &["START 0f0f"]),
    after(
        RECORDS,
        "(sleep 1; docker stop --time 0 web) >/dev/null 2>&1 &",
        "boundary-shim logs -f web",
        &["allowed.test", "denied.test"],
    ),
    typed(RECORDS, "boundary-shim logs --last --denied", &["denied.test"]),
    typed(
        RECORDS,
        "boundary-shim logs --summary --since 2h",
        &["allowed.test", "denied.test"],
    ),
    after(
        RECORDS,
        "touch --date '40 days ago' /var/log/boundary/0f0f.jsonl",
        "boundary-shim logs prune --older 30d",
        &["removed 1 record,"],
    ),
    typed(RECORDS, "sudo boundary-shim status", &[]),
    elsewhere(
        RECORDS,
        "journalctl -t boundary-shim BOUNDARY_CONTAINER=ID",
        "tests/runtimes/says.rs",
        &["BOUNDARY_CONTAINER="],
    ),
    file(
        "docs/rules.md",
        "tls:",
        "{ cat BLOCK; printf 'allow:\\n  - domain=allowed.test\\n'; } >tls.yaml && boundary-shim policy check tls.yaml",
        &["no mistakes"],
    ),
    file(
        "docs/rules.md",
        "{\"error\":\"denied: GET evil.example/x: no rule allows it\",\"code\":\"not_allowed\",\"status\":403,\"method\":\"GET\",\"host\":\"evil.example\",",
        "echo 'denied-note = \"Ask for access at #network.\"' >/etc/boundary/config.toml
         docker run --rm --runtime=boundary bed curl -sS --resolve evil.example:80:203.0.113.66 http://evil.example/x >answer
         [ \"$(tr -d '\\n' <answer)\" = \"$(tr -d '\\n' <BLOCK | sed 's/, \"path/,\"path/')\" ]",
        &[],
    ),
    nothing(
        THREATS,
        "scripts/redteam",
        "it runs the suite redteam, as scripts/test does, for the better part of an hour",
    ),
    nothing(THREATS, "scripts/redteam kernel_", "a part of the same"),
    nothing(THREATS, "scripts/redteam --full", "the same in all circumstances, for hours: before a release"),
    after(
        TROUBLES,
        WEB,
        "sudo boundary-shim logs --last --denied",
        &["denied.test"],
    ),
    typed(TROUBLES, "sudo boundary-shim doctor", &["ok    kernel"]),
    typed(
        TROUBLES,
        "sudo boundary-shim logs --denied web",
        &["domain=denied.test"],
    ),
    typed(
        TROUBLES,
        "boundary-shim policy explain default GET https://packages.example.org/",
        &["allowed:"],
    ),
    typed(TROUBLES, "sudo boundary-shim status", &["web"]),
    typed(TROUBLES, "sudo boundary-shim logs --last", &["denied.test"]),
    typed(TROUBLES, "sudo boundary-shim logs --last", &["denied.test"]),
    typed(TROUBLES, "sudo boundary-shim install docker", &["--runtime=boundary"]),
    after(
        TROUBLES,
        "docker rm -f web",
        "boundary-shim jail --jail-type notify --allow domain=example.com -- curl https://example.com/",
        &["I am allowed.test"],
    ),
    typed(TROUBLES, "sudo boundary-shim doctor", &["way notify: works"]),
];

/// Of the page about coder/boundary, which a test of jails types.
const CODERS_PAGE: &[&str] = &["docs/migrate-from-coder-boundary.md", "fn page("];

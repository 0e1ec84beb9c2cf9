//! `install kubernetes`: what the DaemonSets do on a node, and who gets the objects.

use std::path::Path;

use boundary_shim::audit::line::ContainerIdentity;
use boundary_shim::container::plan::{GatewayOwner, Plan, Recipients};
use boundary_shim::container::state::{Approvals, ProcessId, SavedState, Stage};
use boundary_shim::integrate::kubernetes::{self, NodeLayout};
use boundary_shim::policy::{Exit, GivenNames, Mode, PolicySource};
use boundary_shim::settings::Settings;

use crate::containerd::DEBIAN;
use crate::here::{Here, in_an_etc_of_its_own, text};

/// A node's files, a containerd that only keeps running, and a systemctl that starts it anew.
const NODE: &str = r#"
    here=$0 config=$1 directory=$2 shim=$2/boundary-shim observes=$3
    mount -t tmpfs none /usr/local/bin; chmod 755 /usr/local/bin
    mkdir -p ${config%/*} $directory /run/boundary; cp $here/before.toml $config
    rm -rf /etc/docker
    cp $here/boundary-shim $here/program
    mkdir /mnt/bin
    printf '#!/bin/sh\nsleep 600 & wait\n' >/mnt/bin/containerd
    cat >/usr/local/bin/systemctl <<END
#!/bin/sh
echo systemctl "\$*"
[ ! -e /mnt/broken ] || [ "\$1" != restart ] || exit 1
kill \$(cat /mnt/pid)
sleep 0.05 # a containerd takes its time to end; when a process began is known by hundredths of a second
/mnt/bin/containerd --config $config </dev/null >/dev/null 2>&1 &
echo \$! >/mnt/pid
END
    chmod 755 /mnt/bin/containerd /usr/local/bin/systemctl
    /mnt/bin/containerd --config $config </dev/null >/dev/null 2>&1 & echo $! >/mnt/pid

    # begins SCRIPT: one of the DaemonSets gets a pod here. is_done: it becomes ready, and its pod is ended.
    begins() { sh $here/$1.sh >/mnt/said 2>&1 & node=$!; }
    is_done() {
        timeout 60 sh -c "until [ -e $here/done ]; do kill -0 $node || exit 1; sleep 0.02; done" || { cat /mnt/said; exit 1; }
        kill -TERM $node; wait $node; rm $here/done; asked "$1"
    }
    asked() { echo "$1:" $(sed -n 's/^systemctl //p' /mnt/said); }
    is_whole() { grep -q "boundary-npm$observes\"" $config && cmp $here/program $shim; }
    until_there() {
        for what; do timeout 60 sh -c "here=$here; until $what >/dev/null; do sleep 0.02; done" || { echo "never: $what"; cat /mnt/said; exit 1; }; done
    }
    log_of_calls() {
        printf '#!/bin/sh\necho "$*" >>/mnt/calls\nexec /usr/bin/nsenter "$@"\n' >/usr/local/bin/nsenter; chmod 755 /usr/local/bin/nsenter
    }
    doctor() { $shim doctor containerd --config $config --name boundary || true; }

    # A pod of the class runs. It is gone: an uninstaller gives what is on record of it half a second here.
    runs() {
        sleep 600 & pod=$!
        mkdir /run/boundary/web; started=$(cut -d ' ' -f 22 /proc/$pod/stat)
        sed "s/\"pid\":999999,\"started\":888888/\"pid\":$pod,\"started\":$started/" $here/record.json >/run/boundary/web/record.json
    }
    is_gone() { rm -r /run/boundary/web; kill $pod; wait $pod || true; }

    begins install; is_done fresh; is_whole
    grep -qx "link $directory/boundary-npm$observes to boundary-shim" /mnt/said
    begins install; is_done again; is_whole
    echo newer >>$here/program
    begins install; is_done newer; is_whole

    # A ConfigMap comes, with a mistake that is mended elsewhere: the version is the same, and is tried again.
    log_of_calls
    mkdir -p $here/policies/..1 /etc/boundary; ln -s ..1 $here/policies/..data
    echo 'include: [shared]' >$here/policies/..1/other.yaml
    begins install
    until_there 'grep shared /mnt/said' '[ -e $here/mistaken ]'
    [ ! -e /etc/boundary/policies/other.yaml ]
    mkdir -p /etc/boundary/presets.d; echo 'allow: [domain=a.test]' >/etc/boundary/presets.d/shared.yaml
    until_there '[ ! -e $here/mistaken ]' '[ -e /etc/boundary/policies/other.yaml ]'
    # From then on gateways are asked, and it isn't written again.
    : >/mnt/calls; until_there '[ $(grep -c "policy reload" /mnt/calls) -ge 3 ]'
    echo "synced again: $(grep -c 'policy sync' /mnt/calls)"
    grep -c unchanged /mnt/said || true
    sed -i 1iunfinished /etc/boundary/policies/.synced; until_there '! grep unfinished /etc/boundary/policies/.synced'
    is_done synced
    grep -c shared /mnt/said
    rm /usr/local/bin/nsenter
    # Whoever put it there may have ended before gateways were asked.
    runs; sed -i "s/\"proxy\":null/\"proxy\":{\"pid\":$pod,\"started\":$started}/" /run/boundary/web/record.json
    $shim policy sync $here/policies >/mnt/synced 2>&1
    grep -x unchanged /mnt/synced; grep -c 'keep the policy' /mnt/synced
    is_gone; rm -r $here/policies

    echo '# the entry may have been written just now' >>$config
    doctor | grep -A1 'containerd: it was started before its configuration was last changed'
    begins install; is_done interrupted; is_whole
    doctor | grep 'containerd: the runtime'

    runs
    begins uninstall
    timeout 60 sh -c 'until grep shop/web-1 /mnt/said; do sleep 0.02; done'
    is_whole; asked waits
    [ ! -e $here/done ]
    is_gone
    is_done taken-off
    grep -c shop/web-1 /mnt/said
    head -n -1 $config | cmp - $here/before.toml; [ ! -e $shim ]
    cp $here/before.toml $config; systemctl restart >/dev/null
    begins uninstall; is_done nothing-there; cmp $here/before.toml $config

    begins install; is_done fresh
    $shim uninstall containerd --config $config >/dev/null
    begins uninstall; is_done interrupted; cmp $here/before.toml $config; [ ! -e $shim ]

    # Told to end at the worst moment, when it has looked and is about to rest, it ends.
    { echo 'sleep() { kill -TERM $$; command sleep "$@"; }'
      echo 'wait() { kill -TERM $$; command wait "$@"; }'; cat $here/install.sh; } >$here/late.sh
    timeout 60 sh $here/late.sh >/mnt/said; asked ends; rm $here/done
    begins uninstall; is_done again; cmp $here/before.toml $config

    # What runs is another class's: this one's entry goes all the same.
    runs; touch /mnt/broken
    begins install; ! wait $node; asked broken; cmp $here/before.toml $config
    is_gone
"#;

/// What the scripts ask of systemd in [`NODE`], and what else is said.
const EXPECTED: &str = "fresh: restart UNIT\nagain:\nnewer:\n\
    synced again: 0\n0\nsynced:\n1\nunchanged\n1\n\
    FAIL  containerd: it was started before its configuration was last changed\n      \
    restart it: until then it may not know the runtime boundary\n\
    interrupted: restart UNIT\nok    containerd: the runtime boundary is installed\n\
    boundary-shim: still running, and without the runtime they could neither be restarted nor entered: shop/web-1: delete them first (or --force)\n\
    waits:\ntaken-off: restart UNIT\n1\nnothing-there:\n\
    fresh: restart UNIT\ninterrupted: restart UNIT\nends: restart UNIT\nagain: restart UNIT\nbroken: restart UNIT start UNIT\n";

/// What `install kubernetes` is told of a node, and which file the node has.
fn node_with(config: &str, unit: &str, directory: &str, mode: Mode) {
    let here = Here::new();
    here.put("before.toml", DEBIAN);
    let layout = NodeLayout {
        config: config.parse().expect("a path"),
        unit: unit.parse().expect("a name"),
        directory: directory.parse().expect("a path"),
    };
    let (name, policy) = (
        "boundary".parse().expect("a name"),
        "npm".parse().expect("a name"),
    );
    let image = "image".parse().expect("a name");
    let manifests = kubernetes::manifests(&name, &policy, mode, &image, &layout).expect("made");
    let mut scripts = manifests.split("- |\n").skip(1);
    for name in ["install", "uninstall"] {
        put_script(&here, name, scripts.next().expect("a script"));
    }
    here.put("record.json", &record());

    let observes = if mode == Mode::Observe {
        "+observe"
    } else {
        ""
    };
    let output = in_an_etc_of_its_own(
        &["--pid", "--fork", "--mount-proc"],
        NODE,
        &[
            &here.at(""),
            Path::new(config),
            Path::new(directory),
            Path::new(observes),
        ],
    );
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), &*EXPECTED.replace("UNIT", unit)),
        "{}",
        text(&output.stderr)
    );
}

/// A script as the pod's shell gets it from Kubernetes, which takes `$$` for `$`, but for what is the
/// pod's own; it needn't rest long here.
fn put_script(here: &Here, name: &str, block: &str) {
    let block = block.split("\n---").next().expect("the block");
    let lines = block
        .lines()
        .map(|line| line.strip_prefix("              ").unwrap_or_default());
    let at = |name: &str| here.at(name).display().to_string();
    let script = lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("$$", "$")
        .replace(
            "program=/boundary-shim ",
            &format!("program={} ", at("program")),
        )
        .replace("done=/done ", &format!("done={} ", at("done")))
        .replace(
            "mistaken=/mistaken ",
            &format!("mistaken={} ", at("mistaken")),
        )
        .replace("/policies/..data", &format!("{}/..data", at("policies")))
        .replace("root/policies", &format!("root{}", at("policies")))
        .replace("rest 1;", "rest 0.05;")
        .replace("/run/boundary-node.lock", &at("lock"))
        .replace("rest 10;", "rest 0.02;");
    here.put(&format!("{name}.sh"), &script);
}

/// What is on record of a pod's container, with numbers that no process has.
fn record() -> String {
    let settings = Settings::default();
    let plan = Plan {
        configuration: None,
        reloads: false,
        container: "c1".into(),
        identity: ContainerIdentity {
            engine: Some("containerd".into()),
            pod: Some("web-1".into()),
            namespace: Some("shop".into()),
            ..ContainerIdentity::default()
        },
        gateway: GatewayOwner::Own,
        pod: None,
        starts_by_verb: true,
        ready_by_start: true,
        user_namespace: false,
        nesting_capability: Recipients::Nobody,
        apparmor_profile: None,
        notices: Vec::new(),
        own_notices: Vec::new(),
        links_are_looked_for: false,
        cgroups_path: None,
        proxy_memory: settings.proxy_memory,
        dns_rate_limit: settings.dns_rate_limit,
        denied_note: None,
        denied_names: settings.denied_names,
        log_level: settings.log_level,
        state: "/run/boundary/web".into(),
        audit: "/var/log/boundary/c1.jsonl".into(),
        exit: Exit::Uplink,
        resolvers: Vec::new(),
        given: GivenNames::default(),
        policy: PolicySource::default(),
        trust: None,
    };
    let state = SavedState {
        plan,
        init: ProcessId {
            pid: 999_999,
            started: 888_888,
        },
        proxy: None,
        network_namespace: 0,
        stage: Stage::Settled,
        changed: None,
        approvals: Approvals::default(),
    };
    serde_json::to_string(&state).expect("JSON")
}

/// The DaemonSets' own scripts, with the namespaces of a node: process 1 is ours, and its files are
/// a copy of /etc.
pub(crate) fn node() {
    node_with(
        "/etc/containerd/config.toml",
        "containerd",
        "/usr/local/bin",
        Mode::Enforce,
    );
    node_with(
        "/etc/rancher/agent/config.toml",
        "k3s-agent",
        "/usr/local/bin/elsewhere",
        Mode::Observe,
    );
}

/// A kubectl that only keeps what it is given.
pub(crate) fn kubectl() {
    let here = Here::new();
    let run = |words: &[&str]| {
        let mut command = here.prepared(&["install", "kubernetes"]);
        command
            .args(words)
            .env("PATH", here.at(""))
            .output()
            .expect("it runs")
    };
    let printed = run(&[]);
    assert_eq!(printed.status.code(), Some(0));
    assert!(
        text(&printed.stdout).contains("kind: DaemonSet"),
        "{}",
        text(&printed.stdout)
    );

    let output = run(&["--apply"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("boundary-shim: kubectl apply: "),
        "{}",
        text(&output.stderr)
    );

    here.put_program(
        "kubectl",
        &format!(
            "#!/bin/sh\necho \"$*\"; /bin/cat >{}\n",
            here.at("given").display()
        ),
    );
    let output = run(&["--apply"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "apply -f -\n")
    );
    assert_eq!(here.get("given"), text(&printed.stdout));

    let output = here
        .prepared(&["uninstall", "kubernetes", "--name", "npm"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let commands = text(&output.stdout);
    assert!(
        commands.starts_with("#!/bin/sh\n") && commands.contains("boundary-shim/npm=uninstall")
    );

    let output = run(&["--name", "A"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    for words in [
        ["--config", "etc/config.toml"],
        ["--directory", "/a b"],
        ["--restart-unit", "k3s;reboot"],
    ] {
        let output = run(&words);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        assert!(text(&output.stderr).contains("expected"), "{words:?}");
    }
}

//! Pods as CRI-O makes them: their network namespace is pinned at a path, and no pause container
//! need be in it. The bundles are made by hand, after CRI-O's own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use boundary_shim::sys::process::Process;
use serde_json::{Value, json};

use crate::host::{ALLOWED, DENIED, reached};
use crate::lives::{Test, get};
use crate::world::{DEADLINE, World, shell, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_pods_gateway_outlives_the_container_that_brought_it",
        outlives,
    ),
    ("containers_of_a_pod_may_be_made_at_once", at_once),
    ("a_pod_whose_gateway_was_killed_stays_closed", killed),
    ("a_pinned_namespace_of_no_pod_is_its_containers", no_pod),
];

/// By hooks alone, without this program as the runtime.
pub(crate) const HOOK_TESTS: &[Test] = &[
    ("hooks_give_a_pod_one_gateway_until_its_end", hooked),
    (
        "a_hook_makes_a_gateway_beside_the_pause_container_and_no_other",
        beside_pause,
    ),
    ("hooks_of_a_pod_may_run_at_once", hooked_at_once),
];

/// What a container does until it is killed.
const WAIT: &str = "trap exit TERM; busybox sleep 300 & wait";

/// Who calls the real runtime.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Runtime,
    Hook,
}

/// One pod. What is left of it when a test ends goes with the namespace.
struct Pod {
    world: World,
    runtime: String,
    form: Form,
    id: String,
}

impl Pod {
    /// A pod with an interface whose other end the host has, as CNI plugins make it.
    fn new(runtime: &str, form: Form) -> Self {
        static PODS: AtomicU8 = AtomicU8::new(0);
        let number = PODS.fetch_add(1, Ordering::Relaxed);
        let world = World::new(runtime);
        let id = format!("{}-pod", world.id);
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        for line in [
            format!("netns add {id}"),
            format!("link add pod{number} type veth peer name eth0 netns {id}"),
            format!("address add 10.77.{number}.1/30 dev pod{number}"),
            format!("link set pod{number} up"),
            format!("-n {id} address add 10.77.{number}.2/30 dev eth0"),
            format!("-n {id} link set lo up"),
            format!("-n {id} link set eth0 up"),
            format!("-n {id} route add default via 10.77.{number}.1"),
            format!("-n beyond route add 10.77.{number}.0/30 via 192.0.2.1"),
        ] {
            ip(&line);
        }
        Self {
            world,
            runtime: runtime.to_owned(),
            form,
            id,
        }
    }

    fn pin(&self) -> String {
        format!("/run/netns/{}", self.id)
    }

    fn name(&self, container: &str) -> String {
        format!("{}-{container}", self.world.id)
    }

    /// Writes a bundle where CRI-O has them; gives its directory.
    fn bundle(&self, name: &str, line: &str, kind: &str) -> String {
        let directory = self.world.path(&format!("containers/{name}/userdata"));
        fs::create_dir_all(&directory).unwrap();
        self.world.edit_spec(|spec| {
            spec["root"]["path"] = json!(self.world.path("bundle/rootfs"));
            spec["process"]["args"] = shell(line);
            spec["linux"]["cgroupsPath"] = json!(format!("/{name}"));
            // With one, the embedded runtime adds no process.
            spec["linux"]["seccomp"] = Value::Null;
            let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(json!({"type": "network", "path": self.pin()}));
            spec["annotations"] = json!({
                "io.container.manager": "cri-o",
                "io.kubernetes.cri-o.ContainerType": kind,
                "io.kubernetes.cri-o.SandboxID": self.id,
                "io.kubernetes.cri-o.SandboxName": "k8s_web_shop_3c2b-11_0",
                "io.kubernetes.cri-o.Name": format!("k8s_{name}_web_shop_3c2b-11_0"),
            });
            if self.form == Form::Hook && kind == "container" {
                let hook = json!({
                    "path": env!("CARGO_BIN_EXE_boundary-shim"),
                    "args": ["boundary-shim", "hook", "decide"],
                });
                spec["hooks"] = json!({"createRuntime": [hook], "poststop": [hook]});
            }
        });
        fs::copy(
            self.world.path("bundle/config.json"),
            format!("{directory}/config.json"),
        )
        .unwrap();
        directory
    }

    /// The runtime, or this program in its place.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = match self.form {
            Form::Runtime => self.world.command(""),
            Form::Hook => {
                let mut command = Command::new(&self.runtime);
                command.stdin(std::process::Stdio::null());
                command
            }
        };
        command.args(["--root", &self.world.path("root")]);
        command.args(words);
        command
    }

    fn call(&self, words: &[&str]) -> (bool, String) {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let said = format!("said-{}", CALLS.fetch_add(1, Ordering::Relaxed));
        let said = self.world.path(&said);
        let file = fs::File::create(&said).unwrap();
        let status = self
            .command(words)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        (status.success(), fs::read_to_string(&said).unwrap())
    }

    #[track_caller]
    fn must(&self, words: &[&str]) {
        let (well, said) = self.call(words);
        assert!(well, "{words:?}: {said}{}", self.record());
    }

    /// Begins to create a container, whose output goes to a file.
    fn creating(&self, name: &str, line: &str) -> Child {
        let bundle = self.bundle(name, line, "container");
        let pidfile = format!("{bundle}/pidfile");
        let output = fs::File::create(self.world.path(&format!("{name}.out"))).unwrap();
        self.command(&["create", "--bundle", &bundle, "--pid-file", &pidfile, name])
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }

    fn output(&self, name: &str) -> String {
        fs::read_to_string(self.world.path(&format!("{name}.out"))).unwrap()
    }

    /// Creates and starts a container.
    #[track_caller]
    fn start(&self, container: &str, line: &str) -> String {
        let name = self.name(container);
        let created = self.creating(&name, line).wait().unwrap();
        assert!(created.success(), "{}{}", self.output(&name), self.record());
        self.must(&["start", &name]);
        name
    }

    /// A container that comes to its end: what it said.
    #[track_caller]
    fn run(&self, container: &str, line: &str) -> String {
        let name = self.start(container, line);
        self.ended(&name);
        self.must(&["delete", &name]);
        self.output(&name)
    }

    fn init(&self, name: &str) -> i32 {
        let pidfile = self
            .world
            .path(&format!("containers/{name}/userdata/pidfile"));
        fs::read_to_string(pidfile).unwrap().trim().parse().unwrap()
    }

    fn ended(&self, name: &str) {
        self.world.wait_for_end(self.init(name));
    }

    /// Asserts that a new container is filtered: served what is allowed, and nothing else.
    #[track_caller]
    fn filters(&self, container: &str) {
        let said = self.run(container, &format!("{}; {}", get(ALLOWED), get(DENIED)));
        assert!(
            said.starts_with("hello\n") && said.ends_with("refused\n") && !reached(DENIED),
            "{said}{}",
            self.record()
        );
    }

    /// Asserts the same of one that runs.
    #[track_caller]
    fn serves(&self, name: &str) {
        let ask = |address| {
            let line = get(address);
            self.call(&["exec", name, "/bin/busybox", "sh", "-c", &line])
                .1
        };
        let said = ask(ALLOWED);
        assert_eq!(said, "hello\n", "{}", self.record());
        let said = ask(DENIED);
        assert!(said.ends_with("refused\n") && !reached(DENIED), "{said}");
    }

    /// The state directories of its gateways.
    fn gateways(&self) -> Vec<Value> {
        let states = fs::read_dir("/run/boundary")
            .into_iter()
            .flatten()
            .flatten();
        states
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&self.id))
            .filter_map(|entry| fs::read_to_string(entry.path().join("record.json")).ok())
            .map(|record| serde_json::from_str(&record).unwrap())
            .collect()
    }

    /// The process of its only gateway.
    #[track_caller]
    fn keeper(&self) -> i32 {
        let gateways = self.gateways();
        assert_eq!(gateways.len(), 1, "{gateways:?}");
        gateways[0]["proxy"]["pid"]
            .as_i64()
            .unwrap()
            .try_into()
            .unwrap()
    }

    fn record(&self) -> String {
        let audit = match self.form {
            Form::Runtime => self.world.path("audit"),
            Form::Hook => "/run/log".to_owned(),
        };
        let path = Path::new(&audit).join(format!("{}.jsonl", self.id));
        fs::read_to_string(path).unwrap_or_else(|error| format!("no record: {error}"))
    }

    fn unpin(&self) {
        ip(&format!("netns delete {}", self.id));
    }

    /// Takes the pin away: nothing may be left of the gateway when a container is deleted next.
    #[track_caller]
    fn ends(&self) {
        let keeper = self.keeper();
        self.unpin();
        self.world.wait_for_end(keeper);
        let end = Instant::now() + DEADLINE;
        while !self.gateways().is_empty() {
            assert!(Instant::now() < end, "{:?}", self.gateways());
        }
        self.world.leaves_nothing();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.id])
            .output();
    }
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(
        output.status.success(),
        "ip {line}: {}",
        text(&output.stderr)
    );
}

fn kill(pid: i32) {
    Process::open(pid).unwrap().kill().unwrap();
}

fn outlives(runtime: &str) {
    let pod = Pod::new(runtime, Form::Runtime);
    // An init container, its main one, one that is made anew, all after the first has gone.
    pod.filters("init");
    let keeper = pod.keeper();
    let main = pod.start("main", WAIT);
    pod.serves(&main);
    pod.filters("again");
    pod.filters("again");
    kill(pod.init(&main));
    pod.ended(&main);
    pod.must(&["delete", &main]);
    pod.filters("last");
    assert_eq!(pod.keeper(), keeper, "it is one gateway all the time");
    let record = pod.record();
    assert!(
        record.contains(r#""pod":"web""#) && record.contains(&pod.id),
        "{record}"
    );
    pod.ends();
}

fn at_once(runtime: &str) {
    let pod = Pod::new(runtime, Form::Runtime);
    all_at_once(&pod);
}

fn all_at_once(pod: &Pod) {
    let names = ["a", "b", "c"].map(|name| pod.name(name));
    let created = names.each_ref().map(|name| pod.creating(name, WAIT));
    for (name, mut created) in names.iter().zip(created) {
        assert!(created.wait().unwrap().success(), "{}", pod.output(name));
    }
    pod.keeper();
    for name in &names {
        pod.must(&["start", name]);
        pod.serves(name);
    }
    for name in &names {
        kill(pod.init(name));
        pod.ended(name);
        pod.must(&["delete", name]);
    }
    pod.ends();
}

fn killed(runtime: &str) {
    let pod = Pod::new(runtime, Form::Runtime);
    let sibling = pod.start("sibling", WAIT);
    let keeper = pod.keeper();
    kill(keeper);
    pod.world.wait_for_end(keeper);
    let ask = get(ALLOWED);
    let (_, said) = pod.call(&["exec", &sibling, "/bin/busybox", "sh", "-c", &ask]);
    assert!(said.ends_with("refused\n"), "{said}");
    let name = pod.name("next");
    assert!(!pod.creating(&name, WAIT).wait().unwrap().success());
    let said = pod.output(&name);
    // crun doesn't show what a hook says.
    let reason = "the gateway of the pod was killed";
    assert!(runtime == "crun" || said.contains(reason), "{said}");
    kill(pod.init(&sibling));
    pod.ended(&sibling);
    pod.must(&["delete", &sibling]);
    pod.unpin();
    pod.world.leaves_nothing();
}

/// As with `podman run --network ns:/run/netns/x`: whoever made the pin may never take it away.
fn no_pod(runtime: &str) {
    let pod = Pod::new(runtime, Form::Runtime);
    let name = pod.name("alone");
    let bundle = pod.bundle(&name, &get(ALLOWED), "container");
    let config = format!("{bundle}/config.json");
    let mut spec: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    spec["annotations"]["io.container.manager"] = json!("somebody");
    fs::write(&config, spec.to_string()).unwrap();
    let (well, said) = pod.call(&["run", "--bundle", &bundle, &name]);
    assert!(well && said.contains("hello\n"), "{said}");
    pod.call(&["delete", &name]);
    pod.world.leaves_nothing();
}

fn hooked(runtime: &str) {
    let pod = Pod::new(runtime, Form::Hook);
    pod.filters("init");
    let keeper = pod.keeper();
    let main = pod.start("main", WAIT);
    pod.serves(&main);
    pod.filters("again");
    assert_eq!(pod.keeper(), keeper, "it is one gateway all the time");
    kill(pod.init(&main));
    pod.ended(&main);
    pod.must(&["delete", &main]);
    pod.ends();
}

fn hooked_at_once(runtime: &str) {
    all_at_once(&Pod::new(runtime, Form::Hook));
}

fn beside_pause(runtime: &str) {
    let pod = Pod::new(runtime, Form::Hook);
    // CRI-O gives its pause container no hooks, and the pod's id.
    let pause = pod.id.clone();
    let bundle = pod.bundle(&pause, "exec busybox sleep 300", "sandbox");
    pod.must(&[
        "create",
        "--bundle",
        &bundle,
        "--pid-file",
        &format!("{bundle}/pidfile"),
        &pause,
    ]);
    pod.must(&["start", &pause]);
    // Somebody else's container, which nobody filters.
    let stranger = pod.name("stranger");
    let bundle = pod.bundle(&stranger, WAIT, "unhooked");
    pod.must(&[
        "create",
        "--bundle",
        &bundle,
        "--pid-file",
        &format!("{bundle}/pidfile"),
        &stranger,
    ]);
    let refused = pod.name("refused");
    assert!(!pod.creating(&refused, WAIT).wait().unwrap().success());
    assert!(pod.gateways().is_empty());
    pod.must(&["delete", "--force", &stranger]);

    pod.filters("first");
    pod.filters("second");
    kill(pod.init(&pause));
    pod.ended(&pause);
    pod.must(&["delete", &pause]);
    pod.ends();
}

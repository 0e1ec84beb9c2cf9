//! Bundles driven by hand, as containerd drives them, where Docker lets nobody in between: what is
//! killed in the middle of `create`, and annotations whatever Docker's age.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use test_support::bed::{Bed, unique};
use test_support::command::Answer;
use test_support::harness::Test;
use test_support::traces::wait_for_none;

/// Times that a moment is aimed at: a few milliseconds are easily missed on a busy machine.
const AIMS: usize = 10;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_hook_killed_in_the_middle_of_create_leaves_nothing",
        killed_hook,
    ),
    (
        "a_proxy_killed_before_it_is_ready_leaves_no_container",
        killed_proxy,
    ),
    (
        "a_shim_killed_in_the_middle_of_create_can_be_called_again",
        killed_shim,
    ),
    ("a_huge_annotation_stops_the_container", huge_annotation),
];

/// Whether it is time, seen from the process that `create` is.
type Moment = fn(&Bundle<'_>, i32) -> bool;

/// The proxy it began to start ends by itself, and takes the gateway and its state along: nobody
/// calls `delete` here.
fn killed_hook(bed: &Bed) {
    let moments: [(&str, Moment); 3] = [
        ("the hook runs", |bundle, create| {
            bundle.find(create, "hook").is_some()
        }),
        ("its gateway is begun", |bundle, _| bundle.state(true)),
        ("its state is there", |bundle, _| bundle.state(false)),
    ];
    for (name, moment) in moments {
        let hit = (0..AIMS).any(|_| {
            let bundle = Bundle::new(bed, &json!({}));
            bundle.have_hook_wait();
            let mut create = bundle.begin_create();
            let hook = bundle.when(&mut create, |create| {
                moment(&bundle, create)
                    .then(|| bundle.find(create, "hook"))
                    .flatten()
            });
            hook.inspect(|hook| stop_short(*hook));
            let created = create.wait().unwrap().success();
            if !created {
                bundle.leaves_nothing();
            }
            !created
        });
        assert!(hit, "never killed it while {name}");
    }
}

/// While it prepares the gateway, and its hook waits because others' come after. The engine then calls
/// `delete --force`.
fn killed_proxy(bed: &Bed) {
    let hit = (0..AIMS).any(|_| {
        let bundle = Bundle::new(bed, &json!({}));
        bundle.have_hook_wait();
        let mut create = bundle.begin_create();
        let proxy = bundle.when(&mut create, |_| bundle.keeper());
        if let Some(proxy) = proxy {
            bed.exec(&["kill", "-KILL", &proxy]);
        }
        let created = create.wait().unwrap().success();
        if !created {
            let sign = "the proxy ended before it was ready";
            assert!(bundle.words().contains(sign), "{}", bundle.words());
        }
        bundle.call(&["delete", "--force", &bundle.id]);
        bundle.leaves_nothing();
        !created
    });
    assert!(hit, "never killed it before it was ready");
}

fn killed_shim(bed: &Bed) {
    let hit = (0..AIMS).any(|_| {
        let bundle = Bundle::new(bed, &json!({}));
        let mut create = bundle.begin_create();
        let shim = bundle.when(&mut create, |create| {
            // Before it becomes the real runtime.
            let runs = |pid: &i32| {
                fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|exe| exe.ends_with("boundary-shim"))
            };
            descendants(create).into_iter().take(2).find(runs)
        });
        shim.inspect(|shim| stop_short(*shim));
        let created = create.wait().unwrap().success();
        let spec = fs::read_to_string(bundle.directory.join("config.json")).unwrap();
        serde_json::from_str::<Value>(&spec)
            .expect("the old config.json or the new one, never a torn one");
        if !created {
            bundle.call(&["delete", "--force", &bundle.id]);
            bundle.leaves_nothing();
            assert!(
                bundle.begin_create().wait().unwrap().success(),
                "{}",
                bundle.words()
            );
        }
        bundle.call(&["delete", "--force", &bundle.id]);
        bundle.leaves_nothing();
        !created
    });
    assert!(hit, "never killed it");
}

fn huge_annotation(bed: &Bed) {
    let bundle = Bundle::new(
        bed,
        &json!({"boundary.allow": "domain=a.test; ".repeat(5000)}),
    );
    assert!(!bundle.begin_create().wait().unwrap().success());
    assert!(
        bundle
            .words()
            .contains("boundary.allow: longer than 8192 bytes"),
        "{}",
        bundle.words()
    );
    assert!(bundle.words().len() < 1000, "{}", bundle.words());
    bundle.leaves_nothing();
    // One that nobody looks at may be as long as it likes.
    let bundle = Bundle::new(bed, &json!({"com.example.notes": "x".repeat(1_000_000)}));
    assert!(
        bundle.begin_create().wait().unwrap().success(),
        "{}",
        bundle.words()
    );
    bundle.call(&["start", &bundle.id]).must_succeed();
    bundle.call(&["delete", "--force", &bundle.id]);
    bundle.leaves_nothing();
}

/// A bundle whose hook gives the container an interface, as an engine would have done.
struct Bundle<'bed> {
    bed: &'bed Bed,
    id: String,
    directory: PathBuf,
    /// The host's end of the container's uplink.
    uplink: String,
}

impl<'bed> Bundle<'bed> {
    fn new(bed: &'bed Bed, annotations: &Value) -> Self {
        // Ended, so that no id is the beginning of another.
        let id = unique("by-hand") + "-";
        let directory = bed.path(&id);
        let uplink = id.replace("by-hand", "hand");
        fs::create_dir_all(directory.join("rootfs/bin")).unwrap();
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        // This machine's: the bed's root may be another system's, without one.
        fs::copy("/bin/busybox", directory.join("rootfs/bin/busybox")).unwrap();
        bed.exec(&["runc", "spec", "--bundle", &path("")])
            .must_succeed();
        let mut spec: Value =
            serde_json::from_str(&fs::read_to_string(directory.join("config.json")).unwrap())
                .unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["/bin/busybox", "sleep", "600"]);
        spec["annotations"] = annotations.clone();
        let attach = format!(
            "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); ip link add {uplink} type veth peer name eth0 netns $pid &&
             nsenter -t $pid -n sh -c 'ip addr add 10.77.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.77.0.1'"
        );
        let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        spec["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", attach], "env": [path]}]});
        fs::write(directory.join("config.json"), spec.to_string()).unwrap();
        Self {
            bed,
            id,
            directory,
            uplink,
        }
    }

    /// Calls `create`, and doesn't wait. The container keeps what its standard streams are, so they
    /// are no pipes.
    fn begin_create(&self) -> Child {
        let words = fs::File::create(self.directory.join("words")).unwrap();
        let bundle = self.directory.to_str().unwrap();
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.bed.first().to_string(),
            "--mount",
            "--net",
            "--pid",
            "--",
        ]);
        command.args(["boundary-shim", "create", "--bundle", bundle, &self.id]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .spawn()
            .unwrap()
    }

    /// What `create` said on standard error.
    fn words(&self) -> String {
        fs::read_to_string(self.directory.join("words")).unwrap()
    }

    fn call(&self, words: &[&str]) -> Answer {
        self.bed.exec(&[&["boundary-shim"], words].concat())
    }

    /// Looks again and again, without a pause, until it finds something or `create` has ended.
    fn when<T>(&self, create: &mut Child, find: impl Fn(i32) -> Option<T>) -> Option<T> {
        let pid = i32::try_from(create.id()).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let ended: io::Result<Option<ExitStatus>> = create.try_wait();
            match (find(pid), ended.unwrap()) {
                (Some(found), _) => return Some(found),
                (None, Some(_)) => return None,
                (None, None) => assert!(Instant::now() < end, "{} doesn't end", self.id),
            }
        }
    }

    /// Whether there is a place to meet its begun keeper, or else a state directory of its own.
    fn state(&self, begun: bool) -> bool {
        let states = self.bed.states_of(&self.id);
        states
            .iter()
            .any(|state| state.to_string_lossy().ends_with(".begun") == begun)
    }

    /// Its keeper, by its number in the bed, once that has the container.
    fn keeper(&self) -> Option<String> {
        let states = self.bed.states_of(&self.id).into_iter();
        let record = states
            .filter_map(|state| fs::read_to_string(state.join("record.json")).ok())
            .next()?;
        let record: Value = serde_json::from_str(&record).ok()?;
        Some(record["proxy"]["pid"].to_string())
    }

    /// Gives it a hook that runs within the container, for which ours waits until all is ready.
    fn have_hook_wait(&self) {
        let path = self.directory.join("config.json");
        let mut spec: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        spec["hooks"]["createContainer"] =
            json!([{"path": "/bin/busybox", "args": ["busybox", "true"]}]);
        fs::write(path, spec.to_string()).unwrap();
    }

    /// The process below `create` that is this personality of ours.
    fn find(&self, create: i32, personality: &str) -> Option<i32> {
        let is_it = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line == format!("boundary-shim {personality} ")
        };
        descendants(create).into_iter().find(is_it)
    }

    /// Waits until no process, namespace, link or state tells of it; and its control groups are
    /// gone with the next call. (A `delete --force` becomes the runtime's before the container, and
    /// so the proxy, has ended.)
    fn leaves_nothing(&self) {
        // Others may just be starting theirs.
        let suspects = self.bed.unrecorded_proxies();
        let group = |trace: &String| {
            ["/boundary-groups/", "/boundary-filter-"]
                .iter()
                .any(|name| trace.contains(name))
        };
        wait_for_none(|| {
            let mut traces = self.bed.traces_of(&self.id);
            traces.retain(|trace| !group(trace));
            traces.extend(
                self.bed
                    .unrecorded_proxies()
                    .intersection(&suspects)
                    .cloned(),
            );
            traces.extend(
                self.bed
                    .links()
                    .into_iter()
                    .filter(|link| *link == self.uplink),
            );
            traces
        });
        self.call(&["delete", &self.id]);
        assert_eq!(self.bed.traces_of(&self.id), Vec::<String>::new());
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        self.call(&["delete", "--force", &self.id]);
    }
}

fn stop_short(pid: i32) {
    // It may have ended by itself: then it was too late.
    kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
}

/// All processes below one, the nearest first.
fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<i32> = children
            .flat_map(|list| {
                list.split_whitespace()
                    .filter_map(|pid| pid.parse().ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        found.extend(children);
        next += 1;
    }
    found
}

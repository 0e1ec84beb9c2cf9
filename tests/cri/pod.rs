//! A pod and its containers as a kubelet makes them, removed when dropped.

use test_support::bed::{Bed, records, unique};
use test_support::command::Answer;
use test_support::traces::Footprint;

use crate::containerd::{Containerd as _, IMAGE};
use crate::protobuf::Message;

/// What is asked of a pod; the defaults are those of an ordinary one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The runtime handler, as a RuntimeClass names it.
    pub(crate) runtime: &'a str,
    pub(crate) annotations: &'a [(&'a str, &'a str)],
    pub(crate) host_network: bool,
    /// The search domains of its `dnsConfig`, if it has one.
    pub(crate) search: &'a [&'a str],
    /// A user namespace of its own: `hostUsers: false`.
    pub(crate) own_users: bool,
    /// Whether its containers may be privileged.
    pub(crate) privileged: bool,
    /// Its Kubernetes namespace.
    pub(crate) namespace: &'a str,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            runtime: "boundary",
            annotations: &[],
            host_network: false,
            search: &[],
            own_users: false,
            privileged: false,
            namespace: "default",
        }
    }
}

/// What is asked of a container.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) annotations: &'a [(&'a str, &'a str)],
    /// What it runs; nothing: it sleeps.
    pub(crate) script: Option<&'a str>,
    /// Capabilities to add, as Kubernetes writes them: `NET_ADMIN`.
    pub(crate) capabilities: &'a [&'a str],
    /// Its user, where it isn't root.
    pub(crate) user: Option<u64>,
    pub(crate) privileged: bool,
}

/// A pod of the bed.
#[derive(Debug)]
pub(crate) struct Pod<'bed> {
    bed: &'bed Bed,
    pub(crate) id: String,
    config: Message,
    /// Its containers' namespaces.
    namespaces: Message,
}

/// A container of a pod; it goes with the pod.
#[derive(Debug)]
pub(crate) struct Container<'bed> {
    bed: &'bed Bed,
    pub(crate) id: String,
}

/// A pod's namespaces, and those of its containers: the node's, or by default their own and the
/// pod's.
fn namespaces(wanted: &Wanted<'_>) -> Message {
    const CONTAINER: u64 = 1;
    const NODE: u64 = 2;
    let mut message = Message::new().number(2, CONTAINER);
    if wanted.host_network {
        message = message.number(1, NODE);
    }
    if wanted.own_users {
        // Host's id, container's, how many; the mode, left out, is the pod's.
        let ids = Message::new()
            .number(1, 100_000)
            .number(2, 0)
            .number(3, 65_536);
        message = message.message(5, &Message::new().message(2, &ids).message(3, &ids));
    }
    message
}

/// How a bed runs pods.
pub(crate) trait Pods {
    /// Runs an ordinary pod.
    fn pod(&self) -> Pod<'_> {
        self.pod_with(Wanted::default()).expect("a pod")
    }

    /// Runs a pod; gives CRI's error otherwise.
    fn pod_with(&self, wanted: Wanted<'_>) -> Result<Pod<'_>, String>;
}

impl Pods for Bed {
    fn pod_with(&self, wanted: Wanted<'_>) -> Result<Pod<'_>, String> {
        let name = unique("pod");
        let metadata = Message::new()
            .text(1, &name)
            .text(2, &name)
            .text(3, wanted.namespace);
        let namespaces = namespaces(&wanted);
        let security = Message::new()
            .message(1, &namespaces)
            .number(6, wanted.privileged.into());
        let linux = Message::new()
            .text(1, &self.cgroup_of(&name))
            .message(2, &security);
        let mut config = Message::new()
            .message(1, &metadata)
            .text(2, if wanted.host_network { "" } else { &name })
            .map(7, wanted.annotations)
            .message(8, &linux);
        if !wanted.search.is_empty() {
            let dns = Message::new()
                .texts(1, &["198.51.100.53"])
                .texts(2, wanted.search)
                .texts(3, &["ndots:5"]);
            config = config.message(4, &dns);
        }
        let request = Message::new().message(1, &config).text(2, wanted.runtime);
        let id = self.cri("RunPodSandbox", &request)?.get_text(1);
        Ok(Pod {
            bed: self,
            id,
            config,
            namespaces,
        })
    }
}

impl<'bed> Pod<'bed> {
    /// Starts a container that sleeps.
    pub(crate) fn sleeper(&self) -> Container<'bed> {
        self.start(Asked::default()).expect("a container")
    }

    /// Creates a container and starts it; gives CRI's error otherwise.
    pub(crate) fn start(&self, asked: Asked<'_>) -> Result<Container<'bed>, String> {
        let metadata = Message::new().text(1, &unique("c"));
        let mut security = Message::new()
            .message(1, &Message::new().texts(1, asked.capabilities))
            .number(2, asked.privileged.into())
            .message(3, &self.namespaces);
        if let Some(user) = asked.user {
            security = security.message(5, &Message::new().number(1, user));
        }
        let mut config = Message::new()
            .message(1, &metadata)
            .message(2, &Message::new().text(1, IMAGE))
            .map(10, asked.annotations)
            .message(15, &Message::new().message(2, &security));
        if let Some(script) = asked.script {
            config = config.texts(3, &["sh", "-c", script]);
        }
        let request = Message::new()
            .text(1, &self.id)
            .message(2, &config)
            .message(3, &self.config);
        let id = self.bed.cri("CreateContainer", &request)?.get_text(1);
        self.bed
            .cri("StartContainer", &Message::new().text(1, &id))?;
        Ok(Container { bed: self.bed, id })
    }

    /// What it has, by which it can be missed later.
    pub(crate) fn footprint(&self, container: &Container<'_>) -> Footprint {
        let mac = container
            .exec("cat /sys/class/net/eth0/address")
            .must_succeed()
            .stdout
            .trim()
            .to_owned();
        Footprint::of(
            self.bed,
            &self.id,
            self.bed.port_of("pods0", &self.address(), &mac),
        )
    }

    /// Its address, as the kubelet is told it.
    pub(crate) fn address(&self) -> String {
        let status = self
            .bed
            .cri("PodSandboxStatus", &Message::new().text(1, &self.id))
            .expect("a status");
        status.inner(1).inner(5).get_text(1)
    }

    /// Whether its sandbox is: a kubelet makes one anew that isn't.
    pub(crate) fn is_ready(&self) -> bool {
        const READY: u64 = 0;
        let status = self
            .bed
            .cri("PodSandboxStatus", &Message::new().text(1, &self.id))
            .expect("a status");
        status.inner(1).get_number(3) == READY
    }

    /// The pid of its first process, as containerd counts.
    pub(crate) fn pause(&self) -> i64 {
        const VERBOSE: u64 = 1;
        let request = Message::new().text(1, &self.id).number(2, VERBOSE);
        let info = self
            .bed
            .cri("PodSandboxStatus", &request)
            .expect("a status")
            .inner(2)
            .get_text(2);
        let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
        info["pid"].as_i64().expect("a pid")
    }

    /// The audit records of its gateway.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        records(self.bed, &self.id)
    }

    /// Where to connect to for a port-forward: the URL of containerd's streaming server.
    pub(crate) fn port_forward(&self, port: u16) -> String {
        let request = Message::new().text(1, &self.id).number(2, port.into());
        self.bed
            .cri("PortForward", &request)
            .expect("a port-forward")
            .get_text(1)
    }

    /// Stops and removes it, as the kubelet does; gives CRI's error otherwise.
    pub(crate) fn remove(&self) -> Result<(), String> {
        let request = Message::new().text(1, &self.id);
        self.bed.cri("StopPodSandbox", &request)?;
        self.bed.cri("RemovePodSandbox", &request).map(drop)
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        // Removing twice is no error to CRI; a test that fails has said why already.
        let _ = self.remove();
    }
}

impl Container<'_> {
    /// `crictl exec -s`, of a shell script.
    pub(crate) fn exec(&self, script: &str) -> Answer {
        const SECONDS: u64 = 30;
        let began = std::time::Instant::now();
        let request = Message::new()
            .text(1, &self.id)
            .texts(2, &["sh", "-c", script])
            .number(3, SECONDS);
        let said = self
            .bed
            .cri("ExecSync", &request)
            .unwrap_or_else(|error| panic!("exec: {error}"));
        let code = i32::try_from(said.get_number(3)).expect("an exit code");
        Answer {
            code,
            stdout: said.get_text(1),
            stderr: said.get_text(2),
            took: began.elapsed(),
        }
    }

    /// Its exit code, when it has ended.
    pub(crate) fn exit_code(&self) -> Option<u64> {
        const EXITED: u64 = 2;
        let status = self
            .bed
            .cri("ContainerStatus", &Message::new().text(1, &self.id))
            .expect("a status")
            .inner(1);
        (status.get_number(3) == EXITED).then(|| status.get_number(7))
    }

    /// Stops it at once, and removes it.
    pub(crate) fn remove(&self) {
        let request = Message::new().text(1, &self.id);
        self.bed.cri("StopContainer", &request).expect("stopped");
        self.bed.cri("RemoveContainer", &request).expect("removed");
    }
}

//! The little host that the tests run on, and what `boundary-shim` does on hosts that lack
//! something.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use boundary_shim::sys::netns::Namespace;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::world::{World, shell, text};

/// Three addresses beyond the host: a policy of the tests allows the first.
pub(crate) const ALLOWED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Nobody gets to this one.
pub(crate) const DENIED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
/// And to this one where it is only observed.
pub(crate) const OBSERVED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// The port on which they answer.
pub(crate) const PORT: u16 = 8080;

/// Where hosts with both versions of control groups have the second.
pub(crate) const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Addresses that were connected to.
static REACHED: Mutex<Vec<Ipv4Addr>> = Mutex::new(Vec::new());

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "a_host_without_any_runtime_runs_a_bundle",
        nothing_installed,
    ),
    (
        "a_runtime_that_only_cri_o_has_is_found_after_all_others",
        of_crio,
    ),
    (
        "a_runtime_that_can_not_be_one_is_named_on_one_line",
        unusable,
    ),
    (
        "features_and_version_are_the_real_runtimes_and_ours",
        features,
    ),
    ("who_is_not_the_hosts_root_is_told_so", rootless),
    (
        "a_link_that_changes_before_the_runtime_mounts_it_opens_nothing",
        changing_link,
    ),
    (
        "what_holds_the_record_by_another_mount_is_refused",
        holds_the_record,
    ),
];

/// Gives this process namespaces of its own, an empty `/run`, addresses and a server.
pub(crate) fn make_private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)?;
    // Hooks go by the host's configuration.
    for directory in ["/run/etc", "/run/etc/new", "/run/etc/work", "/run/log"] {
        fs::create_dir(directory)?;
    }
    let layers = "lowerdir=/etc,upperdir=/run/etc/new,workdir=/run/etc/work";
    mount(
        Some("overlay"),
        "/etc",
        Some("overlay"),
        MsFlags::empty(),
        Some(layers),
    )?;
    fs::create_dir_all("/etc/boundary/policies")?;
    fs::write(
        "/etc/boundary/config.toml",
        "audit-directory = \"/run/log\"\n",
    )?;
    let policy = format!("allow:\n  - cidr={ALLOWED}/32 port={PORT} proto=tcp\n");
    fs::write("/etc/boundary/policies/default.yaml", policy)?;
    // crun refuses hosts with both versions of control groups, and leaves directories where it
    // expects a group of that name.
    if Path::new(UNIFIED).exists() && umount2(UNIFIED, MntFlags::MNT_DETACH).is_ok() {
        mount(
            Some("tmpfs"),
            UNIFIED,
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )?;
    }
    // The host's own addresses are refused whatever a policy says: the server is beyond a wire.
    for line in [
        "link set lo up",
        "netns add beyond",
        "link add wire type veth peer name wire netns beyond",
        "address add 192.0.2.1/30 dev wire",
        "link set wire up",
        "-n beyond link set lo up",
        "-n beyond address add 192.0.2.2/30 dev wire",
        "-n beyond address add 198.51.100.7/32 dev lo",
        "-n beyond address add 198.51.100.8/32 dev lo",
        "-n beyond address add 198.51.100.9/32 dev lo",
        "-n beyond link set wire up",
        "route add default via 192.0.2.2",
    ] {
        assert!(
            Command::new("ip").args(line.split(' ')).status()?.success(),
            "ip {line}"
        );
    }
    let beyond = Namespace::open(Path::new("/run/netns/beyond"))?;
    let listener = beyond.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
    std::thread::spawn(move || serve(&listener));
    Ok(())
}

/// Answers whoever connects.
pub(crate) fn serve(listener: &TcpListener) {
    listener
        .incoming()
        .flatten()
        .for_each(|stream| drop(answer(stream)));
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    if let SocketAddr::V4(address) = stream.local_addr()? {
        REACHED.lock().unwrap().push(*address.ip());
    }
    let _ = stream.read(&mut [0; 1024])?;
    stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
}

/// Whether anybody has connected to an address.
pub(crate) fn reached(address: Ipv4Addr) -> bool {
    REACHED.lock().unwrap().contains(&address)
}

/// Whether a program is here.
pub(crate) fn has(program: &str) -> bool {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    path.split(':')
        .any(|directory| Path::new(directory).join(program).exists())
}

/// Has the directories of programs be empty, in a mount namespace of its own.
const EMPTY: &str = "mount -t tmpfs empty /mnt && cp /bin/busybox /mnt/ && \
    for directory in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin; do \
    /mnt/busybox mount --bind /mnt $directory; done;";

fn in_mount_namespace(words: &str) -> Output {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", words])
        .output()
        .unwrap()
}

fn nothing_installed() {
    let world = World::new("");
    world.set_command("echo ran; exit 5");
    let output = in_mount_namespace(&format!(
        "{EMPTY} exec {} --boundary-config {} run --bundle {} {}",
        env!("CARGO_BIN_EXE_boundary-shim"),
        world.path("config.toml"),
        world.path("bundle"),
        world.id
    ));
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(5), "ran\n".into()),
        "{}",
        text(&output.stderr)
    );
}

/// As on a host with CRI-O's packages alone.
fn of_crio() {
    let world = World::new("");
    let says = |before: &str| {
        let output = in_mount_namespace(&format!(
            "mount -t tmpfs empty /usr/libexec && mkdir /usr/libexec/crio && cd /usr/libexec/crio && \
             printf '#!/bin/sh\\necho a runtime of CRI-O\\n' >crun && chmod 755 crun && {before} \
             exec {} --boundary-config {} --version",
            env!("CARGO_BIN_EXE_boundary-shim"),
            world.path("config.toml"),
        ));
        text(&output.stdout)
    };
    // The shell is among what is taken away: one of the same name.
    let empty = format!("{EMPTY} /mnt/busybox ln -s busybox /mnt/sh;");
    let said = says(&empty);
    assert!(said.contains("\na runtime of CRI-O\n"), "{said}");
    if has("runc") || has("crun") {
        let said = says("");
        assert!(!said.contains("a runtime of CRI-O"), "{said}");
    }
}

/// A file that can be run.
pub(crate) fn write_program(path: &str, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn unusable() {
    let world = World::new("");
    let wrapper = world.path("runc");
    write_program(
        &wrapper,
        format!("#!/bin/sh\n{} $@\n", env!("CARGO_BIN_EXE_boundary-shim")),
    );
    let ourselves = env!("CARGO_BIN_EXE_boundary-shim");
    for (runtime, why) in [
        ("/no/such/runc", "ENOENT"),
        ("/etc/passwd", "EACCES"),
        ("/usr", "is not a regular file"),
        (ourselves, "is this program itself"),
        (wrapper.as_str(), "calls this program again"),
    ] {
        world.configure(&format!("runtime = {runtime:?}"));
        for words in ["list", "features", "--version", "run --bundle BUNDLE ID"] {
            let output = world.call(words);
            let said = text(&output.stderr);
            assert!(
                !output.status.success() && said.contains(why) && said.lines().count() == 1,
                "{runtime} {words}: {said}"
            );
            assert!(output.stdout.is_empty());
        }
    }
}

fn features() {
    for runtime in ["runc", "embedded"]
        .into_iter()
        .filter(|runtime| *runtime == "embedded" || has(runtime))
    {
        let world = World::new(runtime);
        let output = world.call("features");
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new()),
            "{runtime}"
        );
        let features: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(features["ociVersionMax"].is_string(), "{features}");
        let prefixes = features["potentiallyUnsafeConfigAnnotations"]
            .as_array()
            .unwrap();
        assert!(prefixes.contains(&"boundary.".into()), "{prefixes:?}");
        let version = world.call("--version");
        let said = text(&version.stdout);
        assert!(
            said.starts_with("boundary-shim ") && said.contains(&format!("\n{runtime} ")),
            "{said}"
        );
        assert!(version.status.success() && version.stderr.is_empty());
    }
    // What the runtime can't, it says itself.
    let world = World::new("");
    let program = world.path("old");
    write_program(
        &program,
        "#!/bin/sh\necho 'unknown command features' >&2\nexit 3\n",
    );
    world.configure(&format!("runtime = {program:?}"));
    let output = world.call("features");
    let said = (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    );
    assert_eq!(
        said,
        (Some(3), String::new(), "unknown command features\n".into())
    );
}

/// As a user, and as podman and Docker are without root: in a user namespace of the user's own.
fn rootless() {
    let world = World::new("");
    // Where nobody may look into the test's own directory.
    let program = Path::new("/run/boundary-shim-for-nobody");
    fs::copy(env!("CARGO_BIN_EXE_boundary-shim"), program).unwrap();
    for within in [&[][..], &["unshare", "--user", "--map-root-user"]] {
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args(within)
            .arg(program)
            .args(["run", "--bundle", "/", &world.id])
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(
            !output.status.success() && said.contains("rootless engines are not supported"),
            "{within:?}: {said}"
        );
    }
    fs::remove_file(program).unwrap();
}

/// A runtime's wrapper changes it, after all that `create` can look at.
fn changing_link() {
    for (runtime, target, starts) in [
        ("runc", "/run", false),
        ("crun", "/run", false),
        ("runc", "/usr/share", true),
        ("crun", "/usr/share", true),
    ] {
        if !has(runtime) {
            continue;
        }
        let world = World::new("");
        let (link, wrapper) = (world.path("link"), world.path(runtime));
        let change = format!("if [ -L {link} ]; then ln -sfn {target} {link}; fi");
        write_program(
            &wrapper,
            format!("#!/bin/sh\n{change}\nexec \"$(command -v {runtime})\" \"$@\"\n"),
        );
        world.configure(&format!("runtime = {wrapper:?}"));
        symlink("/usr/lib", &link).unwrap();
        world.edit_spec(|spec| {
            spec["process"]["args"] = shell("busybox ls /given");
            let mount = json!({"destination": "/given", "source": link, "type": "bind", "options": ["rbind", "ro"]});
            spec["mounts"].as_array_mut().unwrap().push(mount);
        });
        world.must("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
        let start = world.call("--root DIR/root start ID");
        let said = text(&start.stderr);
        assert_eq!(start.status.success(), starts, "{runtime} {target}: {said}");
        assert!(
            starts || said.contains("/given would show the container /run/boundary"),
            "{runtime}: {said}"
        );
        world.must("--root DIR/root delete --force ID");
        world.leaves_nothing();
    }
}

/// As where `/var` is mounted from a folder of a file system that is mounted as a whole, too.
fn holds_the_record() {
    let world = World::new("");
    let [disk, log, audit] = ["disk", "disk/log", "audit"].map(|name| world.path(name));
    let none = None::<&str>;
    [&disk, &audit]
        .iter()
        .for_each(|folder| fs::create_dir(folder).unwrap());
    mount(
        Some("disk"),
        disk.as_str(),
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )
    .unwrap();
    ["log", "other"]
        .iter()
        .for_each(|name| fs::create_dir(format!("{disk}/{name}")).unwrap());
    mount(
        Some(log.as_str()),
        audit.as_str(),
        none,
        MsFlags::MS_BIND,
        none,
    )
    .unwrap();
    let run = |source: &str| {
        world.edit_spec(|spec| {
            let mount = json!({"destination": "/given", "source": source, "type": "bind", "options": ["bind", "ro"]});
            spec["mounts"].as_array_mut().unwrap().push(mount);
        });
        world.call("--root DIR/root run --bundle BUNDLE ID")
    };
    let (whole, other) = (run(&disk), run(&world.path("disk/other")));
    [&audit, &disk]
        .iter()
        .for_each(|point| umount2(point.as_str(), MntFlags::MNT_DETACH).unwrap());
    let said = text(&whole.stderr);
    assert!(
        !whole.status.success() && said.contains("boundary-mounts"),
        "{said}"
    );
    assert!(other.status.success(), "{}", text(&other.stderr));
    world.leaves_nothing();
}

//! Real and hostile groups of containers, and where a filter's goes.

use proptest::prelude::*;

use super::super::mounts::hierarchies;
use super::*;
use crate::sys::mountinfo;

const SECOND: &str = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const FIRST: &str = "30 24 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n\
                     31 24 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                     32 24 0:28 / /cg/pids rw - cgroup cgroup rw,pids\n\
                     33 24 0:29 / /cg/systemd rw - cgroup cgroup rw,name=systemd\n\
                     34 24 0:30 / /cg/unified rw - cgroup2 cgroup2 rw\n";

fn found(table: &str) -> Vec<Hierarchy> {
    hierarchies(mountinfo::parse(table.as_bytes()))
}

fn container(cgroups_path: Option<&str>, systemd: bool) -> ContainerGroup<'_> {
    ContainerGroup {
        id: "ID",
        cgroups_path,
        systemd,
    }
}

/// The parent and the slice in a hierarchy of the second version.
fn of(
    group: &str,
    cgroups_path: Option<&str>,
    systemd: bool,
) -> Result<(String, Option<String>), PlaceError> {
    let membership = format!("0::{group}\n");
    let place = beside(
        &membership,
        &found(SECOND),
        &container(cgroups_path, systemd),
    )?;
    let parent = place.sites[0]
        .parent
        .strip_prefix("/sys/fs/cgroup")
        .unwrap()
        .display()
        .to_string();
    Ok((format!("/{parent}"), place.slice))
}

#[test]
fn engines_that_make_groups_by_themselves_get_a_sibling() {
    for (engine, group, asked, parent) in [
        ("docker", "/docker/ID", Some("/docker/ID"), "/docker"),
        ("docker --cgroup-parent", "/a/b/ID", Some("/a/b/ID"), "/a/b"),
        (
            "docker in docker",
            "/docker/OUTER/docker/ID",
            Some("/docker/ID"),
            "/docker/OUTER/docker",
        ),
        ("ctr", "/default/ID", Some("/default/ID"), "/default"),
        (
            "kubelet, cgroupfs",
            "/kubepods/burstable/podUID/ID",
            Some("/kubepods/burstable/podUID/ID"),
            "/kubepods/burstable/podUID",
        ),
        (
            "podman",
            "/libpod_parent/libpod-ID",
            Some("/libpod_parent/libpod-ID"),
            "/libpod_parent",
        ),
        (
            "podman's pod",
            "/libpod_parent/POD/libpod-ID",
            Some("/libpod_parent/POD/libpod-ID"),
            "/libpod_parent/POD",
        ),
        (
            "crun, told to delegate",
            "/libpod_parent/libpod-ID/x/y",
            Some("/libpod_parent/libpod-ID"),
            "/libpod_parent",
        ),
        ("runc by hand", "/user/ID", None, "/user"),
        ("crun by hand, told to delegate", "/ID/x", Some(""), "/"),
        ("no group of its own", "/user/shell", None, "/user"),
        ("none at all", "/", None, "/"),
    ] {
        for systemd in [false, true] {
            assert_eq!(
                of(group, asked, systemd),
                Ok((parent.to_owned(), None)),
                "{engine}"
            );
        }
    }
}

#[test]
fn engines_that_ask_systemd_get_a_scope_in_the_same_slice() {
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice";
    let session = "/user.slice/user-0.slice";
    for (engine, group, asked, slice) in [
        (
            "docker",
            "/system.slice/docker-ID.scope",
            Some("system.slice:docker:ID"),
            "/system.slice",
        ),
        (
            "podman",
            "/machine.slice/libpod-ID.scope/container",
            Some("machine.slice:libpod:ID"),
            "/machine.slice",
        ),
        (
            "containerd",
            &format!("{pod}/cri-containerd-ID.scope"),
            Some("kubepods-burstable-podU_I_D.slice:cri-containerd:ID"),
            pod,
        ),
        (
            "CRI-O",
            &format!("{pod}/crio-ID.scope/container"),
            Some("kubepods-burstable-podU_I_D.slice:crio:ID"),
            pod,
        ),
        (
            "no group, in a service",
            "/system.slice/job.service",
            None,
            "/system.slice",
        ),
        (
            "no group, in a session",
            &format!("{session}/session-3.scope"),
            None,
            session,
        ),
        (
            "a slice of its own",
            "/a.slice/a-b.slice",
            Some("a.slice:x:a-b.slice"),
            "/a.slice",
        ),
    ] {
        let name = slice.rsplit('/').next().unwrap();
        assert_eq!(
            of(group, asked, true),
            Ok((slice.to_owned(), Some(name.to_owned()))),
            "{engine}"
        );
    }
    assert_eq!(
        of("/x.scope", None, true),
        Ok(("/".to_owned(), Some("-.slice".to_owned())))
    );
}

#[test]
fn without_systemd_a_name_like_its_own_is_any_name() {
    assert_eq!(
        of("/system.slice/docker-ID.scope", None, false),
        Ok(("/system.slice".to_owned(), None))
    );
}

#[test]
fn a_slice_in_another_place_than_its_own_is_not_systemds() {
    for (group, parent) in [
        ("/b.slice/a.slice/ID", "/b.slice/a.slice"),
        ("/a-b.slice/ID", "/a-b.slice"),
        ("/a.slice/a-.slice/ID", "/a.slice/a-.slice"),
        ("/.slice/ID", "/.slice"),
        (
            "/system.slice/docker.service/docker/ID",
            "/system.slice/docker.service/docker",
        ),
    ] {
        assert_eq!(
            of(group, Some("/docker/ID"), true),
            Ok((parent.to_owned(), None)),
            "{group}"
        );
    }
}

#[test]
fn whatever_was_asked_for_the_place_is_above_the_containers() {
    for (asked, parent) in [
        (None, "/a/b"),
        (Some(""), "/a/b"),
        (Some("/"), "/a/b"),
        (Some(".."), "/a/b"),
        (Some("/a/b/ID"), "/a/b"),
        (Some("a/b/ID"), "/a/b"),
        (Some("/../../x/../a/./b//ID/"), "/a/b"),
        (Some("/elsewhere"), "/a/b"),
        (Some("slice:docker:ID"), "/a/b"),
        (Some("/a/b"), "/a"),
        (Some("a"), "/"),
        (Some("\0\n"), "/a/b"),
    ] {
        assert_eq!(
            of("/a/b/ID", asked, true),
            Ok((parent.to_owned(), None)),
            "{asked:?}"
        );
    }
}

#[test]
fn a_group_that_can_not_be_seen_or_is_a_filters_is_refused() {
    for group in ["/../x", "/a/..", "", "a/b", "/a (deleted)"] {
        assert!(
            matches!(of(group, None, false), Err(PlaceError::Unseen(_))),
            "{group}"
        );
    }
    for group in [
        "/docker/boundary-filter-x/ID",
        "/boundary-filter-x",
        "/system.slice/boundary-filter-x.scope",
    ] {
        assert!(
            matches!(of(group, None, true), Err(PlaceError::InAFilters(_))),
            "{group}"
        );
    }
}

#[test]
fn in_the_first_version_each_hierarchy_has_its_own_place() {
    let membership =
        "9:name=systemd:/\n5:pids:/docker/ID\n4:memory:/docker/ID\n2:cpuacct,cpu:/\n0::/\n";
    let place = beside(
        membership,
        &found(FIRST),
        &container(Some("/docker/ID"), true),
    )
    .unwrap();
    let parents: Vec<_> = place
        .sites
        .iter()
        .map(|site| site.parent.to_str().unwrap())
        .collect();
    assert_eq!(
        parents,
        ["/cg/pids/docker", "/cg/memory/docker", "/cg/cpu,cpuacct"]
    );
    assert!(
        place.slice.is_none()
            && place
                .sites
                .iter()
                .all(|site| !site.second && site.controllers.len() == 1)
    );
}

#[test]
fn systemds_scope_is_one_in_all_hierarchies() {
    let group = "/system.slice/docker-ID.scope";
    let membership = format!(
        "5:pids:{group}\n4:memory:{group}\n2:cpuacct,cpu:{group}\n1:name=systemd:{group}\n0::{group}\n"
    );
    let place = beside(&membership, &found(FIRST), &container(None, true)).unwrap();
    assert_eq!(
        (place.sites.len(), place.slice.as_deref()),
        (3, Some("system.slice"))
    );
}

#[test]
fn where_no_hierarchy_is_mounted_there_is_no_site() {
    let place = beside(
        "4:memory:/docker/ID\n0::/docker/ID\n",
        &[],
        &container(None, false),
    )
    .unwrap();
    assert_eq!(
        place,
        GroupPlace {
            sites: Vec::new(),
            slice: None
        }
    );
    assert_eq!(
        beside("", &found(SECOND), &container(None, false))
            .unwrap()
            .sites,
        []
    );
}

#[test]
fn the_second_version_has_what_the_first_leaves() {
    let mounts = format!("30 24 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n{SECOND}");
    let place = beside(
        "4:memory:/docker/ID\n0::/docker/ID\n",
        &found(&mounts),
        &container(None, false),
    )
    .unwrap();
    let found: Vec<_> = place
        .sites
        .iter()
        .map(|site| (site.second, site.controllers.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (false, vec![Controller::Memory]),
            (true, vec![Controller::Cpu, Controller::Pids])
        ]
    );
}

proptest! {
    #[test]
    fn the_place_is_never_within_the_containers_group_nor_outside_of_what_is_above_it(
        group in "(/(a|b|ID|x\\.scope|a\\.slice|a-b\\.slice)){0,5}", asked in "[./abID:x]{0,12}", systemd in any::<bool>(),
    ) {
        let group = if group.is_empty() { "/".to_owned() } else { group };
        let (parent, _) = of(&group, Some(&asked), systemd).unwrap();
        prop_assert!(Path::new(&group).starts_with(&parent), "{parent} for {group}");
        prop_assert!(parent != group || group == "/");
    }
}

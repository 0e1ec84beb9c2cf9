//! What is recognised, by what the platforms really show.

use super::*;

/// What the kernels of these platforms say of themselves.
mod kernels {
    pub(super) const DEBIAN: &str = "Linux version 6.12.63+deb13-amd64 (debian-kernel@lists.debian.org) (x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44) #1 SMP PREEMPT_DYNAMIC Debian 6.12.63-1 (2025-12-30)\n";
    pub(super) const AMAZON_2: &str = "Linux version 5.10.236-228.935.amzn2.x86_64 (mockbuild@ip-10-0-32-65) (gcc10-gcc (GCC) 10.5.0 20230707 (Red Hat 10.5.0-1), GNU ld version 2.35.2-9.amzn2.0.1) #1 SMP Fri May 9 00:05:50 UTC 2025\n";
    pub(super) const AMAZON_2023: &str = "Linux version 6.1.109-118.189.amzn2023.x86_64 (mockbuild@ip-10-0-60-238) (gcc (GCC) 11.4.1 20230605 (Red Hat 11.4.1-2), GNU ld version 2.39-6.amzn2023.0.10) #1 SMP PREEMPT_DYNAMIC Tue Sep 10 08:59:12 UTC 2024\n";
    pub(super) const BOTTLEROCKET: &str = "Linux version 5.4.38 (builder@buildkitsandbox) (gcc version 9.3.0 (Buildroot 2020.02.2)) #1 SMP Thu May 14 00:04:49 UTC 2020\n";
    pub(super) const TALOS: &str = "Linux version 6.6.54-talos (@buildkitsandbox) (gcc (GCC) 13.3.0, GNU ld (GNU Binutils) 2.43.1) #1 SMP Mon Oct  7 18:53:44 UTC 2024\n";
    pub(super) const COS: &str = "Linux version 5.10.147+ (builder@localhost) (Chromium OS 14.0_pre433403_p20211019-r6 clang version 14.0.0 (/var/tmp/portage/sys-devel/llvm-14.0_pre433403_p20211019-r6/work/llvm-14.0_pre433403_p20211019/clang 18308e171b5b1dd99627a4d88c7d6c5ff21b8c96), LLD 14.0.0) #1 SMP Thu Nov 10 10:14:22 UTC 2022\n";
    pub(super) const GVISOR: &str = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n";
}

const ALL_IDS: &str = "         0          0 4294967295\n";

fn traces(kernel: &str) -> Traces {
    Traces {
        version: kernel.to_owned(),
        uid_map: ALL_IDS.to_owned(),
        files: vec![FIRMWARE],
        ..Traces::default()
    }
}

fn in_pod(kernel: &str) -> Traces {
    Traces {
        environment: vec!["KUBERNETES_SERVICE_HOST=10.96.0.1".to_owned()],
        ..traces(kernel)
    }
}

#[track_caller]
fn must_be(traces: &Traces, container: Option<ContainerKind>, platforms: &[Platform]) {
    let place = recognise(traces);
    assert_eq!(
        (place.container, place.platforms.as_slice()),
        (container, platforms)
    );
    assert_eq!(
        findings(&place).len(),
        platforms.len() + usize::from(container.is_some())
    );
}

#[test]
fn an_ordinary_host_is_nothing_special() {
    must_be(&traces(kernels::DEBIAN), None, &[]);
}

#[test]
fn nodes_are_known_in_their_pods_by_their_kernels() {
    for (kernel, platform) in [
        (kernels::AMAZON_2, Platform::AmazonLinux2),
        (kernels::AMAZON_2023, Platform::AmazonLinux2023),
        (kernels::BOTTLEROCKET, Platform::Bottlerocket),
        (kernels::TALOS, Platform::Talos),
        (kernels::COS, Platform::ContainerOptimized),
        (kernels::GVISOR, Platform::Gvisor),
    ] {
        must_be(&in_pod(kernel), Some(ContainerKind::Pod), &[platform]);
        must_be(&traces(kernel), None, &[platform]);
    }
}

#[test]
fn a_nodes_os_release_counts_and_an_images_does_not() {
    for (os_release, platforms) in [
        (
            "NAME=Bottlerocket\nID=bottlerocket\nVERSION=\"1.15.0 (aws-k8s-1.27)\"\nPRETTY_NAME=\"Bottlerocket OS 1.15.0 (aws-k8s-1.27)\"\nVARIANT_ID=aws-k8s-1.27\n",
            &[Platform::Bottlerocket][..],
        ),
        (
            "ID=bottlerocket\nPRETTY_NAME=\"Bottlerocket (EKS Auto) 2025.3.9 (aws-k8s-1.31-standard)\"\n",
            &[Platform::Bottlerocket, Platform::EksAuto],
        ),
        (
            "BUILD_ID=10895.138.0\nNAME=\"Container-Optimized OS\"\nVERSION_ID=69\nID=cos\n",
            &[Platform::ContainerOptimized],
        ),
        ("NAME=\"Talos\"\nID=talos\n", &[Platform::Talos]),
    ] {
        let on = |traces: Traces| Traces {
            os_release: os_release.to_owned(),
            ..traces
        };
        must_be(&on(traces(kernels::DEBIAN)), None, platforms);
        let pod = on(in_pod(kernels::DEBIAN));
        must_be(&pod, Some(ContainerKind::Pod), &[]);
    }
}

#[test]
fn fargate_is_known_by_its_variable_and_in_a_pod_by_its_machine() {
    let task = Traces {
        environment: vec![
            "AWS_EXECUTION_ENV=AWS_ECS_FARGATE".to_owned(),
            "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/x".to_owned(),
        ],
        ..traces(kernels::AMAZON_2)
    };
    must_be(&task, Some(ContainerKind::Ecs), &[Platform::Fargate]);
    let on_instance = Traces {
        environment: vec![
            "AWS_EXECUTION_ENV=AWS_ECS_EC2".to_owned(),
            "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/x".to_owned(),
        ],
        ..traces(kernels::AMAZON_2)
    };
    must_be(
        &on_instance,
        Some(ContainerKind::Ecs),
        &[Platform::AmazonLinux2],
    );
    let pod = Traces {
        files: Vec::new(),
        ..in_pod(kernels::AMAZON_2)
    };
    must_be(&pod, Some(ContainerKind::Pod), &[Platform::Fargate]);
}

#[test]
fn each_engines_containers_are_known() {
    let with = |change: fn(&mut Traces)| {
        let mut traces = traces(kernels::DEBIAN);
        change(&mut traces);
        recognise(&traces).container
    };
    assert_eq!(
        with(|traces| traces.files.push(DOCKERENV)),
        Some(ContainerKind::Docker)
    );
    assert_eq!(
        with(|traces| traces.containerenv = Some(String::new())),
        Some(ContainerKind::Podman)
    );
    assert_eq!(
        with(|traces| traces.files.push(SERVICE_ACCOUNT)),
        Some(ContainerKind::Pod)
    );
    // As containerd's ctr and nerdctl leave it.
    assert_eq!(
        with(|traces| {
            traces.mounts =
                "523 510 254:1 /x/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw\n\
                             525 510 254:1 /x/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw\n"
                    .to_owned();
        }),
        Some(ContainerKind::Other)
    );
    let lone = "523 510 254:1 /x/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw\n";
    assert_eq!(
        recognise(&Traces {
            mounts: lone.to_owned(),
            ..traces(kernels::DEBIAN)
        })
        .container,
        None,
        "a host can mount one"
    );
}

#[test]
fn a_container_with_an_engine_is_a_host_to_those_in_it() {
    let sysbox = Traces {
        files: vec![DOCKERENV, FIRMWARE],
        mounts: "701 699 0:63 /proc/sys /proc/sys rw,nosuid,nodev,noexec,relatime - fuse sysboxfs rw,user_id=0,group_id=0\n".to_owned(),
        has_engine: true,
        uid_map: "         0     165536      65536\n".to_owned(),
        ..traces(kernels::DEBIAN)
    };
    must_be(&sysbox, None, &[Platform::Sysbox]);
    let without = Traces {
        has_engine: false,
        ..sysbox
    };
    must_be(&without, Some(ContainerKind::Docker), &[Platform::Sysbox]);
}

#[test]
fn distributions_are_known_by_their_folders() {
    for (folder, platform) in [(K3S, Platform::K3s), (RKE2, Platform::Rke2)] {
        let node = Traces {
            files: vec![FIRMWARE, folder],
            has_engine: true,
            ..traces(kernels::DEBIAN)
        };
        must_be(&node, None, &[platform]);
    }
}

#[test]
fn an_engine_is_rootless_where_root_is_one_of_the_hosts_users() {
    let mapped = |map: &str| {
        let traces = Traces {
            uid_map: map.to_owned(),
            files: vec![DOCKERENV, FIRMWARE],
            ..traces(kernels::DEBIAN)
        };
        recognise(&traces).platforms == [Platform::Rootless]
    };
    assert!(mapped(
        "         0       1000          1\n         1     100000      65536\n"
    ));
    // userns-remap, a pod with hostUsers: false, and root's own engine.
    assert!(!mapped("         0     100000      65536\n"));
    assert!(!mapped(ALL_IDS));
    let podman = Traces {
        containerenv: Some("engine=\"podman-4.3.1\"\nname=\"x\"\nrootless=1\n".to_owned()),
        ..traces(kernels::DEBIAN)
    };
    must_be(&podman, Some(ContainerKind::Podman), &[Platform::Rootless]);
}

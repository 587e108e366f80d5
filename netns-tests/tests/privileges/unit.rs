//! What the unit for systemd allows the daemon.

use std::collections::BTreeSet;

const UNIT: &str = include_str!("../../../packaging/tortie.service");
/// What `systemd-analyze syscall-filter` of systemd 252 says of the groups.
const GROUPS: &str = include_str!("groups.txt");

/// Returns the words of every line of the unit that sets this.
pub(crate) fn settings(name: &str) -> Vec<Vec<&'static str>> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    let values = lines.filter(|(key, _)| *key == name);
    values
        .map(|(_, value)| value.split_whitespace().collect())
        .collect()
}

/// Returns the one word that the unit sets this to.
pub(crate) fn setting(name: &str) -> &'static str {
    match settings(name).as_slice() {
        [words] if words.len() == 1 => words[0],
        other => panic!("{name}: {other:?}"),
    }
}

/// Returns the system calls that the unit allows: the first line says which, and those with a tilde which not.
pub(crate) fn system_calls() -> BTreeSet<&'static str> {
    let mut allowed = members("@default");
    for line in settings("SystemCallFilter") {
        let mut words = line.into_iter();
        let first = words.next().expect("a line of the filter names something");
        let (taken, first) = match first.strip_prefix('~') {
            Some(rest) => (true, rest),
            None => (false, first),
        };
        for name in std::iter::once(first).chain(words).flat_map(members) {
            if taken {
                allowed.remove(name);
            } else {
                allowed.insert(name);
            }
        }
    }
    allowed
}

/// Returns the system calls of a group, or the one of this name.
fn members(name: &'static str) -> BTreeSet<&'static str> {
    if !name.starts_with('@') {
        return BTreeSet::from([name]);
    }
    let mut groups = GROUPS.lines().map(str::split_whitespace);
    let group = groups.find_map(|mut words| (words.next() == Some(name)).then_some(words));
    group
        .unwrap_or_else(|| panic!("the group {name} is not among the test's data"))
        .flat_map(members)
        .collect()
}

/// Returns the numbers of the address families that the unit allows, of `linux/socket.h`.
pub(crate) fn families() -> Vec<u8> {
    let number = |name| match name {
        "AF_UNIX" => 1,
        "AF_INET" => 2,
        "AF_INET6" => 10,
        "AF_NETLINK" => 16,
        other => panic!("the family {other} is not known to the test"),
    };
    let lines = settings("RestrictAddressFamilies");
    lines.concat().into_iter().map(number).collect()
}

#[test]
fn the_unit_asks_for_one_capability_and_keeps_its_files_to_itself() {
    assert_eq!(setting("CapabilityBoundingSet"), "CAP_NET_ADMIN");
    assert_eq!(setting("NoNewPrivileges"), "yes");
    assert_eq!(setting("ProtectSystem"), "strict");
    assert_eq!(setting("UMask"), "0077");
    assert_eq!(setting("StateDirectoryMode"), "0700");
    assert_eq!(setting("RuntimeDirectoryMode"), "0700");
    let start = settings("ExecStart").concat();
    assert_eq!(start, ["/usr/bin/tortie", "run", "--last-good"]);
}

#[test]
fn the_filter_has_no_call_that_makes_a_process_changes_a_user_or_mounts() {
    let allowed = system_calls();
    for call in [
        "fork",
        "vfork",
        "setuid",
        "setresuid",
        "setgroups",
        "capset",
        "chown",
        "mount",
        "umount2",
        "ptrace",
        "bpf",
        "init_module",
        "unshare",
        "setns",
        "chroot",
        "keyctl",
        "process_vm_writev",
        "kexec_load",
        "reboot",
        "swapon",
        "clock_settime",
        "io_uring_setup",
        "perf_event_open",
        "open_by_handle_at",
    ] {
        assert!(!allowed.contains(call), "{call}");
    }
}

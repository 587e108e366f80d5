//! The `routes` room against the kernel itself: routes, neighbours, settings and connections.
//!
//! Each test has a network namespace of its own, and no daemon: it tells the room what is wanted.

mod connections;
mod host;

use std::time::Duration;

use host::{Host, V4, V6, first, veth, veth_up, wiring};
use netns_tests::ns::privileged;
use tortie::routes::{ExternalRoutes, Forwarding, Outcome, Settings, SpoofedSources, Wiring};

#[test]
fn a_wiring_waits_for_its_interface_and_is_then_complete() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.want("cali0", first());
    host.hear("cali0", &Outcome::Absent);
    host.ns.ip(&veth("cali0"));
    host.hear("cali0", &Outcome::Down);
    assert!(host.routes_to(V4, "cali0").is_empty());
    host.ns.ip("link set cali0 up\n");
    host.hear("cali0", &Outcome::Wired);
    host.assert_wired("cali0");
    for (setting, value) in [
        ("net/ipv4/conf/cali0/rp_filter", "1"),
        ("net/ipv4/conf/cali0/route_localnet", "1"),
        ("net/ipv4/conf/cali0/proxy_arp", "1"),
        ("net/ipv4/conf/cali0/forwarding", "1"),
        ("net/ipv4/neigh/cali0/proxy_delay", "0"),
        ("net/ipv6/conf/cali0/accept_ra", "0"),
        ("net/ipv6/conf/cali0/proxy_ndp", "1"),
        ("net/ipv6/conf/cali0/forwarding", "1"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
    ] {
        assert_eq!(host.setting(setting), value, "{setting}");
    }
}

#[test]
fn a_workload_that_may_spoof_has_no_filter_and_may_lose_that_right() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&veth_up("cali.0"));
    let allowed = Wiring {
        spoofing: SpoofedSources::Allowed,
        ..first()
    };
    host.ns.sysctl("net/ipv4/conf/cali.0/rp_filter", "1");
    host.wire("cali.0", allowed);
    assert_eq!(host.setting("net/ipv4/conf/cali.0/rp_filter"), "0");
    host.wire("cali.0", first());
    assert_eq!(host.setting("net/ipv4/conf/cali.0/rp_filter"), "1");
    host.assert_wired("cali.0");
}

#[test]
fn forwarding_is_left_alone_where_it_is_to_be() {
    if !privileged() {
        return;
    }
    let settings = Settings {
        forwarding: Forwarding::LeftAlone,
        ..Settings::default()
    };
    let mut host = Host::prepared(settings, &veth_up("cali0"));
    host.ns.sysctl("net/ipv4/ip_forward", "0");
    host.in_sync();
    host.wire("cali0", first());
    assert_eq!(host.setting("net/ipv4/ip_forward"), "0");
    assert_eq!(host.setting("net/ipv6/conf/all/forwarding"), "0");
    host.configure(Settings::default());
    host.eventually("forwarding is on", |host| {
        host.setting("net/ipv4/ip_forward") == "1"
    });
}

#[test]
fn forwarding_that_another_program_turns_off_is_turned_on_again() {
    if !privileged() {
        return;
    }
    let settings = Settings {
        refresh: Some(Duration::from_secs(1)),
        ..Settings::default()
    };
    let mut host = Host::prepared(settings, &veth_up("cali0"));
    host.in_sync();
    host.wire("cali0", first());
    for setting in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        assert_eq!(host.setting(setting), "1", "{setting}");
        host.ns.sysctl(setting, "0");
        host.eventually("forwarding is on", |host| host.setting(setting) == "1");
    }
}

#[test]
fn flaps_and_renames_restore_everything() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&veth_up("cali0"));
    host.wire("cali0", first());
    for (down, up) in [
        ("link set cali0 down\n", "link set cali0 up\n"),
        ("link set p-cali0 down\n", "link set p-cali0 up\n"),
    ] {
        host.ns.ip(down);
        host.hear("cali0", &Outcome::Down);
        host.eventually("the routes are gone", |host| {
            host.routes_to(V4, "cali0").is_empty() && host.routes_to(V6, "cali0").is_empty()
        });
        host.ns.ip(up);
        host.hear("cali0", &Outcome::Wired);
        host.assert_wired("cali0");
    }
    host.ns.ip("link set cali0 down\n\
                link set cali0 name cali1\n\
                link set cali1 up\n");
    host.hear("cali0", &Outcome::Absent);
    host.eventually("the routes are gone", |host| {
        host.routes_to(V4, "cali1").is_empty() && host.routes_to(V6, "cali1").is_empty()
    });
    host.wire("cali1", first());
    host.assert_wired("cali1");
    host.ns.ip("link set cali1 down\n\
                link set cali1 name cali0\n\
                link set cali0 up\n");
    host.hear("cali1", &Outcome::Absent);
    host.hear("cali0", &Outcome::Wired);
    host.assert_wired("cali0");
    host.ns.ip("link delete cali0\n");
    host.hear("cali0", &Outcome::Absent);
    host.ns.ip(&veth_up("cali0"));
    host.hear("cali0", &Outcome::Wired);
    host.assert_wired("cali0");
}

#[test]
fn what_others_take_away_or_change_comes_back_at_once() {
    if !privileged() {
        return;
    }
    for drift in [
        format!("route delete {V4} dev cali0\n"),
        format!("route delete {V6} dev cali0\n"),
        format!("route replace {V4} dev cali0 scope link metric 1024 proto static\n"),
        format!("route replace {V6} dev cali0 metric 1024 proto static\n"),
        format!("neigh delete {V4} dev cali0\n"),
        format!("neigh replace {V4} dev cali0 lladdr 02:00:00:00:00:09 nud permanent\n"),
        format!("neigh replace {V4} dev cali0 lladdr 02:00:00:00:00:09 nud stale\n"),
        format!("route add {V4} dev cali0 scope link\n"),
        "route add 10.99.0.0/16 dev cali0\n".to_owned(),
        "neigh add 10.99.0.1 dev cali0 lladdr 02:00:00:00:00:09 nud permanent\n".to_owned(),
    ] {
        // What is done on one interface again and again is done ever more rarely.
        let mut host = Host::new();
        host.ns.ip(&veth_up("cali0"));
        host.wire("cali0", first());
        host.ns.ip(&drift);
        host.eventually(&format!("all is right after: {drift}"), |host| {
            host.is_wired("cali0") && !host.routes().contains("10.99.")
        });
    }
}

#[test]
fn routes_that_go_with_the_last_address_of_their_interface_come_back_at_once() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&veth_up("cali0"));
    host.wire("cali0", first());
    // The kernel says that the address is gone, and nothing of the routes.
    host.ns.ip("addr add 10.9.9.9/32 dev cali0\n");
    host.ns.ip("addr delete 10.9.9.9/32 dev cali0\n");
    host.eventually("all is there again", |host| host.is_wired("cali0"));
}

#[test]
fn a_program_that_insists_is_answered_each_time() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&veth_up("cali0"));
    host.wire("cali0", first());
    // The pauses between the answers double; `src/routes/pace.rs` tests how.
    for _ in 0..4 {
        host.ns.ip(&format!("route delete {V4} dev cali0\n"));
        host.eventually("the route comes back", |host| host.is_wired("cali0"));
    }
}

#[test]
fn nothing_is_forwarded_before_policy_is_in_force() {
    if !privileged() {
        return;
    }
    let mut host = Host::prepared(Settings::default(), &veth_up("cali0"));
    host.ns.sysctl("net/ipv4/ip_forward", "0");
    host.wire("cali0", first());
    assert_eq!(host.setting("net/ipv4/ip_forward"), "0");
    host.in_sync();
    host.eventually("forwarding is on", |host| {
        host.setting("net/ipv4/ip_forward") == "1"
    });
}

#[test]
fn endless_refreshing_disturbs_nothing() {
    if !privileged() {
        return;
    }
    let settings = Settings {
        refresh: Some(Duration::from_millis(1)),
        ..Settings::default()
    };
    let mut host = Host::prepared(settings, "");
    host.in_sync();
    for round in 0..10 {
        host.ns.ip(&veth_up("cali0"));
        host.wire("cali0", first());
        host.assert_wired("cali0");
        host.ns.ip(&format!("route delete {V4} dev cali0\n"));
        host.eventually("the route is back", |host| host.is_wired("cali0"));
        if round % 2 == 0 {
            host.unwant("cali0");
        }
        host.ns.ip("link delete cali0\n");
    }
}

#[test]
fn many_interfaces_come_and_go() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    let names: Vec<String> = (1..=100).map(|number| format!("cali{number}")).collect();
    let address = |number: usize| format!("10.66.0.{number}");
    for (number, name) in names.iter().enumerate() {
        host.want(name, wiring(&[&address(number)]));
    }
    let lines: String = names.iter().map(|name| veth_up(name)).collect();
    host.ns.ip(&lines);
    for name in &names {
        host.hear(name, &Outcome::Wired);
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(host.routes_to(&address(number), name).len(), 1, "{name}");
    }
    // Every address moves to another interface.
    let last = names.len() - 1;
    for (number, name) in names.iter().enumerate() {
        host.want(name, wiring(&[&address(last - number)]));
    }
    host.eventually("all have moved", |host| {
        let routes = host.routes();
        names.iter().enumerate().all(|(number, name)| {
            routes.contains(&format!("{} dev {name} ", address(last - number)))
        })
    });
    assert_eq!(host.routes().matches("10.66.").count(), names.len());
    for name in &names {
        host.unwant(name);
    }
    host.eventually("all are gone", |host| !host.routes().contains("10.66."));
}

#[test]
fn addresses_and_the_hardware_address_may_change() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&veth_up("cali0"));
    host.wire("cali0", first());
    let mac = Some([2, 0, 0, 0, 0, 9]);
    host.wire("cali0", Wiring { mac, ..first() });
    assert!(host.neighbours("cali0").contains("02:00:00:00:00:09"));
    host.wire(
        "cali0",
        Wiring {
            mac: None,
            ..first()
        },
    );
    assert_eq!(host.neighbours("cali0"), "");
    host.wire("cali0", wiring(&["10.65.0.3", V6]));
    assert!(host.routes_to(V4, "cali0").is_empty());
    assert_eq!(host.routes_to("10.65.0.3", "cali0").len(), 1);
    assert_eq!(host.routes_to(V6, "cali0").len(), 1);
    assert!(host.neighbours("cali0").starts_with("10.65.0.3 "));
    host.wire("cali0", wiring(&[]));
    assert!(!host.routes().contains("10.65."), "{}", host.routes());
    host.wire("cali0", first());
    host.assert_wired("cali0");
    host.unwant("cali0");
    host.eventually("nothing is left", |host| {
        !host.routes().contains("65") && host.neighbours("cali0").is_empty()
    });
}

#[test]
fn routes_of_others_stay_and_those_to_workloads_go() {
    if !privileged() {
        return;
    }
    let prepared = veth_up("cali0")
        + &veth_up("eth0")
        + "addr add 169.254.7.1/24 dev cali0\n\
           route add 10.70.0.1/32 dev cali0 proto static\n\
           route add fd70::1/128 dev cali0 proto static\n\
           route add 10.71.0.1/32 dev eth0 scope link metric 1024\n\
           route add 10.72.0.1/32 dev eth0 proto 80\n\
           route add fd71::/64 dev eth0\n\
           neigh add 10.71.0.1 dev eth0 lladdr 02:00:00:00:00:09 nud permanent\n\
           route add blackhole 10.73.0.0/24 proto 80\n";
    let mut host = Host::prepared(Settings::default(), &prepared);
    host.wire("cali0", first());
    assert!(host.routes().contains("10.70.0.1"), "before it is in sync");
    host.in_sync();
    host.eventually("the routes to the workload's interface are gone", |host| {
        !host.routes().contains("10.70.0.1") && !host.routes().contains("fd70::1")
    });
    host.assert_wired("cali0");
    let routes = host.routes();
    for stays in [
        "169.254.7.0/24 dev cali0 proto kernel",
        "fe80::/64 dev cali0",
        "10.71.0.1 dev eth0",
        "10.72.0.1 dev eth0",
        "fd71::/64 dev eth0",
        "blackhole 10.73.0.0/24",
    ] {
        assert!(routes.contains(stays), "{stays} is missing in\n{routes}");
    }
    assert!(host.neighbours("eth0").contains("10.71.0.1"));
}

#[test]
fn routes_to_workloads_stay_where_others_may_make_them() {
    if !privileged() {
        return;
    }
    let settings = Settings {
        external: ExternalRoutes::Kept,
        protocol: 77,
        ..Settings::default()
    };
    let prepared = veth_up("cali0")
        + &veth_up("foo0")
        + "route add 10.70.0.1/32 dev cali0 proto static\n\
           route add 10.70.0.2/32 dev cali0 proto 77\n\
           route add 10.70.0.3/32 dev foo0 proto 77 metric 1024\n\
           route add 10.70.0.4/32 dev foo0 metric 1024\n\
           route add default dev foo0 proto 77\n";
    let mut host = Host::prepared(settings, &prepared);
    host.wire("cali0", first());
    host.in_sync();
    host.eventually("our old routes are gone", |host| {
        !host.routes().contains("10.70.0.2") && !host.routes().contains("10.70.0.3")
    });
    let routes = host.routes();
    for stays in ["10.70.0.1", "10.70.0.4", "default", "proto 77 scope link"] {
        assert!(routes.contains(stays), "{stays} is missing in\n{routes}");
    }
    host.configure(Settings::default());
    host.eventually("routes have the new protocol", |host| {
        host.is_wired("cali0")
    });
    assert!(!host.routes().contains("10.70.0.1"), "{}", host.routes());
}

#[test]
fn routes_on_a_new_interface_wait_for_somebody_to_want_it() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&(veth_up("cali0") + &veth_up("cali1")));
    host.ns.ip(&format!(
        "route add {V4} dev cali0 scope link\n\
         route add 10.65.0.9 dev cali0 scope link\n"
    ));
    host.wire("cali1", wiring(&["10.65.0.3"]));
    assert_eq!(host.routes_to(V4, "cali0").len(), 1);
    host.wire("cali0", first());
    host.assert_wired("cali0");
    assert!(host.routes_to("10.65.0.9", "cali0").is_empty());
}

#[test]
fn routes_on_an_interface_that_becomes_a_workloads_wait_as_well() {
    if !privileged() {
        return;
    }
    let links = veth_up("cali0") + &veth_up("tap0");
    let routes = format!(
        "route add {V4} dev tap0 scope link\n\
         route add {V6} dev tap0\n\
         route add 10.65.0.9 dev cali0 scope link\n"
    );
    let mut host = Host::prepared(Settings::default(), &(links + &routes));
    host.in_sync();
    // Of two interfaces of one age, one is new no more.
    host.eventually("what nobody wants is gone", |host| {
        host.routes_to("10.65.0.9", "cali0").is_empty()
    });
    host.configure(Settings {
        workload_prefixes: vec!["cali".to_owned(), "tap".to_owned()],
        ..Settings::default()
    });
    host.wire("cali0", wiring(&["10.65.0.3"]));
    assert_eq!(host.routes_to(V4, "tap0").len(), 1);
    assert_eq!(host.routes_to(V6, "tap0").len(), 1);
    host.wire("tap0", first());
    host.assert_wired("tap0");
}

#[test]
fn of_two_interfaces_the_newest_has_the_address_until_it_goes() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&(veth_up("cali0") + &veth_up("cali1")));
    host.wire("cali0", first());
    host.assert_wired("cali0");
    host.wire("cali1", first());
    host.assert_wired("cali1");
    assert!(host.routes_to(V4, "cali0").is_empty());
    assert_eq!(host.neighbours("cali0"), "");
    host.ns.ip("link set cali1 down\n");
    host.hear("cali1", &Outcome::Down);
    host.eventually("the other has it", |host| host.is_wired("cali0"));
    host.ns.ip("link set cali1 up\n");
    host.hear("cali1", &Outcome::Wired);
    host.eventually("the newest has it again", |host| host.is_wired("cali1"));
    host.ns.ip("link delete cali1\n");
    host.hear("cali1", &Outcome::Absent);
    host.eventually("the other has it for good", |host| host.is_wired("cali0"));
    host.ns.ip(&veth_up("cali2"));
    host.wire("cali2", first());
    host.unwant("cali2");
    host.eventually("the other has it after all", |host| host.is_wired("cali0"));
}

#[test]
fn what_cannot_be_done_is_reported_and_done_later() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&(veth_up("cali0") + &veth_up("eth0")));
    let foreign = format!("{V4} dev eth0 scope link metric 1024");
    host.ns.ip(&format!("route add {foreign}\n"));
    host.want("cali0", first());
    host.hear_that("cali0", "failed", |outcome| match outcome {
        Outcome::Failed { reason } => reason.contains(&format!("{V4}/32")),
        Outcome::Wired | Outcome::Down | Outcome::Absent => false,
    });
    assert_eq!(
        host.routes_to(V4, "eth0").len(),
        1,
        "it is not ours to take"
    );
    assert_eq!(host.routes_to(V6, "cali0").len(), 1, "the rest is done");
    host.ns.ip(&format!("route delete {foreign}\n"));
    host.hear("cali0", &Outcome::Wired);
    host.assert_wired("cali0");
}

#[test]
fn one_family_that_cannot_be_wired_does_not_hold_back_the_other() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    // There is no IPv6 on a link with so small packets, and no setting of it.
    host.ns
        .ip(&format!("{}link set cali0 mtu 1000\n", veth_up("cali0")));
    host.wire("cali0", wiring(&[V4]));
    host.want("cali0", first());
    host.hear_that("cali0", "failed", |outcome| match outcome {
        Outcome::Failed { reason } => {
            reason.contains("net/ipv6/conf/cali0/proxy_ndp")
                || reason.contains(&format!("{V6}/128"))
        }
        Outcome::Wired | Outcome::Down | Outcome::Absent => false,
    });
    assert_eq!(host.routes_to(V4, "cali0").len(), 1);
    host.ns.ip("link set cali0 mtu 1500\n");
    host.hear("cali0", &Outcome::Wired);
    host.assert_wired("cali0");
    assert_eq!(host.setting("net/ipv6/conf/cali0/proxy_ndp"), "1");
}

#[test]
fn a_preferred_source_is_kept_while_the_address_is() {
    if !privileged() {
        return;
    }
    let settings = Settings {
        source_v4: Some("192.0.2.1".parse().expect("an address")),
        source_v6: Some("2001:db8::1".parse().expect("an address")),
        ..Settings::default()
    };
    let prepared = veth_up("cali0")
        + &veth_up("eth0")
        + "addr add 192.0.2.1/24 dev eth0\n\
           addr add 2001:db8::1/64 dev eth0 nodad\n";
    let mut host = Host::prepared(settings, &prepared);
    host.in_sync();
    host.wire("cali0", first());
    for address in [V4, V6] {
        let routes = host.routes_to(address, "cali0");
        let source = if address == V4 {
            "src 192.0.2.1"
        } else {
            "src 2001:db8::1"
        };
        assert!(routes[0].contains(source), "{routes:?}");
    }
    host.ns.ip("addr delete 192.0.2.1/24 dev eth0\n");
    host.hear_that("cali0", "failed", |outcome| match outcome {
        Outcome::Failed { .. } => true,
        Outcome::Wired | Outcome::Down | Outcome::Absent => false,
    });
    host.ns.ip("addr add 192.0.2.1/24 dev eth0\n");
    host.hear("cali0", &Outcome::Wired);
    assert_eq!(host.routes_to(V4, "cali0").len(), 1);
}

#[test]
fn a_route_of_others_stays_where_ours_cannot_be_made() {
    if !privileged() {
        return;
    }
    let settings = Settings {
        source_v4: Some("192.0.2.1".parse().expect("an address")),
        ..Settings::default()
    };
    let prepared = veth_up("cali0") + &veth_up("eth0") + "route add 10.65.0.2 dev cali0\n";
    let mut host = Host::prepared(settings, &prepared);
    host.in_sync();
    host.want("cali0", first());
    host.hear_that("cali0", "failed", |outcome| match outcome {
        Outcome::Failed { reason } => reason.contains(V4),
        Outcome::Wired | Outcome::Down | Outcome::Absent => false,
    });
    let routes = host.routes_to(V4, "cali0");
    assert!(
        routes.len() == 1 && !routes[0].contains("metric"),
        "{routes:?}"
    );
    host.ns.ip("addr add 192.0.2.1/24 dev eth0\n");
    host.hear("cali0", &Outcome::Wired);
    let routes = host.routes_to(V4, "cali0");
    assert!(
        routes.len() == 1 && routes[0].contains("src 192.0.2.1"),
        "{routes:?}"
    );
}

#[test]
fn a_restart_leaves_what_is_right_and_removes_what_has_gone() {
    if !privileged() {
        return;
    }
    let mut host = Host::new();
    host.ns.ip(&(veth_up("cali0") + &veth_up("cali1")));
    host.wire("cali0", first());
    host.wire("cali1", wiring(&["10.65.0.3"]));
    let mut host = host.restarted();
    host.wire("cali0", first());
    host.want("cali1", wiring(&["10.65.0.4"]));
    host.hear("cali1", &Outcome::Wired);
    assert_eq!(host.routes_to("10.65.0.3", "cali1").len(), 1, "not in sync");
    host.in_sync();
    host.eventually("the old route is gone", |host| {
        host.routes_to("10.65.0.3", "cali1").is_empty()
    });
    host.assert_wired("cali0");
    host.unwant("cali0");
    host.eventually("a route from before goes at once", |host| {
        host.routes_to(V4, "cali0").is_empty()
    });
}

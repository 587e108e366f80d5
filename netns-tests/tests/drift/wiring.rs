//! Routes, neighbours and settings of workloads.

use super::*;

/// Waits until something of a workload's that another program has changed is as it was, and until the log says so.
fn wired_again(
    agent: &Agent,
    what: &str,
    named: &str,
    change: impl FnOnce(),
    done: impl FnMut() -> bool,
) {
    let mark = agent.mark();
    let begun = Instant::now();
    change();
    until(what, done);
    println!(
        "{what}: put right within {} us",
        begun.elapsed().as_micros()
    );
    let said = |line: &str| {
        line.contains("put right what another program had changed") && line.contains(named)
    };
    agent.line(&mark, named, said);
}

#[test]
fn routes_neighbours_and_settings_of_workloads_are_put_right() {
    if !ns::privileged() {
        return;
    }
    let settings = [("FELIX_ROUTEREFRESHINTERVAL", "2")];
    let (world, agent) = stage(Owner::usual(), SERVICES, 2, &settings, &two());
    let works = || {
        [
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(HOST0, WL0, 8055, Open),
        ]
    };
    let (address, mac) = (WL0.v4.to_string(), hardware_address(WL0));
    let neighbour = || {
        let list = ["-4", "neigh", "show", "dev", "cali0", "nud", "permanent"];
        world.host.exec("ip", &list, "").contains(&mac)
    };
    until("the neighbour", neighbour);
    let leads = |family: &str, address: &str| {
        let route = world
            .host
            .exec("ip", &[family, "route", "show", address], "");
        route.contains("dev cali0") && !route.contains("via")
    };
    world.expect("before", works());
    // Each is another interface's turn for the pause between two repairs of one.
    wired_again(
        &agent,
        "a route that goes",
        "add the route to 10.65.1.10/32",
        || world.host.ip(&format!("route delete {address}\n")),
        || leads("-4", &address),
    );
    let v6 = WL0.v6.to_string();
    wired_again(
        &agent,
        "an IPv6 route that goes",
        "add the route to fd65:1::10/128",
        || world.host.ip(&format!("route delete {v6}/128\n")),
        || leads("-6", &v6),
    );
    wired_again(
        &agent,
        "a neighbour that goes",
        "set the neighbour",
        || {
            world
                .host
                .ip(&format!("neigh delete {address} dev cali0\n"));
        },
        neighbour,
    );
    wired_again(
        &agent,
        "a neighbour with another hardware address",
        "set the neighbour",
        || {
            world.host.ip(&format!(
                "neigh replace {address} lladdr 02:00:00:00:00:77 dev cali0 nud permanent\n"
            ));
        },
        neighbour,
    );
    world.expect("after routes and neighbours", works());
    let is = |setting: &str, value: &str| world.setting(setting) == value;
    for (setting, wrong, right) in [
        ("net/ipv4/conf/cali1/proxy_arp", "0", "1"),
        ("net/ipv4/conf/cali1/rp_filter", "0", "1"),
        ("net/ipv4/conf/cali1/forwarding", "0", "1"),
        ("net/ipv6/conf/cali1/forwarding", "0", "1"),
        ("net/ipv6/conf/cali1/proxy_ndp", "0", "1"),
        ("net/ipv4/ip_forward", "0", "1"),
        ("net/ipv6/conf/all/forwarding", "0", "1"),
        // The kernel announces no change of these: they are found when everything is read again.
        ("net/ipv4/conf/cali1/route_localnet", "0", "1"),
        ("net/ipv6/conf/cali1/accept_ra", "1", "0"),
    ] {
        wired_again(
            &agent,
            setting,
            setting,
            || world.host.sysctl(setting, wrong),
            || is(setting, right),
        );
    }
    world.expect("after settings", works());
}

//! Interfaces, routes and connections of workloads that come, change and go.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, F; section 4 says what is due.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::DEADLINE;
use netns_tests::flood::{Fate, Flood, Kind};
use netns_tests::nat::translate;
use netns_tests::resources::{
    ALLOW_ALL, documents, local, local_v1, policy_for, two, workload_policy,
};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::workloads::{Routed, hardware_address, interface};
use netns_tests::{
    Agent, EXT, EXT2, Family, Flow, HOST0, Owner, Place, WL0, WL1, World, both_ways, stage, tcp,
    track, witness,
};

const SERVICES: Services = Services {
    tcp: &[8055, 8056],
    udp: &[8055],
    protocols: &[],
};

fn start(owner: Owner) -> (World, Agent) {
    stage(owner, SERVICES, 2, &[], &two())
}

/// Says whether the host has a route to an address, in both families, by an interface.
fn leads_by(world: &World, place: Place, interface: &str) -> bool {
    let routes = world.routes();
    [place.v4.to_string(), place.v6.to_string()]
        .iter()
        .all(|address| {
            let ours: Vec<&str> = routes
                .lines()
                .filter(|route| route.split_whitespace().any(|word| word == address))
                .collect();
            ours.len() == 1 && ours[0].contains(&format!("dev {interface} "))
        })
}

/// Says whether the host tracks a connection that has to do with an address.
fn tracks(world: &World, place: Place) -> bool {
    track::connections(&world.host).iter().any(|it| {
        [it.original.from, it.original.to, it.reply.from]
            .iter()
            .any(|address| [IpAddr::from(place.v4), place.v6.into()].contains(address))
    })
}

/// The permanent neighbours of an interface.
fn neighbours(world: &World, interface: &str) -> String {
    world.host.exec(
        "ip",
        &["-4", "neigh", "show", "dev", interface, "nud", "permanent"],
        "",
    )
}

/// Says whether the ruleset knows an interface.
fn is_dispatched(world: &World, interface: &str) -> bool {
    let maps = world.host.exec("nft", &["list", "maps"], "");
    maps.contains(&format!("\"{interface}\""))
}

/// Gives the second workload's interface the first one's addresses too.
fn give_to_the_second(world: &World) {
    world.site(WL1.site).ip(&format!(
        "address add {}/32 dev eth0\naddress add {}/128 dev eth0 nodad\n",
        WL0.v4, WL0.v6
    ));
}

/// What is due to an interface of a workload once it is up.
fn configured(world: &World, interface: &str) -> bool {
    let due = [
        ("net/ipv6/conf/IF/accept_ra", "0"),
        ("net/ipv4/conf/IF/route_localnet", "1"),
        ("net/ipv4/conf/IF/proxy_arp", "1"),
        ("net/ipv4/neigh/IF/proxy_delay", "0"),
        ("net/ipv4/conf/IF/forwarding", "1"),
        ("net/ipv6/conf/IF/proxy_ndp", "1"),
        ("net/ipv6/conf/IF/forwarding", "1"),
    ];
    due.iter()
        .all(|(path, value)| world.setting(&path.replace("IF", interface)) == *value)
}

/// Everything that goes to and from the first workload.
fn first_works() -> [netns_tests::Row; 4] {
    [
        tcp(EXT, WL0, 8055, Open),
        tcp(WL0, EXT, 8055, Open),
        tcp(WL0, WL1, 8055, Open),
        tcp(HOST0, WL0, 8055, Open),
    ]
}

/// Takes the first workload's interface out of the daemon's sight: `spare0`, which is down.
fn hide(world: &World) {
    world
        .host
        .ip("link set cali0 down\nlink set cali0 name spare0\n");
}

fn show(world: &World) {
    world
        .host
        .ip("link set spare0 name cali0\nlink set cali0 up\n");
}

both_ways! {
    fn scenario_24_an_endpoint_that_is_set_down_is_cut_off(owner) {
        let (world, agent) = start(owner);
        let state = |word: &str| {
            let spec = format!("{ALLOW_ALL}, state: {word}");
            documents(&[local_v1(WL0, &spec), local(WL1, ALLOW_ALL)])
        };
        agent.apply(&state("active"));
        world.routed(&[WL0], Routed::Yes);
        let mut flow = Flow::open(&world, EXT, WL0, Family::V4, 8055);
        let mut other = Flow::open(&world, EXT, WL1, Family::V4, 8055);
        agent.apply(&state("inactive"));
        world.routed(&[WL0], Routed::No);
        assert!(!flow.answers(Duration::from_millis(500)), "the flow goes on");
        other.echo();
        world.expect("the endpoint is down", [
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(WL1, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL1, 8055, Open),
        ]);
        agent.apply(&state("active"));
        world.routed(&[WL0], Routed::Yes);
        world.expect("it is up again", first_works());
    }

    fn scenario_91_an_endpoint_before_its_interface(owner) {
        let world = World::serving(SERVICES).with_workloads(2).watching();
        hide(&world);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&documents(&two()));
        world.routed(&[WL1], Routed::Yes);
        world.routed(&[WL0], Routed::No);
        world.expect("without interface", [
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL1, 8055, Open),
        ]);
        show(&world);
        world.routed(&[WL0], Routed::Yes);
        world.expect("with it", first_works());
        let route = |family: &str, address: String| {
            world.host.exec("ip", &["-d", family, "route", "show", &address], "")
        };
        let v4 = route("-4", WL0.v4.to_string());
        assert!(v4.contains("scope link") && v4.contains("dev cali0"), "{v4}");
        assert!(!v4.contains("via"), "{v4}");
        assert!(v4.contains("metric 1024") && v4.contains("proto boot"), "{v4}");
        let v6 = route("-6", WL0.v6.to_string());
        assert!(v6.contains("metric 1024") && v6.contains("dev cali0") && !v6.contains("via"), "{v6}");
        until("the interface's settings", || configured(&world, "cali0"));
        until("the permanent neighbour", || {
            let neighbours = neighbours(&world, "cali0");
            neighbours.contains(&WL0.v4.to_string()) && neighbours.contains(&hardware_address(WL0))
        });
        assert_eq!(world.setting("net/ipv4/ip_forward"), "1");
        assert_eq!(world.setting("net/ipv6/conf/all/forwarding"), "1");
    }

    fn forwarding_may_be_left_to_the_host(owner) {
        let world = World::serving(SERVICES).with_workloads(1).watching();
        let agent = Agent::with(&world.host, owner, &[("FELIX_IPFORWARDING", "Disabled")]);
        agent.apply(&documents(&[local(WL0, ALLOW_ALL)]));
        world.routed(&[WL0], Routed::Yes);
        assert_eq!(world.setting("net/ipv4/ip_forward"), "0");
        assert_eq!(world.setting("net/ipv6/conf/all/forwarding"), "0");
    }

    fn an_endpoint_without_hardware_address_has_no_permanent_neighbour(owner) {
        let (world, agent) = start(owner);
        until("the permanent neighbour", || neighbours(&world, "cali0").contains(&WL0.v4.to_string()));
        let without = local(WL0, ALLOW_ALL).replace(&format!("mac: \"{}\", ", hardware_address(WL0)), "");
        assert!(!without.contains("mac"));
        agent.apply(&documents(&[without, local(WL1, ALLOW_ALL)]));
        let other = local(WL0, ALLOW_ALL).replace(&hardware_address(WL0), "02:00:00:00:00:77");
        until("it is gone", || !neighbours(&world, "cali0").contains(&WL0.v4.to_string()));
        world.expect("neighbours are found all the same", first_works());
        assert!(neighbours(&world, "cali1").contains(&WL1.v4.to_string()));
        agent.apply(&documents(&[other, local(WL1, ALLOW_ALL)]));
        until("it has another", || neighbours(&world, "cali0").contains("02:00:00:00:00:77"));
        agent.apply(&documents(&two()));
        until("it has its own", || neighbours(&world, "cali0").contains(&hardware_address(WL0)));
        world.expect("with its own", first_works());
    }

    fn the_host_answers_for_others_and_not_for_the_workload_itself(owner) {
        let (world, _agent) = start(owner);
        world.routed(&[WL0], Routed::Yes);
        let asks = |arguments: &[&str], address: &str| {
            world.site(WL0.site).run(|| {
                Command::new("arping")
                    .args(arguments)
                    .args(["-I", "eth0", "-c", "2", "-w", "2", address])
                    .stdout(Stdio::null())
                    .status()
                    .expect("run arping")
                    .success()
            })
        };
        until("the host answers for the way out", || asks(&[], &EXT.v4.to_string()));
        assert!(asks(&["-D"], &WL0.v4.to_string()), "the workload's address is claimed");
    }

    fn scenario_92_flaps_and_renames_bring_the_route_back(owner) {
        let (world, agent) = start(owner);
        for _ in 0..3 {
            world.host.ip("link set cali0 down\n");
            world.host.ip("link set cali0 up\n");
            world.routed(&[WL0], Routed::Yes);
        }
        world.expect("after flaps", first_works());
        until("the permanent neighbour", || neighbours(&world, "cali0").contains(&WL0.v4.to_string()));
        hide(&world);
        world.routed(&[WL0], Routed::No);
        world.expect("renamed", [tcp(EXT, WL0, 8055, Dropped).lost(), tcp(EXT, WL1, 8055, Open)]);
        show(&world);
        world.routed(&[WL0], Routed::Yes);
        until("the interface's settings", || configured(&world, "cali0"));
        world.expect("under its old name", first_works());
        // The endpoint follows its interface to another name.
        world.host.ip("link set cali0 down\nlink set cali0 name calix\nlink set calix up\n");
        agent.apply(&documents(&[
            local(WL0, ALLOW_ALL).replace("interfaceName: cali0", "interfaceName: calix"),
            local(WL1, ALLOW_ALL),
        ]));
        until("the route follows", || leads_by(&world, WL0, "calix"));
        until("the interface's settings", || configured(&world, "calix"));
        world.expect("under another name", first_works());
    }

    fn scenario_92_an_interface_is_deleted_and_made_again(owner) {
        let (world, _agent) = start(owner);
        let inside = world.site(WL0.site);
        world.host.ip("link del cali0\n");
        world.routed(&[WL0], Routed::No);
        world.expect("without interface", [tcp(EXT, WL0, 8055, Dropped).lost(), tcp(EXT, WL1, 8055, Open)]);
        world.join(WL0);
        assert!(inside.name().contains("wl0"));
        world.routed(&[WL0], Routed::Yes);
        until("the interface's settings", || configured(&world, "cali0"));
        world.expect("made again", first_works());
    }

    fn scenario_93_one_address_on_two_interfaces(owner) {
        let (world, agent) = start(owner);
        // The second workload has the first one's address too, and is the newer interface.
        let both = local(WL1, ALLOW_ALL).replace(
            &format!("\"{}/32\"", WL1.v4),
            &format!("\"{}/32\", \"{}/32\", \"{}/128\"", WL1.v4, WL0.v4, WL0.v6),
        );
        give_to_the_second(&world);
        agent.apply(&documents(&[local(WL0, ALLOW_ALL), both.clone()]));
        until("the newer interface wins", || leads_by(&world, WL0, "cali1"));
        world.expect("it lands there", [
            tcp(EXT, WL0, 8055, Open).lands_at(WL1.site).delivered(),
            tcp(EXT, WL1, 8055, Open),
        ]);
        agent.apply(&documents(&two()));
        until("the other takes over", || leads_by(&world, WL0, "cali0"));
        world.expect("it lands at its own", [
            tcp(EXT, WL0, 8055, Open).lands_at(WL0.site).delivered(),
            tcp(EXT, WL1, 8055, Open),
        ]);
        agent.apply(&documents(&[local(WL0, ALLOW_ALL), both.clone()]));
        until("the newer interface wins again", || leads_by(&world, WL0, "cali1"));
        world.host.ip("link set cali1 down\n");
        until("the winner is down", || leads_by(&world, WL0, "cali0"));
        world.host.ip("link set cali1 up\n");
        until("the winner is back", || leads_by(&world, WL0, "cali1"));
    }

    fn scenario_94_nothing_is_left_of_an_endpoint(owner) {
        let (world, agent) = start(owner);
        let mut flow = Flow::open(&world, EXT, WL0, Family::V4, 8055);
        let mut other = Flow::open(&world, EXT, WL1, Family::V4, 8055);
        let _six = Flow::open(&world, WL0, EXT, Family::V6, 8055);
        world.expect("before", first_works());
        assert!(tracks(&world, WL0) && tracks(&world, WL1));
        until("the permanent neighbour", || neighbours(&world, "cali0").contains(&WL0.v4.to_string()));
        agent.apply(&documents(&[local(WL1, ALLOW_ALL)]));
        world.routed(&[WL0], Routed::No);
        until("its connections are forgotten", || !tracks(&world, WL0));
        until("its neighbour is gone", || !neighbours(&world, "cali0").contains(&WL0.v4.to_string()));
        let text = world.host.exec("nft", &["list", "table", "inet", "tortie"], "");
        assert!(!text.contains("cali0") && !text.contains("wl0"), "{text}");
        assert!(tracks(&world, WL1));
        other.echo();
        assert!(!flow.answers(Duration::from_millis(500)), "the flow goes on");
        world.expect("it is unknown", [
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(EXT, WL1, 8055, Open),
        ]);
    }

    fn scenario_94_connections_of_a_translated_address_are_forgotten(owner) {
        let (world, agent) = start(owner);
        translate(&world, &[(32010, WL0, 8055)]);
        world.host.nft(
            "table inet hiding {
                chain post { type nat hook postrouting priority 100; policy accept; iifname \"cali*\" oifname \"eth1\" masquerade
                }
            }",
        );
        let _in = Flow::open(&world, EXT, HOST0, Family::V4, 32010);
        let _in6 = Flow::open(&world, EXT, HOST0, Family::V6, 32010);
        let _out = Flow::open(&world, WL0, EXT2, Family::V4, 8055);
        let _out6 = Flow::open(&world, WL0, EXT2, Family::V6, 8055);
        let mut other = Flow::open(&world, WL1, EXT2, Family::V6, 8055);
        let ours = track::connections(&world.host).iter().filter(|it| it.protocol == 6).count();
        assert_eq!(ours, 5);
        agent.apply(&documents(&[local(WL1, ALLOW_ALL)]));
        world.routed(&[WL0], Routed::No);
        until("its connections are forgotten", || !tracks(&world, WL0));
        let left = track::connections(&world.host).iter().filter(|it| it.protocol == 6).count();
        assert_eq!(left, 1);
        other.echo();
    }

    fn scenario_94_an_address_is_taken_from_an_endpoint(owner) {
        let (world, agent) = start(owner);
        let mut four = Flow::open(&world, EXT, WL0, Family::V4, 8055);
        let mut six = Flow::open(&world, EXT, WL0, Family::V6, 8055);
        let without = local(WL0, ALLOW_ALL).replace(&format!(", \"{}/128\"", WL0.v6), "");
        agent.apply(&documents(&[without, local(WL1, ALLOW_ALL)]));
        until("the route is gone", || !world.routes().contains(&WL0.v6.to_string()));
        until("its connections are forgotten", || {
            track::connections(&world.host).iter().all(|it| it.original.to != IpAddr::from(WL0.v6))
        });
        four.echo();
        assert!(!six.answers(Duration::from_millis(500)), "the flow goes on");
        world.expect("the other address", [
            tcp(EXT, WL0, 8055, Open).v4(),
            tcp(EXT, WL0, 8055, Dropped).v6().lost(),
            tcp(WL0, EXT, 8055, Open).v4(),
            tcp(WL0, EXT, 8055, Dropped).v6().lost(),
        ]);
        agent.apply(&documents(&two()));
        world.routed(&[WL0], Routed::Yes);
        world.expect("it is back", first_works());
    }

    fn scenario_95_connections_of_a_moved_address_are_forgotten_first(owner) {
        let (world, agent) = start(owner);
        let _flow = Flow::open(&world, EXT, WL0, Family::V4, 8055);
        let _six = Flow::open(&world, EXT, WL0, Family::V6, 8055);
        let mut other = Flow::open(&world, EXT2, WL1, Family::V4, 8055);
        let old: Vec<_> = track::connections(&world.host)
            .into_iter()
            .filter(|it| [it.original.to] == [IpAddr::from(WL0.v4)] || it.original.to == IpAddr::from(WL0.v6))
            .collect();
        assert_eq!(old.len(), 2, "{old:?}");
        give_to_the_second(&world);
        let moved = local(WL1, ALLOW_ALL).replace(
            &format!("\"{}/32\"", WL1.v4),
            &format!("\"{}/32\", \"{}/32\", \"{}/128\"", WL1.v4, WL0.v4, WL0.v6),
        );
        agent.directory().put("resources.yaml", &moved);
        until("the route moves", || leads_by(&world, WL0, "cali1"));
        // At the first sight of the new route.
        let left = track::connections(&world.host);
        assert!(old.iter().all(|it| !left.contains(it)), "{old:?} are among {left:?}");
        other.echo();
        world.expect("it is reached at its new place", [
            tcp(EXT, WL0, 8055, Open).lands_at(WL1.site).delivered(),
            tcp(EXT, WL1, 8055, Open),
        ]);
    }

    fn scenario_95_connections_are_not_inherited_across_a_restart(owner) {
        let (world, mut agent) = start(owner);
        let families = [Family::V4, Family::V6];
        let _flows = families.map(|family| Flow::open(&world, EXT, WL0, family, 8055));
        let mut others = families.map(|family| Flow::open(&world, EXT, WL1, family, 8055));
        agent.terminate();
        // As where another workload has taken its place meanwhile: its routes went with its interface, and a plugin has
        // made routes through the new one, of which that of IPv6 is like the daemon's.
        world.host.ip(&format!(
            "link set cali0 down\n\
             link set cali0 up\n\
             route add {}/32 dev cali0 scope link proto boot\n\
             route add {}/128 dev cali0 metric 1024 proto boot\n",
            WL0.v4, WL0.v6
        ));
        assert!(tracks(&world, WL0));
        let _agent = Agent::on(&world.host, owner, &[], agent.directory());
        let own = format!("{} dev cali0 proto boot scope link metric 1024", WL0.v4);
        until("the daemon's route is the only one", || {
            leads_by(&world, WL0, "cali0") && world.routes().contains(&own)
        });
        assert!(!tracks(&world, WL0), "its connections are forgotten before it is routed");
        assert!(tracks(&world, WL1), "who was not away keeps them");
        for other in &mut others {
            other.echo();
        }
    }

    fn a_restart_leaves_the_routes_alone(owner) {
        let (world, mut agent) = start(owner);
        let mut flow = Flow::open(&world, EXT, WL0, Family::V4, 8055);
        agent.terminate();
        world.expect("nobody is there", first_works());
        let mut changes = Changes::of_routes(&world);
        let agent = Agent::on(&world.host, owner, &[], agent.directory());
        agent.apply(&documents(&[local(WL0, ALLOW_ALL), local(WL1, "")]));
        world.expect("a second daemon", first_works().into_iter().filter(|row| !row.is_to(WL1)).chain([
            tcp(WL0, WL1, 8055, Dropped),
        ]));
        let seen = changes.so_far(&world);
        assert!(!seen.contains("dev cali"), "the routes were touched: {seen}");
        flow.echo();
    }

    fn many_changes_end_where_the_last_one_says(owner) {
        let (world, agent) = start(owner);
        give_to_the_second(&world);
        let moved = local(WL1, ALLOW_ALL).replace(
            &format!("\"{}/32\"", WL1.v4),
            &format!("\"{}/32\", \"{}/32\", \"{}/128\"", WL1.v4, WL0.v4, WL0.v6),
        );
        let states = [documents(&two()), documents(&[moved]), documents(&[local(WL1, ALLOW_ALL)])];
        for round in 0..3 {
            for number in 0..40 {
                agent.directory().put("resources.yaml", &states[(number * 7 + round) % 3]);
                if number % 10 == round {
                    world.host.ip("link set cali0 down\nlink set cali0 up\n");
                }
            }
            agent.directory().put("resources.yaml", &states[round]);
            match round {
                0 => until("the first has it", || leads_by(&world, WL0, "cali0")),
                1 => until("the second has it", || leads_by(&world, WL0, "cali1")),
                _ => world.routed(&[WL0], Routed::No),
            }
            world.routed(&[WL1], Routed::Yes);
            let (expected, lands_at) = [(Open, WL0.site), (Open, WL1.site), (Dropped, WL0.site)][round];
            world.eventually("its policy is that of its place", [
                tcp(EXT, WL0, 8055, expected).lands_at(lands_at),
                tcp(WL1, EXT, 8055, Open),
                tcp(EXT, WL1, 8055, Open),
            ]);
            until("its neighbours are that of its place", || {
                let known = ["cali0", "cali1"].map(|name| neighbours(&world, name).contains(&WL0.v4.to_string()));
                known == [round == 0, round == 1]
            });
        }
    }

    fn scenario_106_routes_of_others(owner) {
        let (world, agent) = start(owner);
        world.host.ip(
            "route add 10.66.0.0/16 dev eth1 proto 99\n\
             route add 10.67.0.1/32 dev cali0 proto 99\n\
             route add fd66::/16 dev eth1 proto 99\n\
             route add fd67::1/128 dev cali0 proto 99\n",
        );
        until("what is not the daemon's on a workload's interface goes", || {
            let routes = world.routes();
            !routes.contains("10.67.0.1") && !routes.contains("fd67::1")
        });
        agent.apply(&documents(&[local(WL1, ALLOW_ALL)]));
        world.routed(&[WL0], Routed::No);
        let routes = world.routes();
        assert!(routes.contains("10.66.0.0/16 dev eth1") && routes.contains("fd66::/16 dev eth1"), "{routes}");
        world.expect("the host's own routes work", [tcp(EXT2, WL1, 8055, Open), tcp(EXT, HOST0, 8055, Open)]);
    }

    fn scenario_106_routes_of_others_may_stay(owner) {
        let settings = [("FELIX_REMOVEEXTERNALROUTES", "false")];
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &two());
        world.host.ip("route add 10.67.0.1/32 dev cali0 proto 99\nroute add fd67::1/128 dev cali0 proto 99\n");
        // Everything that makes the daemon look at this interface's routes again.
        world.host.ip("route del 10.65.1.10/32 dev cali0\n");
        world.host.ip("link set cali1 down\n");
        world.host.ip("link set cali1 up\n");
        world.routed(&[WL0, WL1], Routed::Yes);
        agent.apply(&documents(&[local(WL0, ALLOW_ALL)]));
        world.routed(&[WL1], Routed::No);
        let routes = world.routes();
        assert!(routes.contains("10.67.0.1") && routes.contains("fd67::1"), "{routes}");
    }

    fn connections_do_not_depend_on_whose_route_leads_to_a_workload(owner) {
        let settings = [("FELIX_REMOVEEXTERNALROUTES", "false"), ("FELIX_DEVICEROUTEPROTOCOL", "80")];
        let world = World::serving(SERVICES).with_workloads(2);
        let mut agent = Agent::with(&world.host, owner, &settings);
        let wire = |place: Place| {
            // As a network plugin makes it, which stands in the place of the daemon's.
            let (address, interface) = (place.v6, interface(place));
            world.host.ip(&format!("route replace {address}/128 dev {interface} metric 1024 proto boot\n"));
        };
        wire(WL0);
        wire(WL1);
        agent.apply(&documents(&two()));
        world.routed(&[WL0, WL1], Routed::Yes);
        let mut flows = [WL0, WL1].map(|to| Flow::open(&world, EXT, to, Family::V6, 8055));
        let known = |place: Place| neighbours(&world, &interface(place)).contains(&place.v4.to_string());
        until("both are wired", || known(WL0) && known(WL1));
        agent.kill();
        // Nothing says any more who the second one is, whose connections show when those in doubt are gone.
        world.host.ip(&format!("neigh del {} dev cali1\n", WL1.v4));
        let agent = Agent::on(&world.host, owner, &settings, agent.directory());
        until("those in doubt are gone", || !tracks(&world, WL1));
        assert!(tracks(&world, WL0), "an agent has wired it");
        flows[0].echo();
        agent.apply(&documents(&[local(WL1, ALLOW_ALL)]));
        until("whoever has the address next inherits nothing", || !tracks(&world, WL0));
        let routes = world.routes();
        assert!(routes.contains(&format!("{} dev cali0 proto boot", WL0.v6)), "{routes}");
    }

    fn routes_have_the_priority_that_is_configured_and_connections_live_on_over_a_change(owner) {
        let settings = [("FELIX_IPV4NORMALROUTEPRIORITY", "300"), ("FELIX_IPV6NORMALROUTEPRIORITY", "301")];
        let (world, mut agent) = stage(owner, SERVICES, 1, &settings, &[local(WL0, ALLOW_ALL)]);
        let families = [Family::V4, Family::V6];
        let mut flows = families.map(|family| Flow::open(&world, EXT, WL0, family, 8055));
        let before = track::connections(&world.host);
        let lead = |world: &World, metrics: [&str; 2]| {
            let routes = world.routes();
            leads_by(world, WL0, "cali0") && metrics.iter().all(|metric| {
                routes.lines().any(|route| route.contains("dev cali0") && route.contains(metric))
            })
        };
        until("the routes have their priority", || lead(&world, ["metric 300", "metric 301"]));
        agent.terminate();
        let agent = Agent::on(&world.host, owner, &[], agent.directory());
        until("they have the usual one", || lead(&world, ["metric 1024", "metric 1024"]));
        assert_eq!(track::connections(&world.host), before);
        let other = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\n\
                     spec: {ipv4NormalRoutePriority: 400, ipv6NormalRoutePriority: 401}\n";
        agent.put("configuration.yaml", other);
        until("they have another", || lead(&world, ["metric 400", "metric 401"]));
        assert_eq!(track::connections(&world.host), before);
        for flow in &mut flows {
            flow.echo();
        }
    }

    fn a_route_that_somebody_takes_away_comes_back(owner) {
        let (world, _agent) = start(owner);
        world.host.ip("route del 10.65.1.10/32 dev cali0\nroute del fd65:1::10/128 dev cali0\n");
        world.routed(&[WL0], Routed::Yes);
        world.expect("it works", first_works());
    }

    fn routes_may_have_a_protocol_and_a_source_of_their_own(owner) {
        let settings = [
            ("FELIX_DEVICEROUTEPROTOCOL", "88"),
            ("FELIX_DEVICEROUTESOURCEADDRESS", "203.0.113.1"),
            ("FELIX_DEVICEROUTESOURCEADDRESSIPV6", "2001:db8:3::1"),
        ];
        let (world, _agent) = stage(owner, SERVICES, 1, &settings, &[local(WL0, ALLOW_ALL)]);
        let routes = world.routes();
        let of = |address: String| {
            let wanted = |line: &&str| line.split_whitespace().any(|word| word == address);
            routes.lines().find(wanted).unwrap_or_default().to_owned()
        };
        let (v4, v6) = (of(WL0.v4.to_string()), of(WL0.v6.to_string()));
        assert!(v4.contains("proto 88") && v4.contains("src 203.0.113.1"), "{v4}");
        assert!(v6.contains("proto 88") && v6.contains("src 2001:db8:3::1"), "{v6}");
    }

    fn scenario_107_policy_is_in_the_kernel_before_the_route(owner) {
        let world = World::serving(SERVICES).with_workloads(2).watching();
        let agent = Agent::start(&world.host, owner);
        // Many policies, so that the ruleset is no matter of a moment.
        let many: Vec<String> = (0..300)
            .map(|number| workload_policy(
                &format!("p{number}"), number + 1,
                &format!("types: [Ingress], ingress: [{{action: Deny, protocol: TCP, source: {{nets: [10.200.{}.0/24]}}}}]", number % 250),
            ))
            .collect();
        let all = documents(&[two(), many].concat());
        for _ in 0..3 {
            agent.directory().put("resources.yaml", &all);
            until("the route comes", || leads_by(&world, WL0, "cali0"));
            assert!(is_dispatched(&world, "cali0"), "the route is there, and policy is not");
            world.routed(&[WL0, WL1], Routed::Yes);
            agent.remove("resources.yaml");
            world.routed(&[WL0, WL1], Routed::No);
        }
        if owner == Owner::Enabled {
            return;
        }
        // The table is gone when the next state comes: until that is in force in another one, there is no policy
        // and must be no route.
        let mark = agent.mark();
        agent.directory().put("resources.yaml", &all);
        world.host.nft("delete table inet tortie\n");
        // Who did it is not heard where it falls into a transaction of the daemon's.
        agent.line(&mark, "the repair", |line| line.contains("putting our table right"));
        until("the route comes after all", || {
            leads_by(&world, WL0, "cali0") || leads_by(&world, WL1, "cali1")
        });
        assert!(is_dispatched(&world, "cali0"), "the route is there, and policy is not");
        world.routed(&[WL0, WL1], Routed::Yes);
        world.expect("both work", [
            tcp(WL0, WL1, 8055, Dropped),
            tcp(HOST0, WL1, 8055, Open),
        ]);
    }

    fn scenario_108_policies_change_places_at_once(owner) {
        let (world, agent) = stage(owner, Services::default(), 2, &[], &two());
        // The endpoint's label decides in which order thirty policies are asked, and in both orders 7001 is allowed
        // and 7002 denied, each by another policy than before.
        let rule = |action: &str, port: u16| format!("{{action: {action}, protocol: UDP, destination: {{ports: [{port}]}}}}");
        let ordered = |state: &str, reverse: bool| -> Vec<String> {
            (0..15u32)
                .map(|number| {
                    let order = if reverse { 100 - number } else { number + 1 };
                    let rules = format!("{}, {}", rule("Allow", 7001), rule("Deny", 7002));
                    policy_for(
                        &format!("state == '{state}'"), &format!("{state}-{number}"), order,
                        &format!("types: [Ingress], ingress: [{rules}]"),
                    )
                })
                .collect()
        };
        let labelled = |state: &str| netns_tests::resources::local_labelled(
            WL0, &format!("name: wl0, state: {state}"), ALLOW_ALL,
        );
        agent.put("policies.yaml", &documents(&[ordered("a", false), ordered("b", true)].concat()));
        agent.apply(&documents(&[labelled("a"), local(WL1, ALLOW_ALL)]));
        let kind = |from, port, fate| Kind { from, port, fate };
        let flood = Flood::start(&world, WL0, &[
            kind(EXT, 7001, Fate::Always),
            kind(EXT, 7002, Fate::Never),
            kind(WL1, 7001, Fate::Always),
            kind(WL1, 7002, Fate::Never),
        ], DEADLINE);
        for number in 0..150 {
            agent.apply(&documents(&[labelled(["b", "a"][number % 2]), local(WL1, ALLOW_ALL)]));
        }
        let counts = flood.finish();
        let wrong: Vec<_> = counts.iter().filter(|count| !count.holds()).collect();
        assert!(wrong.is_empty(), "some packets met no policy, or a part of it: {wrong:#?}");
        assert!(counts.iter().all(|count| count.sent > 1000), "{counts:#?}");
        assert!(witness::exists(&world.host));
    }
}

/// Listens to changes of the host's routes.
struct Changes {
    monitor: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Changes {
    fn of_routes(world: &World) -> Self {
        let mut command = Command::new("ip");
        command
            .args(["-o", "monitor", "route"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut monitor = world.host.run(|| command.spawn()).expect("start a monitor");
        let output = monitor.stdout.take().expect("the output is a pipe");
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut changes = Self { monitor, lines };
        changes.so_far(world);
        changes
    }

    /// Returns what was reported up to now.
    fn so_far(&mut self, world: &World) -> String {
        let mut seen = String::new();
        until("the monitor reports what is done for this alone", || {
            world
                .host
                .ip("route replace 10.250.0.0/16 dev eth1\nroute del 10.250.0.0/16 dev eth1\n");
            seen.extend(self.lines.try_iter().map(|line| line + "\n"));
            seen.contains("Deleted 10.250.0.0/16")
        });
        seen
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

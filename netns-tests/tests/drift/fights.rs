//! Other programs that are busy, in their own tables and in ours.

use super::*;

/// A ruleset as other firewalls load it, whole, in the place of all there is.
fn reload() -> String {
    let addresses: Vec<String> = (0..2000)
        .map(|it| format!("10.80.{}.{}", it / 250, it % 250))
        .collect();
    let rules: Vec<String> = (0..200)
        .map(|it| format!("ip saddr 10.90.{it}.0/24 counter accept"))
        .collect();
    let rules = rules.join("\n");
    format!(
        "flush ruleset
         table inet firewalld {{
             set blocked {{ type ipv4_addr; elements = {{ {} }}
             }}
             chain filter_INPUT {{
                 type filter hook input priority 10; policy accept
                 ip saddr @blocked drop
                 {rules}
             }}
         }}",
        addresses.join(", ")
    )
}

both_ways! {
    fn scenario_98_reloads_of_another_firewall(owner) {
        let (world, agent) = start(owner);
        let before = contents(&world);
        let identities = witness::identities(&world.host);
        let mark = agent.mark();
        let reload = reload();
        // Where the table is owned, no packet sees any of it.
        let vigil = (owner == Owner::Enabled).then(|| Vigil::keep(&world, 8056, 22));
        for _ in 0..5 {
            world.host.nft(&reload);
        }
        if let Some(vigil) = vigil {
            vigil.finish();
            assert_eq!(witness::identities(&world.host), identities);
            assert!(!agent.has_said(&mark, "drift"));
        } else {
            until("the table", || is_again(&world, &before));
        }
        expect_policed(&world, "after reloads");
        let foreign = witness::foreign(&world.host);
        assert!(foreign.contains_key("inet firewalld"), "{:?}", foreign.keys());
        world.host.nft("add rule inet firewalld filter_INPUT tcp dport 8055 drop");
        world.expect("and that of the other firewall is heeded", [
            tcp(W1, HOST0, 8055, Dropped),
            tcp(W2, HOST0, 8057, Open),
        ]);
    }

    fn what_others_do_in_their_tables_is_nothing_to_us(owner) {
        let (world, agent) = start(owner);
        let identities = witness::identities(&world.host);
        let mark = agent.mark();
        for number in 0..50 {
            world.host.nft(&format!(
                "add table ip other
                 add chain ip other c{number}
                 add rule ip other c{number} counter
                 add table inet tortie2
                 add chain inet tortie2 output
                 delete table ip other"
            ));
        }
        agent.apply(&resources().replace("8057", "8055"));
        assert!(!agent.has_said(&mark, "another program"));
        agent.apply(&resources());
        assert_eq!(witness::identities(&world.host).0, identities.0);
        expect_policed(&world, "beside a busy program");
    }
}

#[test]
fn a_fight_is_fought_with_pauses_and_ends_in_our_table() {
    if !ns::privileged() {
        return;
    }
    let (world, agent) = start(Owner::Disabled);
    let before = contents(&world);
    let mark = agent.mark();
    let over = Arc::new(AtomicBool::new(false));
    let fight = {
        let (over, handle) = (Arc::clone(&over), world.host.handle());
        std::thread::spawn(move || {
            handle.enter();
            while !over.load(Ordering::SeqCst) {
                let nft = Command::new("nft")
                    .args(["delete", "table", "inet", "tortie"])
                    .output();
                nft.expect("run nft");
            }
        })
    };
    let warning = agent.warned(&mark, "another program keeps changing our table");
    assert!(warning.contains("(`nft`)"), "{warning}");
    // What policy says goes on, at the pace of the repairs.
    agent.apply(&resources().replace("8057", "8055"));
    agent.apply(&resources());
    over.store(true, Ordering::SeqCst);
    fight.join().expect("the fight ends");
    until("the table", || is_again(&world, &before));
    expect_policed(&world, "after the fight");
}

#[test]
fn changes_of_ours_and_of_others_at_once_end_in_ours() {
    if !ns::privileged() {
        return;
    }
    let (world, agent) = start(Owner::Disabled);
    let over = Arc::new(AtomicBool::new(false));
    let others = {
        let (over, handle) = (Arc::clone(&over), world.host.handle());
        std::thread::spawn(move || {
            handle.enter();
            let commands = [
                "flush chain inet tortie pol-in-default.allow",
                "insert rule inet tortie output accept",
                "add element inet tortie wl-from-if { \"cali7\" : accept }",
                "add table ip other",
                "delete table ip other",
            ];
            for command in commands.iter().cycle() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let nft = Command::new("nft").arg(command).output();
                nft.expect("run nft");
                // Less than makes a fight.
                std::thread::park_timeout(Duration::from_millis(300));
            }
        })
    };
    let mark = agent.mark();
    for number in 0..40 {
        let members = format!("10.65.0.1, 10.67.0.{number}, \"fd65::1\"");
        agent.apply(&resources().replace("10.65.0.1, \"fd65::1\"", &members));
    }
    agent.line(&mark, "a repair", |line| line.contains("another program"));
    agent.apply(&resources());
    over.store(true, Ordering::SeqCst);
    others.join().expect("the others end");
    let held = || contents(&world);
    until("the table", || {
        let lines = held();
        !lines
            .iter()
            .any(|line| line.contains("cali7") || line.contains("10.67"))
            && lines
                .iter()
                .filter(|line| line.contains("pol-in-default.allow"))
                .count()
                > 3
    });
    expect_policed(&world, "after all of it");
}

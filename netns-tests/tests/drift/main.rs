//! Scenarios 98 and 99: what other programs do to our table, routes, neighbours and settings, and what becomes of it.

mod fights;
mod wiring;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Trigger, command_line, field, says};
use netns_tests::resources::{documents, eth0, ingress, network_set, two};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::vigil::Vigil;
use netns_tests::workloads::hardware_address;
use netns_tests::{
    Agent, EXT, Family, HOST0, Owner, W1, W2, WL0, World, both_ways, kernel, ns, stage, tcp,
    witness,
};
use rustables::expr::{Immediate, VerdictKind};
use rustables::{Batch, Chain, MsgType, Rule, Table, list_rules_for_chain};

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056, 8057],
    udp: &[],
    protocols: &[],
};

/// Addresses of one port from a set, and a second rule of the same policy.
fn resources() -> String {
    documents(&[
        eth0(),
        network_set("members", "member: 'yes'", "10.65.0.1, \"fd65::1\""),
        network_set("nets", "net: 'yes'", "10.65.0.0/24, \"fd65::/64\""),
        ingress(
            "allow",
            10,
            "{action: Allow, protocol: TCP, source: {selector: has(member)}, destination: {ports: [8055]}}, \
             {action: Allow, protocol: TCP, source: {selector: has(net)}, destination: {ports: [8057]}}, \
             {action: Deny, protocol: TCP, destination: {ports: [8056]}}",
        ),
    ])
}

fn expect_policed(world: &World, when: &str) {
    world.expect(
        when,
        [
            tcp(EXT, HOST0, 22, Open),
            tcp(W1, HOST0, 8055, Open),
            tcp(W2, HOST0, 8055, Dropped),
            tcp(W2, HOST0, 8057, Open),
            tcp(W1, HOST0, 8056, Dropped),
        ],
    );
}

fn start(owner: Owner) -> (World, Agent) {
    let world = World::serving(SERVICES);
    let agent = Agent::start(&world.host, owner);
    agent.apply(&resources());
    (world, agent)
}

/// Returns the names of our objects of a kind.
fn names(world: &World, kind: &str) -> BTreeSet<String> {
    let objects = witness::ruleset(&world.host);
    let names = objects
        .iter()
        .filter_map(|object| object[kind]["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Returns the name of our one object of a kind with this in its name.
fn named(world: &World, kind: &str, part: &str) -> String {
    let names = names(world, kind);
    let found = names.iter().find(|name| name.contains(part));
    found
        .unwrap_or_else(|| panic!("no {kind} {part} in {names:?}"))
        .clone()
}

/// Returns the table, whichever of its two names each set has.
fn contents(world: &World) -> BTreeSet<String> {
    let lines = witness::contents(&world.host).into_iter();
    let named = lines.map(|line| line.replace(".32-b", ".32").replace(".nets-b", ".nets"));
    named.collect()
}

/// Tells whether the table is there and holds just this.
fn is_again(world: &World, before: &BTreeSet<String>) -> bool {
    witness::exists(&world.host) && contents(world) == *before
}

/// One foreign change: what it is called, the text for `nft`, and what the log must name.
struct Change<'a> {
    what: &'a str,
    text: String,
    named: &'a str,
}

fn change<'a>(what: &'a str, text: impl Into<String>, named: &'a str) -> Change<'a> {
    Change {
        what,
        text: text.into(),
        named,
    }
}

/// Makes each change by `nft`, and waits until it was noticed, named and put right.
fn put_right(world: &World, agent: &Agent, changes: Vec<Change<'_>>) {
    let before = contents(world);
    for Change { what, text, named } in changes {
        eprintln!("{what}");
        mended(world, agent, &before, what, named, || world.host.nft(&text));
    }
    expect_policed(world, "after all of it");
    witness::agree(&world.host);
}

/// Waits until a change was noticed, named and put right.
fn mended(
    world: &World,
    agent: &Agent,
    before: &BTreeSet<String>,
    what: &str,
    named: &str,
    change: impl FnOnce(),
) {
    let mark = agent.mark();
    change();
    let warning = agent.warned(&mark, "another program has changed our table");
    assert!(warning.contains(named), "{what}: {named:?} in {warning}");
    assert!(warning.contains("process "), "{what}: who, in {warning}");
    let applied = agent.line(&mark, "the repair", |line| {
        says(line, "applied") && field(line, "trigger").is_some_and(|it| it.contains("drift"))
    });
    until(what, || is_again(world, before));
    let micros = field(&applied, "elapsed_us").unwrap_or_default();
    println!("{what}: put right within {micros} us of being heard");
}

/// Returns the handles of the rules of a chain.
fn handles(world: &World, chain: &str) -> Vec<u64> {
    let rules = witness::rules(&world.host);
    let of_chain = rules.iter().filter(|rule| rule["chain"] == chain);
    of_chain
        .filter_map(|rule| rule["handle"].as_u64())
        .collect()
}

/// Puts a rule in the place of one, which accepts everything and bears that one's user data, fingerprint and all.
fn forge(world: &World, chain: &str, index: usize) {
    world.host.run(|| {
        let table = Table::new(rustables::ProtocolFamily::Inet).with_name(witness::TABLE);
        let chain = Chain::new(&table).with_name(chain);
        let rules = list_rules_for_chain(&chain).expect("rustables reads the rules");
        let old = &rules[index];
        let bare = || Rule::new(&chain).expect("a rule");
        let mut forged = bare()
            .with_userdata(old.get_userdata().expect("user data").clone())
            .with_expr(Immediate::new_verdict(VerdictKind::Accept));
        if let Some(position) = index.checked_sub(1) {
            forged.set_position(*rules[position].get_handle().expect("a handle"));
        }
        let mut batch = Batch::new();
        batch.add(&forged, MsgType::Add);
        let gone = bare().with_handle(*old.get_handle().expect("a handle"));
        batch.add(&gone, MsgType::Del);
        batch.send().expect("the kernel takes the forged rule");
    });
}

#[test]
fn scenario_99_sets_and_maps_are_put_right() {
    if !ns::privileged() {
        return;
    }
    let (world, agent) = start(Owner::Disabled);
    let hash = named(&world, "set", "sel4-has-member");
    let intervals = named(&world, "set", "sel4-has-net");
    let chain = "pol-in-default.allow";
    put_right(
        &world,
        &agent,
        vec![
            change(
                "an element that goes",
                format!("delete element inet tortie {hash} {{ 10.65.0.1 }}"),
                "1 element removed",
            ),
            change(
                "an element that comes",
                format!("add element inet tortie {hash} {{ 10.65.0.2 }}"),
                "1 element added",
            ),
            change(
                "a set that is flushed",
                format!("flush set inet tortie {hash}"),
                &hash,
            ),
            change(
                "an interval that comes",
                format!("add element inet tortie {intervals} {{ 10.66.0.0/16 }}"),
                &intervals,
            ),
            change(
                "an interval in pieces",
                format!(
                    "delete element inet tortie {intervals} {{ 10.65.0.0/24 }}
             add element inet tortie {intervals} {{ 10.65.0.3-10.65.0.9 }}"
                ),
                &intervals,
            ),
            change(
                "intervals that are flushed",
                format!("flush set inet tortie {intervals}"),
                &intervals,
            ),
            change(
                "a set with other flags",
                format!(
                    "flush chain inet tortie {chain}
             delete set inet tortie {hash}
             add set inet tortie {hash} {{ type ipv4_addr; flags timeout; size 32; }}
             add element inet tortie {hash} {{ 10.65.0.1 timeout 1h }}"
                ),
                "set `sel4-has-member",
            ),
            change(
                "a set with another size",
                format!(
                    "flush chain inet tortie {chain}
             delete set inet tortie {hash}
             add set inet tortie {hash} {{ type ipv4_addr; size 64; elements = {{ 10.65.0.1 }} }}"
                ),
                "set `sel4-has-member",
            ),
            change(
                "an entry of a map that goes",
                "delete element inet tortie hep-in-if { \"eth0\" }",
                "set `hep-in-if`",
            ),
            change(
                "another verdict",
                "delete element inet tortie hep-in-if { \"eth0\" }
            add element inet tortie hep-in-if { \"eth0\" : accept }",
                "set `hep-in-if`",
            ),
            change(
                "an entry of a map that comes",
                "add element inet tortie wl-from-if { \"cali7\" : accept }",
                "set `wl-from-if`",
            ),
            change(
                "a foreign set",
                "add set inet tortie mine { type inet_service; elements = { 1, 2 } }",
                "set `mine`",
            ),
            change(
                "a foreign set of a kind that we never make",
                "add set inet tortie mine { type mark; flags timeout; }",
                "set `mine`",
            ),
        ],
    );
}

#[test]
fn scenario_99_rules_are_put_right() {
    if !ns::privileged() {
        return;
    }
    let (world, agent) = start(Owner::Disabled);
    let chain = "pol-in-default.allow";
    let rules = handles(&world, chain);
    put_right(
        &world,
        &agent,
        vec![
            change(
                "a foreign rule at the head of a base chain",
                "insert rule inet tortie input-policy accept",
                "chain `input-policy`: 1 rule added",
            ),
            change(
                "a foreign rule in a policy",
                format!("insert rule inet tortie {chain} tcp dport 8056 accept"),
                chain,
            ),
            change(
                "a foreign rule at the end",
                format!("add rule inet tortie {chain} accept"),
                chain,
            ),
            change(
                "a chain that is flushed",
                format!("flush chain inet tortie {chain}"),
                "rules removed",
            ),
        ],
    );
    assert_ne!(handles(&world, chain), rules);
    let rules = handles(&world, chain);
    put_right(
        &world,
        &agent,
        vec![change(
            "a rule that goes",
            format!("delete rule inet tortie {chain} handle {}", rules[1]),
            "1 rule removed",
        )],
    );
    let rules = handles(&world, chain);
    put_right(
        &world,
        &agent,
        vec![change(
            "a rule that is edited and keeps its comment",
            format!(
                "replace rule inet tortie {chain} handle {} accept comment \"gnp allow ingress rule 1\"",
                rules[0]
            ),
            chain,
        )],
    );
    let before = contents(&world);
    for index in [0, 2, rules.len() - 1] {
        let what = format!("rule {index} with a copied fingerprint");
        mended(&world, &agent, &before, &what, chain, || {
            forge(&world, chain, index);
        });
    }
    expect_policed(&world, "after forged rules");
}

#[test]
fn scenario_99_chains_and_other_objects_are_put_right() {
    if !ns::privileged() {
        return;
    }
    let (world, agent) = start(Owner::Disabled);
    put_right(
        &world,
        &agent,
        vec![
            change(
                "the policy of a base chain",
                "chain inet tortie input-policy { policy drop; }",
                "chain `input-policy`",
            ),
            change(
                "the priority of a base chain",
                "
            flush chain inet tortie input-policy
            delete chain inet tortie input-policy
            add chain inet tortie input-policy { type filter hook input priority 77; }
        ",
                "chain `input-policy`",
            ),
            change(
                "the hook of a base chain",
                "
            flush chain inet tortie input-policy
            delete chain inet tortie input-policy
            add chain inet tortie input-policy { type filter hook output priority -10; }
        ",
                "chain `input-policy`",
            ),
            change(
                "a foreign chain",
                "add chain inet tortie mine\nadd rule inet tortie mine drop",
                "chain `mine`",
            ),
            change(
                "a foreign base chain that drops",
                "add chain inet tortie mine { type filter hook input priority 5; policy drop; }",
                "chain `mine`",
            ),
            change(
                "a chain of ours with another name",
                "rename chain inet tortie pol-in-default.allow mine",
                "chain `mine`",
            ),
            change(
                "a base chain of ours with another name",
                "rename chain inet tortie input-policy mine",
                "chain `mine`",
            ),
            change(
                "a foreign counter",
                "add counter inet tortie mine",
                "object `mine`",
            ),
            change(
                "a foreign quota",
                "add quota inet tortie mine { over 1 mbytes }",
                "object `mine`",
            ),
            change(
                "a table that sleeps",
                "add table inet tortie { flags dormant; }",
                "the table: made or changed",
            ),
            change(
                "all at once",
                "
            delete element inet tortie hep-in-if { \"eth0\" }
            insert rule inet tortie output accept
            add chain inet tortie mine
        ",
                "chain `output`",
            ),
        ],
    );
}

#[test]
fn scenario_98_a_deleted_table_is_there_again() {
    if !ns::privileged() {
        return;
    }
    let (world, agent) = start(Owner::Disabled);
    put_right(
        &world,
        &agent,
        vec![
            change(
                "a deleted table",
                "delete table inet tortie",
                "the table: removed",
            ),
            change("a flushed ruleset", "flush ruleset", "the table: removed"),
            change(
                "another table in its place",
                "
            delete table inet tortie
            table inet tortie {
                chain input-policy { type filter hook input priority 0; policy drop
                }
            }
        ",
                "the table: removed",
            ),
        ],
    );
    // How long it takes, as packets see it: a port that is denied is tried without end.
    let gaps = Gaps::watch(&world, 8056);
    for _ in 0..10 {
        let mark = agent.mark();
        world.host.nft("delete table inet tortie");
        agent.committed(&mark, Trigger::Drift);
    }
    let gaps = gaps.finish();
    println!("gaps of 10 deletions, as a denied port was open: {gaps:?}");
}

#[test]
fn scenario_98_nobody_changes_an_owned_table() {
    if !ns::privileged() || !kernel::owns() {
        return;
    }
    let (world, agent) = start(Owner::Enabled);
    let before = witness::identities(&world.host);
    let mark = agent.mark();
    let hash = named(&world, "set", "sel4-has-member");
    let vigil = Vigil::keep(&world, 8056, 22);
    world.host.nft("flush ruleset");
    for text in [
        "delete table inet tortie".to_owned(),
        "flush table inet tortie".to_owned(),
        "insert rule inet tortie input-policy accept".to_owned(),
        "flush chain inet tortie pol-in-default.allow".to_owned(),
        format!("flush set inet tortie {hash}"),
        format!("add element inet tortie {hash} {{ 10.65.0.2 }}"),
        "add chain inet tortie mine".to_owned(),
        "add table inet tortie { flags dormant; }".to_owned(),
    ] {
        let outcome = world.host.run(|| Command::new("nft").arg(&text).output());
        let outcome = outcome.expect("run nft");
        assert!(!outcome.status.success(), "{text}");
    }
    vigil.finish();
    assert_eq!(witness::identities(&world.host), before);
    assert!(!agent.has_said(&mark, "drift"));
    expect_policed(&world, "as before");
}

#[test]
fn a_chain_with_another_name_is_put_right_by_a_start() {
    if !ns::privileged() {
        return;
    }
    let (world, mut agent) = start(Owner::Disabled);
    let before = contents(&world);
    agent.kill();
    world
        .host
        .nft("rename chain inet tortie pol-in-default.allow mine");
    let _agent = Agent::on(&world.host, Owner::Disabled, &[], agent.directory());
    assert_eq!(contents(&world), before);
    expect_policed(&world, "after the start");
}

#[test]
fn a_rule_that_was_forged_while_nobody_looked_is_put_right_by_a_start() {
    if !ns::privileged() {
        return;
    }
    let (world, mut agent) = start(Owner::Disabled);
    let before = contents(&world);
    agent.kill();
    forge(&world, "pol-in-default.allow", 1);
    assert_ne!(contents(&world), before);
    let directory = agent.directory().path().display().to_string();
    let diff = command_line(&world.host, Owner::Disabled, &["diff", &directory]);
    assert_eq!(diff.status.code(), Some(1), "{diff:?}");
    let _agent = Agent::on(&world.host, Owner::Disabled, &[], agent.directory());
    assert_eq!(contents(&world), before);
    expect_policed(&world, "after the start");
}

/// Tries a port that is denied, and takes note of when it was open.
struct Gaps {
    over: Arc<AtomicBool>,
    attempts: JoinHandle<Vec<Duration>>,
}

impl Gaps {
    fn watch(world: &World, port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let handle = world.site(EXT.site).handle();
        let to = SocketAddr::new(HOST0.address(Family::V4), port);
        let ended = Arc::clone(&over);
        let attempts = std::thread::spawn(move || {
            handle.enter();
            let mut gaps: Vec<Duration> = Vec::new();
            let mut open: Option<Instant> = None;
            while !ended.load(Ordering::SeqCst) {
                let tried = Instant::now();
                let connected = TcpStream::connect_timeout(&to, Duration::from_millis(2)).is_ok();
                match (connected, open) {
                    (true, None) => open = Some(tried),
                    (false, Some(since)) => {
                        gaps.push(tried - since);
                        open = None;
                    }
                    (true, Some(_)) | (false, None) => {}
                }
            }
            gaps
        });
        Self { over, attempts }
    }

    fn finish(self) -> Vec<Duration> {
        self.over.store(true, Ordering::SeqCst);
        self.attempts.join().expect("the attempts end")
    }
}

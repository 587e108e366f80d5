//! What a start writes whose sets differ.

use nix::errno::Errno;

use super::refusal::settle;
use crate::agent::enforcer::tests::enforcer;
use crate::agent::{Aftermath, Enforcer, Step};
use crate::datastore::read_directory;
use crate::kernel::Kernel as _;
use crate::kernel::fake::{Fake, Lasting};
use crate::model::Update;
use crate::nft::{Elements, Operation, Plans, plan_text};
use crate::render::table_name;

/// A host that allows a port from the members of a set.
fn updates(members: &str, port: u16) -> Vec<Update> {
    let text = format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: HostEndpoint\n\
         metadata: {{name: eth0, labels: {{role: host}}}}\n\
         spec: {{node: my-host, interfaceName: eth0}}\n\
         ---\n\
         apiVersion: projectcalico.org/v3\n\
         kind: GlobalNetworkSet\n\
         metadata: {{name: members, labels: {{member: 'yes'}}}}\n\
         spec: {{nets: [{members}]}}\n\
         ---\n\
         apiVersion: projectcalico.org/v3\n\
         kind: GlobalNetworkPolicy\n\
         metadata: {{name: from-members}}\n\
         spec:\n  selector: role == 'host'\n  types: [Ingress]\n  ingress:\n  \
         - {{action: Allow, protocol: TCP, source: {{selector: has(member)}}, destination: {{ports: [{port}]}}}}\n"
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("resources.yaml"), text).unwrap();
    let snapshot = read_directory(directory.path()).unwrap();
    assert_eq!(snapshot.problems, []);
    let objects = snapshot.objects.into_iter();
    let update = |(key, value)| Update {
        key,
        value: Some(value),
    };
    objects.map(update).collect()
}

/// Begins a start on what the kernel holds, and returns what it wants to commit.
fn begin(kernel: &mut Fake, updates: &[Update]) -> (Enforcer, Plans) {
    let mut enforcer = enforcer(|_| {});
    let updates = updates.iter().cloned();
    updates.for_each(|update| enforcer.update(update));
    let observed = kernel.observe().unwrap();
    enforcer.observed(observed.catalog, observed.needs_adoption);
    let Ok(Step::Commit(plans)) = enforcer.next_step() else {
        panic!("nothing to commit");
    };
    (enforcer, plans)
}

/// Starts on what the kernel holds, and returns what that writes.
fn start(kernel: &mut Fake, updates: &[Update]) -> (Enforcer, String) {
    let (mut enforcer, plans) = begin(kernel, updates);
    for plan in plans.transactions() {
        kernel.commit(plan).unwrap();
    }
    enforcer.committed();
    let text = plan_text(&plans, Elements::All);
    (enforcer, text)
}

/// Returns a kernel in which this is in force.
fn kernel_that_holds(updates: &[Update]) -> Fake {
    let mut kernel = Fake::new(table_name(), true);
    start(&mut kernel, updates);
    kernel
}

/// Says whether a set is made, and whether a chain is written.
fn makes(text: &str) -> [bool; 2] {
    ["+ set ", " chain "].map(|words| text.contains(words))
}

#[test]
fn sets_are_changed_in_place_where_nothing_else_differs() {
    let mut kernel = Fake::new(table_name(), true);
    let (_, text) = start(&mut kernel, &updates("192.0.2.1/32, 192.0.2.2/32", 80));
    assert_eq!(makes(&text), [true, true], "{text}");
    let (mut later, text) = start(&mut kernel, &updates("192.0.2.2/32, 192.0.2.3/32", 80));
    assert_eq!(makes(&text), [false, false], "{text}");
    for address in ["192.0.2.1", "192.0.2.3"] {
        assert!(text.contains(address), "{text}");
    }
    assert!(!text.contains("192.0.2.2"), "{text}");

    // It goes on from there, and the next start finds it so.
    for update in updates("192.0.2.4/32", 80) {
        later.update(update);
    }
    let Ok(Step::Commit(plans)) = later.next_step() else {
        panic!("nothing to commit");
    };
    for plan in plans.transactions() {
        kernel.commit(plan).unwrap();
    }
    let (_, text) = start(&mut kernel, &updates("192.0.2.5/32", 80));
    assert_eq!(makes(&text), [false, false], "{text}");
    assert!(
        text.contains("192.0.2.4") && text.contains("192.0.2.5"),
        "{text}"
    );
}

#[test]
fn what_the_kernel_refuses_in_place_is_made_anew_and_nobody_is_denied() {
    let mut kernel = Fake::new(table_name(), true);
    let mut wanted = kernel_that_holds(&updates("192.0.2.2/32", 80));
    start(&mut kernel, &updates("192.0.2.1/32", 80));
    let (mut enforcer, plans) = begin(&mut kernel, &updates("192.0.2.2/32", 80));
    let added = plans
        .operations()
        .find(|step| matches!(step, Operation::AddElements { .. }));
    kernel.refuse(Lasting::Operation(added.unwrap().clone()), Errno::EEXIST);
    let refusal = kernel.commit(&plans.as_one()).unwrap_err();
    assert_eq!(enforcer.refused(&refusal), Aftermath::Inquest);
    settle(&mut enforcer, &mut kernel);
    assert_eq!(enforcer.denied(), 0);
    let [held, wanted] = [&mut kernel, &mut wanted].map(|kernel| kernel.observe().unwrap().catalog);
    assert_eq!(held.chains.len(), wanted.chains.len());
    assert_eq!(held.sets.len(), wanted.sets.len());
}

#[test]
fn where_a_rule_differs_as_well_another_set_takes_the_place() {
    let mut kernel = Fake::new(table_name(), true);
    start(&mut kernel, &updates("192.0.2.1/32", 80));
    let (_, text) = start(&mut kernel, &updates("192.0.2.2/32", 81));
    assert_eq!(makes(&text), [true, true], "{text}");
    // And with it the way back.
    let (_, text) = start(&mut kernel, &updates("192.0.2.1/32", 80));
    assert_eq!(makes(&text), [true, true], "{text}");
}

#[test]
fn a_set_of_another_form_takes_the_place() {
    let mut kernel = Fake::new(table_name(), true);
    start(&mut kernel, &updates("192.0.2.1/32", 80));
    let (_, text) = start(&mut kernel, &updates("192.0.2.0/24", 80));
    assert_eq!(makes(&text), [true, true], "{text}");
}

//! What is made in a transaction of its own, before anything leads to it.
//!
//! A packet reads the generation of the ruleset once, when it enters a base chain, and takes the rules of
//! that generation from every chain it comes to (`nft_do_chain` of `net/netfilter/nf_tables_core.c`). A look-up
//! in a set or map reads the generation anew (`nft_genmask_cur`). So a packet under way during a commit may meet
//! the old rules and a new element of a verdict map. Where that leads to a chain made by the same transaction, the
//! chain is empty in the old generation (`nf_tables_addchain` gives both generations the same list without rules, and
//! a commit replaces that of the next one alone), and the packet falls off its end.
//!
//! From an element that says `jump` the packet then comes back to the rule after the look-up, which is where it goes
//! on if its key is not found. So nothing is to be made before for a key that the map did not hold: the packet meets
//! what was in force. It is different for a key that had an element before, since nothing of what that one said
//! happens, and for one that says `goto`, from which there is no way back: the packet is accepted. Chains of such
//! elements are therefore made before, with all that they lead to and that is new: nothing refers to them yet, so
//! that no packet sees the difference. Where the transaction that follows is refused, they are left without users, and
//! the next whole plan takes or removes them.
//!
//! New interval sets are made before as well. Since Linux 6.19, and where this has been brought to older kernels, a
//! look-up in one goes to a copy that is made at the very end of a commit (`nft_rbtree_commit` of
//! `net/netfilter/nft_set_rbtree.c`), when the new rules have been in force for as long as it took the kernel to go
//! through the rest of the transaction: a packet would find the set empty.
//!
//! One thing cannot be made before: a chain that leads to something replaced under the same name, or is so
//! replaced itself. The old object must go first, and its users with it, which packets would see. Its elements
//! and whatever leads to it alone stay in the one transaction. Objects are replaced where the parameters of a
//! set change or a chain becomes a base chain or ceases to be one, which a name of ours hardly ever lives through.

use std::collections::BTreeSet;

use super::graph::{Graph, Overlay};
use super::{Catalog, ObjectKey};

/// Returns the new objects to be made before the others.
///
/// `early` are the chains that must not be met without rules, and the new interval sets; `replaced` are the objects
/// that go and are made anew.
pub(super) fn objects(
    current: &Catalog,
    overlay: &Overlay,
    early: BTreeSet<ObjectKey>,
    replaced: &BTreeSet<ObjectKey>,
) -> BTreeSet<ObjectKey> {
    let graph: &Graph = &current.committed.graph;
    let is_made = |key: &ObjectKey| replaced.contains(key) || !current.contains(key);
    // What is replaced is an end: it is not made before, whatever it leads to.
    let made_targets = |key: &ObjectKey| -> Vec<ObjectKey> {
        if replaced.contains(key) {
            return Vec::new();
        }
        let targets = overlay.targets(graph, key);
        targets.filter(|key| is_made(key)).cloned().collect()
    };
    let early: BTreeSet<ObjectKey> = early.into_iter().filter(|key| is_made(key)).collect();
    let made = reach(early.clone(), made_targets);
    let obstacles: BTreeSet<ObjectKey> = made.intersection(replaced).cloned().collect();
    if obstacles.is_empty() {
        return made;
    }
    let held = reach(obstacles, |key| {
        let users = overlay.users(graph, key);
        users.filter(|user| made.contains(*user)).cloned().collect()
    });
    reach(early.difference(&held).cloned().collect(), made_targets)
}

/// Returns some objects and all that follow them.
fn reach(
    start: BTreeSet<ObjectKey>,
    next: impl Fn(&ObjectKey) -> Vec<ObjectKey>,
) -> BTreeSet<ObjectKey> {
    let mut open: Vec<ObjectKey> = start.iter().cloned().collect();
    let mut reached = start;
    while let Some(key) = open.pop() {
        for key in next(&key) {
            if reached.insert(key.clone()) {
                open.push(key);
            }
        }
    }
    reached
}

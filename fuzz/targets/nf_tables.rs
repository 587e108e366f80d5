//! The kernel's answers about `nf_tables`: a script of datagrams, whatever is asked.

#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tortie::kernel::fuzzing::answer_with;
use tortie::kernel::{
    Accepted, CounterReader, Despite, FelixLeftovers, HostChains, HostFirewall, Kernel, Netfilter,
    Settings, TableOwner, Wanted, advice, elsewhere,
};
use tortie::nft::{Extent, plan};
use tortie_fuzz::bounded;

fn check(bytes: &[u8]) {
    let Some((what, script)) = bytes.split_first() else {
        return;
    };
    let Ok(table) = "tortie".parse() else { return };
    let settings = Settings {
        table,
        ownership: [TableOwner::Auto, TableOwner::Enabled, TableOwner::Disabled]
            [usize::from(what / 8 % 3)],
        timeout: Duration::from_secs(1),
    };
    let accepted = Accepted {
        mark: 0x8000,
        priority: 0,
    };
    answer_with(script);
    match what % 8 {
        0..=3 => table_of_ours(settings),
        4 => {
            let Ok(mut reader) = CounterReader::open(settings.table, settings.timeout) else {
                return;
            };
            let first = reader.read().unwrap_or_default();
            assert!(reader.read().unwrap_or_default().len() <= script.len() + first.len());
        }
        5 => {
            let Ok(mut host) = HostChains::open(&settings) else {
                return;
            };
            if let Ok(chains) = host.survey(accepted.mark) {
                assert!(advice(&chains, accepted).len() <= chains.len());
            }
            let _ = host.ensure(Wanted::Inserted {
                mark: accepted.mark,
            });
        }
        6 => {
            let Ok(mut leftovers) = FelixLeftovers::open(&settings, Some(accepted)) else {
                return;
            };
            if let Ok(found) = leftovers.survey(Despite::default()) {
                let _ = (found.unpoliced_line(), found.removable().count());
            }
            let _ = leftovers.remove(Despite {
                unpoliced: true,
                dropped: true,
            });
        }
        _ => {
            let Ok(mut leftovers) = FelixLeftovers::open(&settings, None) else {
                return;
            };
            if let Ok(found) = elsewhere(&mut leftovers) {
                let _ = found.lines();
            }
        }
    }
}

/// Reads the table, and removes all that is in it.
fn table_of_ours(settings: Settings) {
    let Ok(mut kernel) = Netfilter::open(settings) else {
        return;
    };
    let Ok(observed) = kernel.observe() else {
        return;
    };
    let mut catalog = observed.catalog;
    let Ok((plans, delta)) = plan(&catalog, &BTreeMap::new(), Extent::Whole) else {
        return;
    };
    for plan in plans.transactions() {
        if let Err(error) = kernel.commit(plan) {
            assert!(error.to_string().len() < 4096);
        }
    }
    catalog.apply(delta);
    assert!(!catalog.undecodable);
    let (plans, _) = match plan(&catalog, &BTreeMap::new(), Extent::Whole) {
        Ok(second) => second,
        Err(error) => panic!("{error}: {catalog:?}"),
    };
    assert!(plans.is_empty(), "{plans:?}");
}

fuzz_target!(|bytes: &[u8]| bounded((16 << 20) + 1000 * bytes.len(), || check(bytes)));

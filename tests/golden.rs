//! The ruleset of a host, whole, for each idea of how policy becomes rules.
//!
//! A case is a directory of resources under `tests/fixtures`, for the host `host`. A file `links` beside them
//! gives interfaces, `NAME=ADDR[,ADDR...]` in each line, and `felix.cfg` the configuration.

#![expect(clippy::expect_used, reason = "what is not there in a test fails it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tortie::agent::Configuration;
use tortie::calc::LinkUpdate;
use tortie::cli::offline::{Interfaces, Offline};
use tortie::nft::{Expr, Object, ObjectKey, Rule, Ruleset, Verdict};

fn directory(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(case)
}

fn links(directory: &Path) -> Vec<LinkUpdate> {
    let text = std::fs::read_to_string(directory.join("links")).unwrap_or_default();
    let link = |line: &str| {
        let (name, addresses) = line.split_once('=').expect("NAME=ADDR");
        let addresses = addresses.split(',').filter(|address| !address.is_empty());
        let addresses: BTreeSet<_> = addresses.map(|a| a.parse().expect("an address")).collect();
        LinkUpdate {
            name: name.parse().expect("a name"),
            addresses: Some(addresses),
        }
    };
    text.lines().map(link).collect()
}

/// Compares the problems and the ruleset of a case with its snapshot.
fn check(case: &str) {
    let directory = directory(case);
    let mut configuration = Configuration::load(&directory.join("felix.cfg"), None);
    configuration.set_hostname("host");
    let interfaces = Interfaces::AndNamed(links(&directory));
    let offline = Offline::of_directory(&directory, configuration, interfaces).expect("a ruleset");
    let prefix = format!("{}/", directory.display());
    let resolution = offline.configuration.resolution();
    let problems = offline.problems.iter().map(ToString::to_string);
    let problems = problems.chain(resolution.problems.iter().map(ToString::to_string));
    let comment = |problem: String| -> String {
        let text = problem.replace(&prefix, "");
        format!("# {}\n", text.replace('\n', "\n# "))
    };
    let mut text: String = problems.map(comment).collect();
    text.push_str(&offline.text().expect("a consistent ruleset"));
    demand_decisions(&offline.ruleset().expect("a consistent ruleset"));
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(case, text);
    });
}

/// Demands that the chains to which maps of interfaces lead decide every packet: one that came back would be asked about
/// as one of an interface without an endpoint.
fn demand_decisions(ruleset: &Ruleset) {
    let maps = ruleset.objects.values().filter_map(|object| match object {
        Object::Set(spec, elements) if spec.name.as_str().ends_with("-if") => Some(elements),
        Object::Set(..) | Object::Chain(_) | Object::Counter(_) => None,
    });
    for verdict in maps
        .flat_map(|elements| elements.iter())
        .filter_map(|it| it.verdict.as_ref())
    {
        let Some(name) = verdict.chain() else {
            continue;
        };
        let chain = match ruleset.objects.get(&ObjectKey::Chain(name.clone())) {
            Some(Object::Chain(chain)) => chain,
            other => panic!("{name}: {other:?}"),
        };
        let last = chain.rules.last().map(AsRef::as_ref);
        assert!(last.is_some_and(decides), "{name} ends in {last:?}");
    }
}

/// Tells whether a rule decides every packet.
fn decides(rule: &Rule) -> bool {
    let Some((last, others)) = rule.exprs.split_last() else {
        return false;
    };
    let ends = matches!(
        last,
        Expr::Verdict(Verdict::Accept | Verdict::Drop) | Expr::Reject(_)
    );
    let passes = |expr: &Expr| matches!(expr, Expr::SetMark { .. } | Expr::CountIn(_));
    ends && others.iter().all(passes)
}

macro_rules! cases {
    ($($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                check(stringify!($case));
            }
        )*

        #[test]
        fn every_fixture_is_a_case() {
            let entries = std::fs::read_dir(directory("")).expect("fixtures");
            let found: BTreeSet<String> = entries
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
                .collect();
            let cases = [$(stringify!($case).to_owned()),*];
            assert_eq!(found, BTreeSet::from(cases));
        }
    };
}

cases! {
    any_interface,
    bad_objects,
    expected_ip,
    failsafe_with_nets,
    forwarding,
    icmp,
    log_with_limit,
    long_port_lists,
    named_ports,
    nets_and_negations,
    overlapping_network_sets,
    policy_counters,
    profiles,
    protocols,
    reject,
    strict,
    tiers_and_pass,
    untracked_and_pre_dnat,
    v1_forms,
    workloads,
}

//! The page of metrics.

use std::time::Instant;

use super::board::{Facts, Resync};
use super::exposition::{Page, number};

/// What stands in Felix's label for the family of a table, since ours holds both.
const IP_VERSION: &str = "inet";
/// Our table's name.
const TABLE: &str = "tortie";

/// Prints the page. The names that begin with `felix_` have Felix's types and meanings.
pub(super) fn page(facts: &Facts, now: Instant) -> Page {
    let mut page = Page::default();
    add_local(&mut page, facts);
    add_cluster(&mut page, facts);
    add_calculation(&mut page, facts, now);
    add_dataplane(&mut page, facts, now);
    add_table(&mut page, facts);
    add_own(&mut page, facts, now);
    page
}

fn add_local(page: &mut Page, facts: &Facts) {
    let enforced = facts.enforced();
    page.gauge(
        "felix_active_local_endpoints",
        "Number of active endpoints on this host.",
        size(enforced.endpoints),
    );
    page.gauge(
        "felix_active_local_policies",
        "Number of active policies on this host.",
        size(enforced.policies),
    );
    page.gauge(
        "felix_active_local_selectors",
        "Number of active selectors on this host.",
        size(enforced.sets),
    );
    page.family(
        "felix_host",
        "gauge",
        "This host's name, as resources spell it; always 1.",
    );
    page.sample("felix_host", &[("host", &facts.host)], 1.0);
}

fn add_cluster(page: &mut Page, facts: &Facts) {
    let cluster = facts.cluster;
    for (name, help, count) in [
        (
            "host_endpoints",
            "host endpoints cluster-wide",
            cluster.host_endpoints,
        ),
        ("hosts", "hosts in the cluster", cluster.hosts),
        ("policies", "policies in the cluster", cluster.policies),
        ("profiles", "profiles in the cluster", cluster.profiles),
        ("tiers", "tiers in the cluster", cluster.tiers),
        (
            "workload_endpoints",
            "workload endpoints cluster-wide",
            cluster.workload_endpoints,
        ),
    ] {
        page.gauge(
            &format!("felix_cluster_num_{name}"),
            &format!("Total number of {help}."),
            size(count),
        );
    }
}

fn add_calculation(page: &mut Page, facts: &Facts, now: Instant) {
    page.summary(
        "felix_calc_graph_update_time_seconds",
        "Seconds to work out what a round has to change.",
        &facts.calculations,
        now,
    );
    page.family(
        "felix_calc_graph_updates_processed",
        "counter",
        "Number of datastore updates processed, by kind.",
    );
    for (kind, count) in &facts.updates {
        page.sample(
            "felix_calc_graph_updates_processed",
            &[("type", kind)],
            number(*count),
        );
    }
    page.gauge(
        "felix_resync_state",
        "Current datastore state: 1 wait for ready, 2 resync, 3 in sync.",
        match facts.resync {
            Resync::Waiting => 1.0,
            Resync::Reading => 2.0,
            Resync::InSync => 3.0,
        },
    );
    page.counter(
        "felix_resyncs_started",
        "Number of times that reading the datastore began.",
        facts.resyncs,
    );
    page.counter(
        "felix_log_errors",
        "Number of log lines that could not be written.",
        facts.log_errors,
    );
    page.counter(
        "felix_logs_dropped",
        "Number of log lines dropped because a place for them was too slow.",
        facts.logs_dropped,
    );
}

fn add_dataplane(page: &mut Page, facts: &Facts, now: Instant) {
    page.summary(
        "felix_int_dataplane_apply_time_seconds",
        "Time in seconds for each update of the kernel's table, after the first.",
        &facts.apply,
        now,
    );
    page.counter(
        "felix_int_dataplane_failures",
        "Number of times dataplane updates failed and will be retried.",
        facts
            .refusals()
            .saturating_add(facts.failed_observations())
            .saturating_add(facts.failed_plans()),
    );
    page.summary(
        "felix_int_dataplane_iface_msg_batch_size",
        "Number of interface changes processed in each batch.",
        &facts.link_batches,
        now,
    );
    if let Some(elapsed) = facts.first_round() {
        page.gauge(
            "felix_int_dataplane_initial_resync_time_seconds",
            "Time in seconds until policy was in force for the first time.",
            elapsed.as_secs_f64(),
        );
    }
    page.family(
        "felix_int_dataplane_messages",
        "counter",
        "Number of dataplane messages by type.",
    );
    for (origin, count) in &facts.messages {
        page.sample(
            "felix_int_dataplane_messages",
            &[("type", origin)],
            number(*count),
        );
    }
    page.summary(
        "felix_int_dataplane_msg_batch_size",
        "Number of datastore updates processed in each batch.",
        &facts.batches,
        now,
    );
}

fn add_table(page: &mut Page, facts: &Facts) {
    page.counter(
        "felix_nft_calls",
        "Number of transactions sent to the kernel.",
        facts.transactions().saturating_add(facts.refusals()),
    );
    page.counter(
        "felix_nft_errors",
        "Number of transactions that failed.",
        facts.refusals(),
    );
    page.counter(
        "felix_nft_list_calls",
        "Number of times that the kernel's table was read.",
        facts.observations,
    );
    page.counter(
        "felix_nft_list_errors",
        "Number of times that reading it failed.",
        facts.failed_observations(),
    );
    for (name, what, count) in [
        ("felix_nft_chains", "chains", facts.chains),
        ("felix_nft_rules", "rules", facts.rules),
    ] {
        page.family(name, "gauge", &format!("Number of active nftables {what}."));
        page.sample(
            name,
            &[("ip_version", IP_VERSION), ("table", TABLE)],
            size(count),
        );
    }
    for (name, what, count) in [
        ("felix_nft_maps", "maps", facts.maps),
        ("felix_nft_sets", "sets", facts.sets),
    ] {
        page.family(name, "gauge", &format!("Number of active nftables {what}."));
        page.sample(name, &[("ip_version", IP_VERSION)], size(count));
    }
}

fn add_own(page: &mut Page, facts: &Facts, now: Instant) {
    page.family(
        "tortie_build_info",
        "gauge",
        "The program's release; always 1.",
    );
    page.sample("tortie_build_info", &[("version", facts.version)], 1.0);
    let enforced = facts.enforced();
    page.gauge(
        "tortie_policed_interfaces",
        "Number of interfaces that endpoints of this host police.",
        size(enforced.interfaces),
    );
    page.gauge(
        "tortie_sets",
        "Number of sets that rules refer to.",
        size(enforced.sets),
    );
    page.gauge(
        "tortie_set_members",
        "Number of members of those sets.",
        size(enforced.members),
    );
    page.counter(
        "tortie_transactions_total",
        "Number of changes of the kernel's table that are or were in force.",
        facts.transactions(),
    );
    page.counter(
        "tortie_operations_total",
        "Number of operations in them.",
        facts.operations(),
    );
    page.counter(
        "tortie_sent_messages_total",
        "Number of messages that they were sent to the kernel in.",
        facts.sent_messages(),
    );
    page.counter(
        "tortie_sent_bytes_total",
        "Number of bytes of these messages.",
        facts.sent_bytes(),
    );
    page.counter(
        "tortie_refusals_total",
        "Number of transactions that the kernel refused or did not answer.",
        facts.refusals(),
    );
    page.counter(
        "tortie_foreign_changes_total",
        "Number of transactions of other programs that changed the kernel's table.",
        facts.foreign_changes,
    );
    page.counter(
        "tortie_repairs_total",
        "Number of transactions that put the kernel's table right after another program.",
        facts.repairs,
    );
    page.gauge(
        "tortie_denied_objects",
        "Number of policies, profiles and endpoints that are denied because the kernel refuses them.",
        size(facts.denied),
    );
    let failing = facts.failing().map_or(0.0, |(_, since)| {
        now.saturating_duration_since(since).as_secs_f64()
    });
    page.gauge(
        "tortie_failing_seconds",
        "Seconds for which policy has not come into force because something failed; 0 if nothing does.",
        failing,
    );
    page.histogram(
        "tortie_update_latency_seconds",
        "Time from the first news of a change to its enforcement, after the first round.",
        &facts.latency,
    );
}

/// Returns a number of things as a metric's value.
fn size(count: usize) -> f64 {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::monitor::board::{Board, Enforced, Failure, Round};

    fn full() -> Facts {
        let board = Board::new("1.2", "a\"b".to_owned());
        let now = Instant::now();
        board.note(|facts| {
            facts.updated("hostendpoints");
            facts.links_changed(now, 2);
            for operations in [9, 3] {
                facts.in_force(
                    now,
                    Round {
                        operations,
                        messages: 2,
                        bytes: 100,
                        kernel: Duration::from_millis(1),
                        latency: Duration::from_millis(3),
                        enforced: Enforced {
                            endpoints: 4,
                            ..Enforced::default()
                        },
                    },
                );
            }
        });
        board.read()
    }

    /// Returns the families of a page with their types, checking that each stands once and has its samples.
    fn families(text: &str) -> BTreeMap<String, String> {
        let mut families = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                current = name.to_owned();
                let before = families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} twice");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&current), "{line} in {current}");
                let (_, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        families
    }

    #[test]
    fn felix_names_have_felix_types() {
        let text = page(&full(), Instant::now()).into_text();
        let families = families(&text);
        for (name, kind) in [
            ("felix_active_local_endpoints", "gauge"),
            ("felix_cluster_num_hosts", "gauge"),
            ("felix_int_dataplane_apply_time_seconds", "summary"),
            ("felix_int_dataplane_failures", "counter"),
            ("felix_int_dataplane_messages", "counter"),
            ("felix_nft_chains", "gauge"),
            ("felix_resync_state", "gauge"),
            ("felix_resyncs_started", "counter"),
            ("tortie_update_latency_seconds", "histogram"),
        ] {
            assert_eq!(families.get(name).map(String::as_str), Some(kind), "{name}");
        }
        for line in [
            "felix_active_local_endpoints 4",
            "felix_host{host=\"a\\\"b\"} 1",
            "felix_calc_graph_updates_processed{type=\"hostendpoints\"} 1",
            "felix_int_dataplane_messages{type=\"links\"} 2",
            "felix_resync_state 1",
            "tortie_build_info{version=\"1.2\"} 1",
            "tortie_operations_total 12",
            "tortie_sent_messages_total 4",
            "tortie_sent_bytes_total 200",
            "tortie_update_latency_seconds_bucket{le=\"0.005\"} 1",
            "tortie_update_latency_seconds_count 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_fails_is_counted_and_timed() {
        let board = Board::new("1", "h".to_owned());
        let now = Instant::now();
        board.note(|facts| {
            facts.failed(now, Failure::Unplanned);
            facts.failed(now, Failure::Refused);
        });
        let text = page(&board.read(), now + Duration::from_secs(75)).into_text();
        for line in [
            "felix_int_dataplane_failures 2",
            "tortie_refusals_total 1",
            "tortie_failing_seconds 75",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        let text = page(&full(), now).into_text();
        assert!(text.contains("\ntortie_failing_seconds 0\n"), "{text}");
    }

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let document = include_str!("../../docs/metrics.md");
        let documented: BTreeMap<String, String> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|row| {
                let (name, rest) = row.split_once('`')?;
                let kind = rest.split('|').nth(1)?.trim();
                // Rows of other tables begin with code, too.
                let is_kind = ["counter", "gauge", "histogram", "summary"].contains(&kind);
                is_kind.then_some((name.split('{').next()?.to_owned(), kind.to_owned()))
            })
            .collect();
        let mut page = page(&full(), Instant::now());
        super::super::process::add(&mut page);
        let counters = super::super::counting::text(&[]);
        let families = families(&(page.into_text() + &counters));
        let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&documented), names(&families));
        assert_eq!(documented, families);
    }
}

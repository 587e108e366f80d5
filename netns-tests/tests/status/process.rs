//! The status of the process in etcd.

use std::collections::BTreeSet;

use netns_tests::World;
use netns_tests::etcd::{Member, eventually};
use serde_json::Value;

use crate::{PROCESS, REPORTS, SERVICES, protect, stored};

/// Returns the report at a key.
fn report(member: &Member<'_>, key: &str) -> Option<Value> {
    let text = stored(member, key).remove(key)?;
    Some(serde_json::from_str(&text).expect("a report is JSON"))
}

/// Returns the lease of a key, which is zero where there is none.
fn lease(member: &Member<'_>, key: &str) -> Option<i64> {
    let text = member.etcdctl(&["get", key, "-w", "json"]);
    let answer: Value = serde_json::from_str(&text).expect("etcdctl prints JSON");
    let pair = answer["kvs"].as_array()?.first()?;
    Some(pair["lease"].as_i64().unwrap_or(0))
}

#[test]
fn the_process_reports_until_it_ends() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    let settings = [PROCESS.as_slice(), &[("FELIX_OPENSTACKREGION", "eu-1")]].concat();
    let mut agent = protect(&member, &settings);
    let root = format!("{REPORTS}v2/region-eu-1/host/host1/");
    let (alive, last) = (
        format!("{root}status"),
        format!("{root}last_reported_status"),
    );
    let mut firsts = BTreeSet::new();
    let mut uptimes = BTreeSet::new();
    eventually("several reports", || {
        let Some(report) = report(&member, &alive) else {
            return false;
        };
        let fields: Vec<&String> = report.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["first_update", "time", "uptime"]);
        let time = report["time"].as_str().expect("a time");
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
        firsts.insert(report["first_update"].as_bool());
        uptimes.insert(report["uptime"].to_string());
        assert!(report["uptime"].as_f64().is_some_and(|uptime| uptime > 0.0));
        uptimes.len() >= 3 && firsts.contains(&Some(false))
    });
    assert!(lease(&member, &alive).is_some_and(|lease| lease != 0));
    assert_eq!(lease(&member, &last), Some(0));
    let keys: Vec<String> = stored(&member, REPORTS).into_keys().collect();
    assert_eq!(keys, [last.clone(), alive.clone()]);
    // It says nothing of its end: the lease does.
    agent.terminate();
    assert!(report(&member, &alive).is_some(), "not at once");
    eventually("the lease runs out", || report(&member, &alive).is_none());
    assert!(report(&member, &last).is_some(), "the last one stays");
}

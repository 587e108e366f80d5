//! The statuses of endpoints in etcd.

use netns_tests::agent::{Mark, Owner, Trigger};
use netns_tests::etcd::{ETH0, Member, V3, endpoint_key, eventually};
use netns_tests::{World, witness};

use crate::{
    DOWN, ENDPOINTS, ERROR, PROCESS, REPORTS, SERVICES, UP, fill, of_host, of_pod, only, pod,
    protect, reported, stored,
};

#[test]
fn an_endpoint_is_up_once_its_policy_is_in_the_kernel() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    member.put(&endpoint_key("e0"), ETH0);
    let settings = [ENDPOINTS.as_slice(), &PROCESS[..1]].concat();
    let agent = member.agent(Owner::Disabled, &settings);
    agent.logged("resync: the datastore has been read");
    agent.line(&Mark::beginning(), "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    let enforced = || {
        let table = ["list", "table", "inet", witness::TABLE];
        world.host.exec("nft", &table, "").contains("8055")
    };
    assert!(!enforced());
    assert!(stored(&member, REPORTS).is_empty(), "nothing is in force");
    let key = of_host("e0");
    fill(&member);
    // Nothing else is written: no resource, no version, no flag.
    let others = || {
        let mut all = stored(&member, "/calico/");
        all.retain(|key, _| !key.starts_with(REPORTS));
        all
    };
    let before = others();
    eventually("the endpoint is reported", || {
        let reports = stored(&member, REPORTS);
        if reports.contains_key(&key) {
            assert!(enforced());
        }
        reports.get(&key).is_some_and(|status| status == UP)
    });
    world.expect("its policy is in force", only(&[8055]));
    assert_eq!(others(), before);
}

/// An endpoint of every interface that has none of its own.
const ANY: &str = r#"{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"all"},"spec":{"node":"host1","interfaceName":"*"}}"#;

#[test]
fn statuses_follow_interfaces_and_resources() {
    let world = World::serving(SERVICES).with_workloads(1);
    let member = Member::start(&world.host);
    let _agent = protect(&member, &ENDPOINTS);
    let (e0, card, all) = (of_host("e0"), of_host("card"), of_host("all"));
    let wl0 = of_pod("no-region", "wl0");
    reported(&member, "the first", &[(&e0, UP)]);
    member.put(&endpoint_key("card"), r#"{"name":"card0"}"#);
    let any = format!("{V3}/hostendpoints/all");
    member.put(&any, ANY);
    let (key, value) = pod();
    member.put(&key, &value);
    let expect = |what: &str, of_card: &str, of_pod: &str| {
        let wanted = [(&e0, UP), (&card, of_card), (&all, UP), (&wl0, of_pod)];
        reported(
            &member,
            what,
            &wanted.map(|(key, value)| (key.as_str(), value)),
        );
    };
    expect("what matches nothing is in error", ERROR, UP);
    world
        .host
        .ip("link add card0 type veth peer name card1\nlink set card1 up\nlink set cali0 down\n");
    expect("interfaces are down", DOWN, DOWN);
    world.host.ip("link set card0 up\nlink set cali0 up\n");
    expect("interfaces are up", UP, UP);
    world.host.ip("link set card0 down\n");
    expect("one is down again", DOWN, UP);
    world.host.ip("link del card0\nlink del cali0\n");
    expect("interfaces are gone", ERROR, DOWN);
    member.delete(&key);
    member.delete(&endpoint_key("card"));
    member.delete(&any);
    reported(&member, "what is deleted is gone", &[(&e0, UP)]);
    world.expect("all the while", only(&[8055]));
}

#[test]
fn what_is_stored_is_put_right_and_other_hosts_are_left_alone() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    let workload = |host: &str, rest: &str| {
        format!("{REPORTS}v2/no-region/host/{host}/workload/k8s/default%2fold/{rest}")
    };
    let stale = [
        of_host("stale"),
        of_host("a%25b"),
        workload("host1", "endpoint/eth0"),
    ];
    let kept = [
        format!("{REPORTS}v1/host/host10/endpoint/stale"),
        format!("{REPORTS}v1/host/host1-b/endpoint/stale"),
        format!("{REPORTS}v1/host/host/endpoint/stale"),
        workload("host10", "endpoint/eth0"),
        format!("{REPORTS}v2/region-x/host/host1/workload/k8s/default%2fold/endpoint/eth0"),
        // What no Felix writes is nobody's to delete.
        workload("host1", "other/eth0"),
        format!("{REPORTS}v2/no-region/host/host1/status"),
        format!("{REPORTS}v2/no-region/host/host1/last_reported_status"),
    ];
    for key in stale.iter().chain(&kept) {
        member.put(key, UP);
    }
    // One of a workload whose interface is not there, and a value that is none.
    let (key, value) = pod();
    member.put(&key, &value);
    let wl0 = of_pod("no-region", "wl0");
    member.put(&wl0, UP);
    let e0 = of_host("e0");
    member.put(&e0, "{");
    let _agent = protect(&member, &ENDPOINTS);
    let mut wanted: Vec<(&str, &str)> = kept.iter().map(|key| (key.as_str(), UP)).collect();
    wanted.extend([(e0.as_str(), UP), (wl0.as_str(), DOWN)]);
    reported(&member, "stale keys are gone", &wanted);
    // What somebody else does is found by the next comparison.
    member.put(&e0, ERROR);
    member.put(&of_host("stale"), UP);
    reported(&member, "put right again", &wanted);
    member.delete(&e0);
    reported(&member, "written again", &wanted);
}

#[test]
fn reporting_follows_the_configuration() {
    let world = World::serving(SERVICES).with_workloads(1);
    let member = Member::start(&world.host);
    let (key, value) = pod();
    member.put(&key, &value);
    // Without an option nothing is reported of endpoints, while the process is.
    let agent = protect(&member, &PROCESS);
    let alive = format!("{REPORTS}v2/no-region/host/host1/status");
    let again = |key: &str| {
        let report = stored(&member, key).remove(key).unwrap_or_default();
        report.contains(r#""first_update":false"#)
    };
    eventually("a second report of the process", || again(&alive));
    let keys: Vec<String> = stored(&member, REPORTS).into_keys().collect();
    let last = format!("{REPORTS}v2/no-region/host/host1/last_reported_status");
    assert_eq!(keys, [last, alive]);
    drop(agent);
    member.etcdctl(&["del", "--prefix", REPORTS]);
    let option = |name: &str, value: &str| member.put(&format!("/calico/v1/config/{name}"), value);
    option("ReportingIntervalSecs", "0");
    option("EndpointReportingDelaySecs", "0.05");
    let agent = protect(&member, &[]);
    option("EndpointReportingEnabled", "true");
    let (e0, wl0) = (of_host("e0"), of_pod("no-region", "wl0"));
    reported(&member, "turned on", &[(&e0, UP), (&wl0, UP)]);
    // The keys of the old region stay, as Felix leaves them.
    option("OpenstackRegion", "eu-1");
    let there = of_pod("region-eu-1", "wl0");
    reported(&member, "moved", &[(&e0, UP), (&wl0, UP), (&there, UP)]);
    let mark = agent.mark();
    option("EndpointReportingEnabled", "false");
    agent.committed(&mark, Trigger::Directory);
    member.delete(&endpoint_key("e0"));
    world.eventually("nothing is enforced any more", only(&[8055, 8056, 8057]));
    // Two reports of the process later there was time enough to write of endpoints, too.
    option("ReportingIntervalSecs", "0.2");
    let alive = format!("{REPORTS}v2/region-eu-1/host/host1/status");
    eventually("a second report from there", || again(&alive));
    let mut reports = stored(&member, REPORTS);
    reports.retain(|key, _| !key.ends_with("status"));
    assert_eq!(reports.keys().collect::<Vec<_>>(), [&e0, &wl0, &there]);
    // Turned on again, what was missed is made up for.
    option("EndpointReportingEnabled", "true");
    eventually("turned on again", || {
        !stored(&member, REPORTS).contains_key(&e0)
    });
}

//! The keys and values in etcd.

use std::sync::Arc;
use std::time::Duration;

use crate::status::facts::{Endpoint, Status};
use crate::status::keys::{Keys, end_of, status, value};
use crate::status::process::{Attempt, report};

fn workload(workload: &str) -> Endpoint {
    Endpoint::Workload {
        orchestrator: "k8s".to_owned(),
        workload: workload.to_owned(),
        endpoint: "eth0".to_owned(),
    }
}

#[test]
fn keys_are_felixs() {
    let keys = Keys::new("gw1", None);
    assert_eq!(keys.process(), "/calico/felix/v2/no-region/host/gw1/status");
    let keys = Keys::new("gw1", Some("eu-1"));
    assert_eq!(
        keys.last_process(),
        "/calico/felix/v2/region-eu-1/host/gw1/last_reported_status"
    );
    assert_eq!(
        keys.endpoint(&Endpoint::Host(Arc::from("a%b/c"))),
        "/calico/felix/v1/host/gw1/endpoint/a%25b%2fc"
    );
    assert_eq!(
        keys.endpoint(&workload("ns/pod")),
        "/calico/felix/v2/region-eu-1/host/gw1/workload/k8s/ns%2fpod/endpoint/eth0"
    );
    assert_eq!(value(Status::Error), br#"{"status":"error"}"#);
}

#[test]
fn a_range_holds_the_keys_of_one_host_and_no_others() {
    let keys = Keys::new("gw1", None);
    let inside = |key: &str| {
        keys.prefixes()
            .iter()
            .any(|prefix| (prefix.as_bytes()..end_of(prefix).as_slice()).contains(&key.as_bytes()))
    };
    for endpoint in [Endpoint::Host(Arc::from("a")), workload("ns/pod")] {
        let key = keys.endpoint(&endpoint);
        assert!(inside(&key) && keys.is_endpoint(&key), "{key}");
        for other in [
            Keys::new("gw", None),
            Keys::new("gw10", None),
            Keys::new("gw1-b", None),
            Keys::new("gw1.b", None),
            Keys::new("gw10/endpoint", None),
        ] {
            let key = other.endpoint(&endpoint);
            assert!(!inside(&key) && !keys.is_endpoint(&key), "{key}");
        }
    }
    for key in [keys.process(), keys.last_process()] {
        assert!(!inside(&key) && !keys.is_endpoint(&key), "{key}");
    }
    for rest in [
        "v1/host/gw1/endpoint/",
        "v1/host/gw1/endpoint/a/b",
        "v2/no-region/host/gw1/workload/k8s/pod",
        "v2/no-region/host/gw1/workload/k8s/pod/endpoint/",
        "v2/no-region/host/gw1/workload/k8s/pod/other/eth0",
        "v2/no-region/host/gw1/workload/k8s/pod/endpoint/eth0/more",
    ] {
        assert!(
            !keys.is_endpoint(&format!("/calico/felix/{rest}")),
            "{rest}"
        );
    }
}

#[test]
fn only_what_we_write_is_read_as_a_status() {
    for known in [Status::Up, Status::Down, Status::Error] {
        assert_eq!(status(&value(known)), Some(known));
    }
    let hostile: [&[u8]; 5] = [b"", b"up", br#"{"status":"Up"}"#, b"{", &[0xff, 0]];
    for text in hostile {
        assert_eq!(status(text), None);
    }
}

#[test]
fn the_process_reports_as_felix_does() {
    let text = |attempt| {
        let report = report(
            "2017-05-01T12:00:00Z",
            Duration::from_micros(31_500_400),
            attempt,
        );
        String::from_utf8(report).unwrap()
    };
    assert_eq!(
        text(Attempt::First),
        r#"{"time":"2017-05-01T12:00:00Z","uptime":31.5,"first_update":true}"#
    );
    assert!(text(Attempt::Later).contains(r#""first_update":false"#));
}

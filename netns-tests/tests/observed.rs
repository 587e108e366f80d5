//! What health checks, metrics collectors and a supervisor learn of the daemon.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use netns_tests::agent::DEADLINE;
use netns_tests::resources::{documents, eth0, ingress};
use netns_tests::stage::until;
use netns_tests::{Agent, Directory, Namespace, World, both_ways, refused};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const HOST: &str = "127.0.0.1";
const HEALTH: u16 = 9099;
const METRICS: u16 = 9091;

fn resources(port: u16) -> String {
    let rule = format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}");
    documents(&[eth0(), ingress("allow", 10, &rule)])
}

/// Asks a server of the host, if one listens.
fn ask(host: &Namespace, port: u16, path: &str) -> Option<String> {
    host.run(|| exchange(TcpStream::connect((HOST, port)).ok()?, path))
}

fn exchange(mut stream: impl Read + Write, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // A peer that closes without a last word over TLS has said all the same.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    (!text.is_empty()).then_some(text)
}

fn is(host: &Namespace, port: u16, path: &str, status: &str) -> bool {
    let begins = format!("HTTP/1.1 {status} ");
    ask(host, port, path).is_some_and(|answer| answer.starts_with(&begins))
}

/// Returns the value of a metric, if it is there.
fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

fn metric(host: &Namespace, name: &str) -> Option<f64> {
    value(&ask(host, METRICS, "/metrics")?, name)
}

fn at_least(host: &Namespace, name: &str, least: f64) {
    until(&format!("{name} is at least {least}"), || {
        metric(host, name).is_some_and(|value| value >= least)
    });
}

both_ways! {
    fn health_and_metrics_tell_a_start_from_what_is_in_force(owner) {
        let world = World::new();
        let host = &world.host;
        let directory = Directory::new();
        directory.vanish();
        let settings = [
            ("FELIX_HEALTHENABLED", "true"),
            ("FELIX_PROMETHEUSMETRICSENABLED", "true"),
        ];
        let agent = Agent::launch(host, owner, &settings, &directory);
        until("the health server answers", || is(host, HEALTH, "/liveness", "200"));
        assert!(is(host, HEALTH, "/readiness", "503"));
        until("metrics say that the datastore is waited for", || {
            metric(host, "felix_resync_state ") == Some(1.0)
        });
        let page = ask(host, METRICS, "/metrics").expect("a page");
        assert_eq!(value(&page, "felix_int_dataplane_initial_resync_time_seconds "), None);
        assert!(page.contains("\nprocess_open_fds "), "{page}");
        directory.put_hidden("resources.yaml", &resources(8055));
        directory.reappear();
        agent.started();
        until("the daemon is ready", || is(host, HEALTH, "/readiness", "200"));
        assert!(is(host, HEALTH, "/liveness", "200"));
        for (name, wanted) in [
            ("felix_resync_state ", 3.0),
            ("felix_active_local_endpoints ", 1.0),
            ("felix_active_local_policies ", 1.0),
            ("felix_cluster_num_host_endpoints ", 1.0),
            ("felix_cluster_num_hosts ", 1.0),
            ("felix_int_dataplane_failures ", 0.0),
            ("tortie_update_latency_seconds_count ", 0.0),
        ] {
            assert_eq!(metric(host, name), Some(wanted), "{name}");
        }
        at_least(host, "felix_nft_rules{ip_version=\"inet\",table=\"tortie\"} ", 1.0);
        agent.apply(&resources(8056));
        at_least(host, "tortie_update_latency_seconds_count ", 1.0);
        at_least(host, "felix_int_dataplane_apply_time_seconds_count ", 1.0);
        at_least(host, "felix_calc_graph_updates_processed{type=\"GlobalNetworkPolicy\"} ", 2.0);
    }

    fn a_datastore_that_says_it_is_not_ready_is_waited_for_in_good_health(owner) {
        let world = World::new();
        let host = &world.host;
        let directory = Directory::new();
        let cluster = |ready: bool| format!(
            "apiVersion: projectcalico.org/v3\nkind: ClusterInformation\n\
             metadata: {{name: default}}\nspec: {{datastoreReady: {ready}}}\n"
        );
        directory.put("cluster.yaml", &cluster(false));
        directory.put("resources.yaml", &resources(8055));
        let settings = [
            ("FELIX_HEALTHENABLED", "true"),
            ("FELIX_PROMETHEUSMETRICSENABLED", "true"),
        ];
        let agent = Agent::launch(host, owner, &settings, &directory);
        let waits = || {
            until("the daemon says what it waits for, and is ready", || {
                ask(host, HEALTH, "/readiness").is_some_and(|answer| {
                    answer.starts_with("HTTP/1.1 200 ")
                        && answer.contains("datastore: ok: wait-for-ready: ")
                })
            });
            until("metrics say that the datastore is waited for", || {
                metric(host, "felix_resync_state ") == Some(1.0)
            });
        };
        waits();
        assert_eq!(metric(host, "tortie_transactions_total "), Some(0.0));
        directory.put("cluster.yaml", &cluster(true));
        agent.started();
        until("metrics say that the datastore is followed", || {
            metric(host, "felix_resync_state ") == Some(3.0)
        });
        until("policy is in force", || {
            ask(host, HEALTH, "/readiness").is_some_and(|answer| answer.contains("policy: ok: in force\n"))
        });
        directory.put("cluster.yaml", &cluster(false));
        waits();
    }

    fn a_refused_change_counts_until_it_is_in_force(owner) {
        let world = World::around(Namespace::of_user("host"));
        let host = &world.host;
        let settings = [
            ("FELIX_HEALTHENABLED", "true"),
            ("FELIX_PROMETHEUSMETRICSENABLED", "true"),
        ];
        let agent = Agent::with(host, owner, &settings);
        agent.apply(&resources(8055));
        let mark = agent.mark();
        let long = |rules| refused::long_policy("all()", rules, 8056);
        agent.put("long.yaml", &long(refused::too_many_rules()));
        agent.warned(&mark, "is denied");
        at_least(host, "felix_int_dataplane_failures ", 1.0);
        assert_eq!(metric(host, "tortie_denied_objects "), Some(1.0));
        agent.put("long.yaml", &long(0));
        until("nothing is denied any more", || {
            metric(host, "tortie_denied_objects ") == Some(0.0)
        });
        assert_eq!(metric(host, "tortie_failing_seconds "), Some(0.0));
        assert!(is(host, HEALTH, "/readiness", "200"));
    }

    fn servers_follow_the_configuration_of_the_datastore(owner) {
        let world = World::new();
        let host = &world.host;
        let agent = Agent::start(host, owner);
        assert_eq!(ask(host, METRICS, "/metrics"), None);
        let configured = |port: u16| format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n\
             metadata: {{name: default}}\n\
             spec: {{prometheusMetricsEnabled: true, prometheusMetricsPort: {port}}}\n"
        );
        for (port, other) in [(METRICS, 9192), (9192, METRICS)] {
            agent.directory().put("felix.yaml", &configured(port));
            until("metrics are served", || is(host, port, "/metrics", "200"));
            until("and no longer elsewhere", || ask(host, other, "/metrics").is_none());
        }
        agent.directory().remove("felix.yaml");
        until("nothing is served", || ask(host, 9192, "/metrics").is_none());
    }

    fn metrics_are_served_over_tls_and_nothing_else(owner) {
        let world = World::new();
        let host = &world.host;
        let files = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new(vec![HOST.to_owned()])
            .and_then(|params| params.signed_by(&key, &authority))
            .expect("a certificate");
        let [certificate_file, key_file] = ["server.pem", "server.key"]
            .map(|name| files.path().join(name).to_str().expect("UTF-8").to_owned());
        fs::write(&certificate_file, server.pem()).expect("a file");
        fs::write(&key_file, key.serialize_pem()).expect("a file");
        let settings = [
            ("FELIX_PROMETHEUSMETRICSENABLED", "true"),
            ("FELIX_PROMETHEUSMETRICSCERTFILE", certificate_file.as_str()),
            ("FELIX_PROMETHEUSMETRICSKEYFILE", key_file.as_str()),
        ];
        let _agent = Agent::with(host, owner, &settings);
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        let page = || {
            let name = ServerName::try_from(HOST).expect("a name");
            let connection = ClientConnection::new(Arc::clone(&config), name).expect("a client");
            host.run(|| {
                let stream = TcpStream::connect((HOST, METRICS)).ok()?;
                exchange(StreamOwned::new(connection, stream), "/metrics")
            })
        };
        until("metrics are served", || {
            page().is_some_and(|page| value(&page, "felix_resync_state ") == Some(3.0))
        });
        let plain = ask(host, METRICS, "/metrics");
        assert!(plain.is_none_or(|text| !text.contains("felix_")));
    }

    fn a_supervisor_is_told_what_happens(owner) {
        let world = World::new();
        let files = tempfile::tempdir().expect("a directory");
        let path = files.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).expect("a socket");
        supervisor.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let told = |wanted: &str| {
            let mut buffer = [0; 512];
            let length = supervisor.recv(&mut buffer).unwrap_or_else(|e| panic!("{wanted}: {e}"));
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        // Passes over everything but the wanted notice, and says whether `never` came before.
        let until_told = |wanted: &str, never: &str| {
            loop {
                let text = told(wanted);
                assert!(never.is_empty() || !text.starts_with(never), "{text} before {wanted}");
                if text.starts_with(wanted) {
                    return;
                }
            }
        };
        let directory = Directory::new();
        directory.vanish();
        let settings = [
            ("NOTIFY_SOCKET", path.to_str().expect("UTF-8")),
            ("WATCHDOG_USEC", "200000"),
        ];
        let mut agent = Agent::launch(&world.host, owner, &settings, &directory);
        until_told("STATUS=wait-for-ready", "READY=1");
        until_told("WATCHDOG=1", "READY=1");
        directory.put_hidden("resources.yaml", &resources(8055));
        directory.reappear();
        until_told("READY=1", "STOPPING=1");
        agent.started();
        agent.signal(Signal::SIGHUP);
        until_told("RELOADING=1\nMONOTONIC_USEC=", "READY=1");
        until_told("READY=1", "STOPPING=1");
        // One that does not read holds nobody up.
        std::thread::sleep(Duration::from_secs(1));
        agent.apply(&resources(8056));
        supervisor.set_nonblocking(true).expect("nonblocking");
        while supervisor.recv(&mut [0; 512]).is_ok() {}
        supervisor.set_nonblocking(false).expect("blocking");
        let status = std::thread::scope(|scope| {
            let ended = scope.spawn(|| agent.terminate());
            until_told("STOPPING=1", "READY=1");
            ended.join().expect("an end")
        });
        assert_eq!(status.code(), Some(0));
    }
}

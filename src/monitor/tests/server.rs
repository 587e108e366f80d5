use std::fs;
use std::io::Write as _;
use std::net::TcpStream as Stream;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::monitor::board::Resync;
use crate::monitor::counting::{Owner, Tally};
use crate::monitor::settings::{ClientAuth, Patience};

const HOST: &str = "127.0.0.1";

/// Returns a port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((HOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn listen(port: u16) -> Listen {
    Listen {
        host: HOST.to_owned(),
        port,
    }
}

fn health_on(port: u16) -> HealthSettings {
    HealthSettings {
        listen: listen(port),
        patience: Patience::default(),
    }
}

fn metrics_on(port: u16, tls: Option<Tls>) -> MetricsSettings {
    MetricsSettings {
        listen: listen(port),
        tls,
        process: false,
        counters: false,
    }
}

fn connect(port: u16) -> Stream {
    for _ in 0..500 {
        if let Ok(stream) = Stream::connect((HOST, port)) {
            let patience = Some(Duration::from_secs(20));
            stream.set_read_timeout(patience).unwrap();
            return stream;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {port}");
}

/// Waits until nobody listens.
fn closed(port: u16) {
    for _ in 0..500 {
        if Stream::connect((HOST, port)).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("somebody still listens on {port}");
}

/// Sends a request and returns all that comes back.
fn exchange(
    mut stream: impl std::io::Read + std::io::Write,
    request: &str,
) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let outcome = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        outcome?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn ask(port: u16, method: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    exchange(connect(port), &request).unwrap()
}

#[track_caller]
fn expect(answer: &str, status: &str, content: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains(content), "{answer}");
}

/// Has counted one packet of a policy.
#[derive(Debug)]
struct Fixed;

impl Counters for Fixed {
    fn read(&mut self) -> Result<Vec<Tally>, String> {
        Ok(vec![Tally {
            owner: Owner::Profile {
                profile: "web".to_owned(),
                direction: "ingress",
                action: "allow",
            },
            packets: 1,
            bytes: 60,
        }])
    }
}

fn monitor() -> (Arc<Board>, Monitor) {
    let board = Arc::new(Board::new("1", "here".to_owned()));
    (Arc::clone(&board), Monitor::new(board, Box::new(Fixed)))
}

#[test]
fn both_servers_answer_and_follow_their_settings() {
    let (board, mut monitor) = monitor();
    let [health, metrics, other] = [free_port(), free_port(), free_port()];
    let settings = Settings {
        health: Some(health_on(health)),
        metrics: Some(metrics_on(metrics, None)),
    };
    monitor.configure(settings.clone()).unwrap();
    expect(&ask(health, "GET", "/liveness"), "200", "loop: ok");
    expect(
        &ask(health, "GET", "/readiness"),
        "503",
        "datastore: bad: wait-for-ready",
    );
    expect(&ask(health, "GET", "/metrics"), "404", "");
    expect(&ask(health, "POST", "/liveness"), "405", "allow: GET, HEAD");
    expect(
        &ask(metrics, "GET", "/metrics?x"),
        "200",
        "\nfelix_resync_state 1\n",
    );
    expect(&ask(metrics, "GET", "/"), "404", "");
    let head = ask(metrics, "HEAD", "/metrics");
    expect(&head, "200", "content-type: text/plain; version=0.0.4");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    board.note(|facts| facts.resync = Resync::InSync);
    expect(
        &ask(metrics, "GET", "/metrics"),
        "200",
        "\nfelix_resync_state 3\n",
    );
    monitor
        .configure(Settings {
            health: Some(health_on(other)),
            ..settings
        })
        .unwrap();
    expect(&ask(other, "GET", "/liveness"), "200", "");
    closed(health);
    expect(&ask(metrics, "GET", "/metrics"), "200", "");
    monitor.configure(Settings::default()).unwrap();
    closed(other);
    closed(metrics);
}

#[test]
fn a_port_that_is_taken_is_tried_again() {
    let taken = std::net::TcpListener::bind((HOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (_, mut monitor) = monitor();
    monitor
        .configure(Settings {
            health: Some(health_on(port)),
            metrics: None,
        })
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    drop(taken);
    expect(&ask(port, "GET", "/liveness"), "200", "");
}

#[test]
fn hostile_clients_get_nothing_and_keep_nobody_out() {
    let (_, mut monitor) = monitor();
    let port = free_port();
    monitor
        .configure(Settings {
            health: None,
            metrics: Some(metrics_on(port, None)),
        })
        .unwrap();
    let silent: Vec<Stream> = (0..CONNECTIONS - 1).map(|_| connect(port)).collect();
    expect(&ask(port, "GET", "/metrics"), "200", "");
    let mut slow = connect(port);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    // All room is taken now, by those who do not speak.
    expect(&ask(port, "GET", "/metrics"), "200", "");
    drop((silent, slow));
    for request in [
        format!(
            "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(2 * BUFFER)
        ),
        format!(
            "GET /metrics HTTP/1.1\r\n{}\r\n",
            "X: x\r\n".repeat(2 * FIELDS)
        ),
    ] {
        if let Ok(answer) = exchange(connect(port), &request) {
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    for garbage in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}"] {
        let mut stream = connect(port);
        stream.write_all(garbage.as_bytes()).unwrap();
    }
    expect(&ask(port, "GET", "/metrics"), "200", "");
}

#[test]
fn many_that_say_nothing_keep_nobody_waiting() {
    let (_, mut monitor) = monitor();
    let [health, metrics] = [free_port(), free_port()];
    monitor
        .configure(Settings {
            health: Some(health_on(health)),
            metrics: Some(metrics_on(metrics, None)),
        })
        .unwrap();
    for (port, path) in [(health, "/liveness"), (metrics, "/metrics")] {
        let silent: Vec<Stream> = (0..8 * CONNECTIONS).map(|_| connect(port)).collect();
        expect(&ask(port, "GET", path), "200", "");
        drop(silent);
    }
}

#[test]
fn the_oldest_of_the_address_with_most_connections_goes_first() {
    let from = |hosts: &[u8]| -> Vec<IpAddr> {
        let address = |host: &u8| Ipv4Addr::new(192, 0, 2, *host).into();
        hosts.iter().map(address).collect()
    };
    for (hosts, first) in [
        (&[][..], None),
        (&[1, 2, 3], Some(0)),
        (&[1, 2, 2, 3], Some(1)),
        (&[1, 2, 3, 2, 3, 3], Some(2)),
    ] {
        assert_eq!(superfluous(&from(hosts)), first, "{hosts:?}");
    }
}

/// Certificates of an authority of the test's own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn issue(&self, directory: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// Asks for metrics over TLS, with a client's certificate if one is named.
fn ask_tls(
    port: u16,
    directory: &Path,
    authority: &Authority,
    client: Option<&str>,
) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let file = |ending: &str| directory.join(format!("{name}.{ending}"));
            let chain = vec![CertificateDer::from_pem_file(file("pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from(HOST).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = StreamOwned::new(connection, connect(port));
    exchange(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").map_err(|e| e.to_string())
}

#[test]
fn clients_are_asked_for_what_the_settings_say() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (ours, other) = (Authority::new(), Authority::new());
    fs::write(path.join("ca.pem"), ours.issuer.pem()).unwrap();
    ours.issue(path, "server");
    ours.issue(path, "good");
    other.issue(path, "bad");
    // Whether no certificate, a valid one and that of another authority are let in.
    for (client, none, good, bad) in [
        (ClientAuth::None, true, true, true),
        (ClientAuth::Any, false, true, true),
        (ClientAuth::ValidIfGiven, true, true, false),
        (ClientAuth::Valid, false, true, false),
    ] {
        let (_, mut monitor) = monitor();
        let port = free_port();
        let tls = Tls {
            certificate: path.join("server.pem"),
            key: path.join("server.key"),
            authorities: Some(path.join("ca.pem")),
            client,
        };
        monitor
            .configure(Settings {
                health: None,
                metrics: Some(metrics_on(port, Some(tls))),
            })
            .unwrap();
        for (name, wanted) in [(None, none), (Some("good"), good), (Some("bad"), bad)] {
            let answer = ask_tls(port, path, &ours, name);
            let got = answer
                .as_ref()
                .is_ok_and(|text| text.starts_with("HTTP/1.1 200"));
            assert_eq!(got, wanted, "{client:?} {name:?}: {answer:?}");
        }
        let plain = exchange(connect(port), "GET /metrics HTTP/1.1\r\n\r\n");
        assert!(!plain.is_ok_and(|text| text.contains("felix_")));
    }
}

#[test]
fn certificates_that_change_are_taken_up_and_bad_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (first, second) = (Authority::new(), Authority::new());
    first.issue(path, "server");
    let (_, mut monitor) = monitor();
    let port = free_port();
    let tls = Tls {
        certificate: path.join("server.pem"),
        key: path.join("server.key"),
        authorities: None,
        client: ClientAuth::None,
    };
    let settings = Settings {
        health: None,
        metrics: Some(metrics_on(port, Some(tls))),
    };
    monitor.configure(settings).unwrap();
    let good = |authority: &Authority| ask_tls(port, path, authority, None).is_ok();
    assert!(good(&first));
    thread::sleep(FILES);
    fs::write(path.join("server.pem"), "nothing").unwrap();
    assert!(good(&first), "what was read before goes on");
    thread::sleep(FILES);
    second.issue(path, "server");
    assert!(good(&second));
    assert!(!good(&first));
}

#[test]
fn what_cannot_be_encrypted_as_asked_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let authority = Authority::new();
    authority.issue(path, "server");
    let whole = Tls {
        certificate: path.join("server.pem"),
        key: path.join("server.key"),
        authorities: None,
        client: ClientAuth::None,
    };
    assert!(server_config(&whole).is_ok());
    fs::write(path.join("empty"), "").unwrap();
    for bad in [
        Tls {
            client: ClientAuth::Valid,
            ..whole.clone()
        },
        Tls {
            key: std::path::PathBuf::new(),
            ..whole.clone()
        },
        Tls {
            certificate: path.join("empty"),
            ..whole.clone()
        },
        Tls {
            key: path.join("nowhere"),
            ..whole
        },
    ] {
        assert!(server_config(&bad).is_err(), "{bad:?}");
        assert!(Encryption::new(&bad).is_err());
    }
}

#[test]
fn counters_of_policies_stand_on_the_page_where_that_is_wanted() {
    let (_board, mut monitor) = monitor();
    let [port, other] = [free_port(), free_port()];
    for (counters, port) in [(false, other), (true, port)] {
        let metrics = MetricsSettings {
            counters,
            ..metrics_on(port, None)
        };
        let settings = Settings {
            metrics: Some(metrics),
            ..Settings::default()
        };
        monitor.configure(settings).unwrap();
        let line = "tortie_profile_bytes_total{profile=\"web\",direction=\"ingress\",action=\"allow\"} 60\n";
        let page = ask(port, "GET", "/metrics");
        assert_eq!(page.contains(line), counters, "{page}");
    }
    let head = ask(port, "HEAD", "/metrics");
    expect(&head, "200", "content-length: ");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

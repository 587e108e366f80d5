//! Settings of the kernel below `/proc/sys/net`.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use tracing::{debug, info, warn};

use super::error::RouteError;
use super::settings::{Forwarding, Ipv6, Settings, SpoofedSources, Wiring};
use crate::net::{Family, InterfaceName};

/// Where the kernel shows the settings of this network namespace.
const ROOT: &str = "/proc/sys";

/// Names under which the settings of all interfaces stand, whatever interface bears them.
const SHARED: [&str; 2] = ["all", "default"];

/// Whether a setting must be as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing works as it should otherwise.
    Required,
    /// It is better so, and not every kernel has it.
    Welcome,
}

/// What came of settings that are to have values.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Those that had others.
    pub(super) changed: Vec<String>,
    /// The first failure.
    pub(super) failure: Option<RouteError>,
}

impl Written {
    /// Has a setting have a value.
    fn set(&mut self, setting: &str, value: &'static str) -> Result<(), RouteError> {
        if set(setting, value)? == Change::Made {
            self.changed.push(setting.to_owned());
        }
        Ok(())
    }

    /// Has a setting have a value without which nothing works.
    fn require(&mut self, setting: &str, value: &'static str) {
        if let Err(error) = self.set(setting, value) {
            self.failure.get_or_insert(error);
        }
    }
}

/// Whether a setting had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Made,
}

/// Has the host forward, where it is to, as far as it can.
pub(super) fn forward(settings: &Settings) -> Written {
    let mut written = Written::default();
    match settings.forwarding {
        Forwarding::Enabled => {}
        Forwarding::LeftAlone => return written,
    }
    written.require("net/ipv4/ip_forward", "1");
    if settings.wires(Family::V6) {
        keep_router_advertisements(settings);
        written.require("net/ipv6/conf/all/forwarding", "1");
    }
    written
}

/// Sets what else the whole host is the better for.
pub(super) fn configure_host() {
    if let Err(error) = set("net/netfilter/nf_conntrack_acct", "1") {
        debug!(
            error = &error as &dyn std::error::Error,
            "connections are not counted"
        );
    }
    // The kernel takes the larger of this and the interface's, and the larger of the two is the looser.
    if read("net/ipv4/conf/all/rp_filter").is_ok_and(|value| value == "2") {
        info!("net/ipv4/conf/all/rp_filter is 2: the kernel's own check of IPv4 sources is loose");
    }
}

/// Lets the host's own interfaces go on to heed router advertisements, which they cease to do, and forget the routes
/// that they have from them, when the host begins to forward IPv6; the value 2 says "although it forwards".
fn keep_router_advertisements(settings: &Settings) {
    let Ok(interfaces) = fs::read_dir(Path::new(ROOT).join("net/ipv6/conf")) else {
        return;
    };
    for entry in interfaces.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_workload = name
            .parse()
            .is_ok_and(|name: InterfaceName| settings.is_workload(&name));
        let setting = format!("net/ipv6/conf/{name}/accept_ra");
        if SHARED.contains(&name) || is_workload || !read(&setting).is_ok_and(|value| value == "1")
        {
            continue;
        }
        match set(&setting, "2") {
            Ok(_) => debug!(name, "the interface goes on to heed router advertisements"),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "an interface may lose its routes from router advertisements"
            ),
        }
    }
}

/// Sets what the interface of a workload needs, as far as it can.
pub(super) fn configure_interface(
    interface: &InterfaceName,
    wiring: &Wiring,
    ipv6: Ipv6,
) -> Written {
    let mut written = Written::default();
    if SHARED.contains(&interface.as_str()) {
        written.failure = Some(RouteError::Name {
            interface: interface.clone(),
        });
        return written;
    }
    let v4 = |setting: &str| format!("net/ipv4/conf/{interface}/{setting}");
    let v6 = |setting: &str| format!("net/ipv6/conf/{interface}/{setting}");
    // A workload's own routes lead through its own interface alone, so the strict check refuses nothing that
    // is right; it stands beside the ruleset's and holds where that does not.
    let rp_filter = match wiring.spoofing {
        SpoofedSources::Refused => "1",
        SpoofedSources::Allowed => "0",
    };
    if wiring.spoofing == SpoofedSources::Allowed
        && read("net/ipv4/conf/all/rp_filter").is_ok_and(|value| value == "1")
    {
        warn!(
            %interface,
            "net/ipv4/conf/all/rp_filter is 1: the kernel's own check drops the IPv4 sources that the workload may use"
        );
    }
    let has_v6 = wiring.addresses.iter().any(IpAddr::is_ipv6);
    let v6_need = if has_v6 {
        Need::Required
    } else {
        Need::Welcome
    };
    let mut wanted = vec![
        (v6("accept_ra"), "0", Need::Welcome),
        (v4("rp_filter"), rp_filter, Need::Required),
        (v4("route_localnet"), "1", Need::Required),
        (
            format!("net/ipv4/neigh/{interface}/proxy_delay"),
            "0",
            Need::Welcome,
        ),
        (v4("proxy_arp"), "1", Need::Required),
        (v4("forwarding"), "1", Need::Required),
    ];
    match ipv6 {
        Ipv6::Enabled => wanted.extend([
            (v6("proxy_ndp"), "1", v6_need),
            (v6("forwarding"), "1", v6_need),
        ]),
        Ipv6::Disabled => {}
    }
    for (setting, value, need) in wanted {
        match need {
            Need::Required => written.require(&setting, value),
            Need::Welcome => {
                if let Err(error) = written.set(&setting, value) {
                    debug!(
                        error = &error as &dyn std::error::Error,
                        "left a setting as it is"
                    );
                }
            }
        }
    }
    written
}

/// Writes a setting unless it has the value already, so that a read-only `/proc/sys` can be prepared by others.
fn set(setting: &str, value: &'static str) -> Result<Change, RouteError> {
    if read(setting).is_ok_and(|present| present == value) {
        return Ok(Change::None);
    }
    // The file is never created: where there is none, there is no such setting.
    fs::OpenOptions::new()
        .write(true)
        .open(Path::new(ROOT).join(setting))
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map(|()| Change::Made)
        .map_err(|source| RouteError::Sysctl {
            setting: setting.to_owned(),
            value,
            source,
        })
}

fn read(setting: &str) -> io::Result<String> {
    fs::read_to_string(Path::new(ROOT).join(setting)).map(|text| text.trim_end().to_owned())
}

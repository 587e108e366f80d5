//! The commands that ask the kernel, beside a daemon and without one.

use std::process::Output;

use netns_tests::agent::command_line;
use netns_tests::resources::{documents, eth0, ingress, network_set};
use netns_tests::server::Services;
use netns_tests::{Agent, Directory, World, both_ways, witness};

const SERVICES: Services = Services {
    tcp: &[],
    udp: &[],
    protocols: &[],
};

fn resources(port: u16) -> String {
    let rule = format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}");
    documents(&[eth0(), ingress("allow", 10, &rule)])
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

both_ways! {
    fn diff_tells_what_a_run_would_change_and_changes_nothing(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&resources(8055));
        let before = witness::identities(&world.host);
        let same = agent.directory().path();
        let same = command_line(&world.host, owner, &["diff", &same.to_string_lossy()]);
        assert_eq!(said(&same), (Some(0), String::new(), "no difference\n".to_owned()));

        let other = Directory::new();
        other.put("all.yaml", &resources(8056));
        let path = other.path();
        let (code, stdout, stderr) =
            said(&command_line(&world.host, owner, &["diff", &path.to_string_lossy()]));
        assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
        assert!(stdout.starts_with("~ chain pol-in-default.allow\n"), "{stdout}");
        assert!(stdout.contains("+ tcp dport 8056 accept"), "{stdout}");
        assert_eq!(witness::identities(&world.host), before);
    }

    fn diff_keeps_sets_as_a_run_would_which_have_grown_and_shrunk(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let rule = "{action: Allow, protocol: TCP, source: {selector: has(member)}}";
        let of = |nets: &str, port: u16| {
            let deny = format!("{{action: Deny, protocol: TCP, destination: {{ports: [{port}]}}}}");
            let set = network_set("members", "member: 'yes'", nets);
            documents(&[eth0(), ingress("allow", 10, &format!("{deny}, {rule}")), set])
        };
        let many: Vec<String> = (0..100).map(|number| format!("198.18.0.{number}")).collect();
        agent.apply(&of(&many.join(", "), 1));
        agent.apply(&of("198.18.0.1", 1));
        agent.apply(&of("198.18.0.2", 2));
        let path = agent.directory().path();
        let same = command_line(&world.host, owner, &["diff", &path.to_string_lossy()]);
        assert_eq!(said(&same), (Some(0), String::new(), "no difference\n".to_owned()));
    }

    fn flush_asks_first_and_takes_silence_for_no(owner) {
        let world = World::serving(SERVICES);
        let (code, _, stderr) = said(&command_line(&world.host, owner, &["flush"]));
        assert_eq!((code, stderr.contains("nothing to remove")), (Some(0), true), "{stderr}");
        let mut agent = Agent::start(&world.host, owner);
        agent.apply(&resources(8055));
        agent.terminate();
        let (code, _, stderr) = said(&command_line(&world.host, owner, &["flush"]));
        assert_eq!((code, stderr.contains("--yes")), (Some(2), true), "{stderr}");
        assert!(witness::exists(&world.host));
    }

    fn flush_removes_our_rule_from_the_hosts_own_firewall(owner) {
        let world = World::serving(SERVICES);
        let iptables = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            world.host.exec("iptables", &words, "")
        };
        iptables("-P INPUT DROP");
        iptables("-A INPUT -i lo -j ACCEPT");
        let before = iptables("-S");
        // As it is when the host restored what was saved while the rule was there.
        let rule = "*filter\n-I INPUT -m mark --mark 0x10000/0x10000 -m comment \
                    --comment \"tortie: accepted by policy\" -j ACCEPT\nCOMMIT\n";
        world.host.exec("iptables-restore", &["--noflush"], rule);
        assert!(iptables("-S").contains("tortie"));
        let (code, _, stderr) = said(&command_line(&world.host, owner, &["flush"]));
        assert_eq!((code, stderr.contains("--yes")), (Some(2), true), "{stderr}");
        let (code, _, stderr) = said(&command_line(&world.host, owner, &["flush", "--yes"]));
        let removed = stderr.contains("removed our rule from the chain `ip filter INPUT`");
        assert_eq!((code, removed), (Some(0), true), "{stderr}");
        assert_eq!(iptables("-S"), before);
    }

    fn get_shows_the_interface_that_an_endpoint_polices(owner) {
        let world = World::serving(SERVICES);
        let directory = Directory::new();
        directory.put("all.yaml", &resources(8055));
        let path = directory.path();
        let path = path.to_string_lossy();
        let arguments = ["get", "hep", "--directory", &path, "-o", "json"];
        let (code, stdout, stderr) = said(&command_line(&world.host, owner, &arguments));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        let value: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        let status = serde_json::json!({ "interfaces": ["eth0"] });
        assert_eq!(value["items"][0]["status"], status, "{stdout}");
    }
}

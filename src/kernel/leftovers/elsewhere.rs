//! What Felix may have left outside of nftables, which an operator removes with the programs that made it.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::names;
use super::remove::FelixLeftovers;
use crate::kernel::encode::consts::{ipset, nfnetlink};
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::HostFamily;
use crate::kernel::socket::Dump;

/// Where the kernel lists the tables of `iptables-legacy`, and of `ip6tables-legacy`.
const LEGACY: [(&str, HostFamily, &str); 2] = [
    (
        "iptables-legacy",
        HostFamily::Ip,
        "/proc/thread-self/net/ip_tables_names",
    ),
    (
        "ip6tables-legacy",
        HostFamily::Ip6,
        "/proc/thread-self/net/ip6_tables_names",
    ),
];
/// More than the names of all tables take.
const LISTING_MAX: u64 = 4096;
/// Is there where the kernel knows sets; asking without would load the module.
pub(super) const IPSET_MODULE: &str = "/sys/module/ip_set";
/// The most sets that are counted, and how many of them are named.
const SETS_MAX: usize = 100_000;
/// How often the sets are listed when others change them meanwhile.
const ATTEMPTS: u32 = 5;

/// What there is outside of nftables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elsewhere {
    /// The programs of legacy iptables that have tables, whose rules cannot be read, and the bit of packets that
    /// policy accepted, by which these rules can tell; none where none are marked.
    legacy: Vec<(&'static str, Option<u32>)>,
    /// Felix's sets of `ipset`, in order.
    sets: Vec<String>,
}

/// Looks outside of nftables.
///
/// # Errors
/// Fails where the kernel does not answer; a listing that does not exist is an empty one.
pub fn elsewhere(kernel: &mut FelixLeftovers) -> Result<Elsewhere, KernelError> {
    let mut found = Elsewhere::default();
    for (program, family, path) in LEGACY {
        let names =
            listed(Path::new(path)).map_err(|source| KernelError::Listing { path, source })?;
        if has_table(&names) {
            let accepted = kernel.accepted(family)?;
            let mark = accepted.map(|accepted| accepted.mark);
            found.legacy.push((program, mark));
        }
    }
    if Path::new(IPSET_MODULE).exists() {
        found.sets = sets(kernel)?;
    }
    Ok(found)
}

fn listed(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LISTING_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tells whether a listing has a table that Felix writes.
fn has_table(listing: &str) -> bool {
    let mut names = listing.lines().map(str::trim);
    names.any(|name| names::SHARED_TABLES.contains(&name))
}

/// Lists Felix's sets.
fn sets(kernel: &mut FelixLeftovers) -> Result<Vec<String>, KernelError> {
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        found.clear();
        let dump = kernel.socket().dump(
            "the sets of ipset",
            ipset::LIST,
            nfnetlink::NFPROTO_IPV4,
            |buffer| {
                buffer.u8(ipset::IPSET_ATTR_PROTOCOL, ipset::PROTOCOL);
                buffer.be32(ipset::IPSET_ATTR_FLAGS, ipset::IPSET_FLAG_LIST_SETNAME);
            },
            |message| {
                let name = message.attributes().text(ipset::IPSET_ATTR_SETNAME);
                let felix = name.filter(|name| names::is_set(name) && found.len() < SETS_MAX);
                found.extend(felix.map(ToOwned::to_owned));
            },
        )?;
        match dump {
            Dump::Complete => break,
            Dump::Interrupted => {}
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

impl Elsewhere {
    /// Tells whether Felix has sets of `ipset`. What the tables of legacy iptables hold is not known.
    pub fn has_sets(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Names the legacy programs whose tables may hold rules of Felix's, with the commands that show and remove them,
    /// and before that do what these rules did where a chain drops the rest.
    pub fn legacy_lines(&self) -> Vec<String> {
        let line = |(program, mark): &(&str, Option<u32>)| {
            let accept = match mark {
                Some(mark) => format!(
                    "`for chain in INPUT FORWARD OUTPUT; do {program} -I $chain -m mark --mark {mark:#x}/{mark:#x} \
                     -j ACCEPT; done`, without which a chain that drops the rest would drop what policy accepts, \
                     and then "
                ),
                None => "where no chain drops what Felix's rules alone accept, since nothing that policy accepts is \
                         marked, "
                    .to_owned(),
            };
            format!(
                "{program} has tables, and only its own programs can tell whether they hold rules of Felix's: run \
                 `{program}-save | grep -E -- '{LINES}'`, and if it prints any, {accept}`{program}-save -c | grep -E \
                 -v -- '{LINES}' | {program}-restore -c`"
            )
        };
        self.legacy.iter().map(line).collect()
    }

    /// Names Felix's sets, with the command that removes them. The kernel keeps those that a rule still names.
    pub fn set_line(&self) -> Option<String> {
        let first = self.sets.first()?.escape_debug();
        let which = match self.sets.len() {
            1 => format!("set `{first}` of ipset is Felix's"),
            count => format!("{count} sets of ipset are Felix's, `{first}` the first"),
        };
        Some(format!("{which}: run `{SETS_COMMAND}`"))
    }

    /// Says all of it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.legacy_lines();
        lines.extend(self.set_line());
        lines
    }
}

/// Destroys Felix's sets; the kernel refuses for each that a rule names.
const SETS_COMMAND: &str =
    "ipset list -n | grep -E '^(cali[46]|felix-)' | xargs -r -n 1 ipset destroy";

/// Finds Felix's lines in the text of saved tables: its chains, rules in them, and rules of other chains that lead
/// there, carry its comment or name its sets.
const LINES: &str = "^:(cali([ft][wh]|p[io])?-|felix-)|-[Ajg] (cali([ft][wh]|p[io])?-|felix-)\
                     |--comment \"?cali:|--match-set (cali[46]|felix-)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_that_felix_writes_count() {
        assert!(has_table("security\nfilter\n"));
        assert!(!has_table("security\n; reboot\n\n"));
        assert!(!has_table(""));
        assert_eq!(listed(Path::new("/nowhere/at/all")).unwrap(), "");
    }

    #[test]
    fn each_finding_has_its_command() {
        let found = Elsewhere {
            legacy: vec![("ip6tables-legacy", Some(0x0100_0000))],
            sets: vec!["cali40all-ipam-pools".to_owned(), "felix-4-x".to_owned()],
        };
        let [legacy, sets] = found.lines().try_into().unwrap();
        // In this order.
        let mut rest = legacy.as_str();
        for command in [
            "`ip6tables-legacy-save | grep -E",
            "ip6tables-legacy -I $chain -m mark --mark 0x1000000/0x1000000 -j ACCEPT",
            "| ip6tables-legacy-restore -c`",
        ] {
            let place = rest.find(command);
            rest = &rest[place.unwrap_or_else(|| panic!("{command} in {legacy}"))..];
        }
        let unmarked = Elsewhere {
            legacy: vec![("ip6tables-legacy", None)],
            ..found.clone()
        };
        let line = unmarked.legacy_lines().remove(0);
        assert!(!line.contains("ACCEPT"), "{line}");
        assert!(
            line.contains("where no chain drops what Felix's rules alone accept"),
            "{line}"
        );
        assert_eq!(
            sets,
            "2 sets of ipset are Felix's, `cali40all-ipam-pools` the first: run `ipset list -n | grep -E \
             '^(cali[46]|felix-)' | xargs -r -n 1 ipset destroy`"
        );
        assert!(found.has_sets());
        assert_eq!(Elsewhere::default().lines(), Vec::<String>::new());
    }
}

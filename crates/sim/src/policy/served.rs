//! Which policies serve a machine, and since when: `data/policies.toml`, embedded.

use execmem_types::Machine;
use serde::Deserialize;

use super::rows::{PolicyRow, ROWS};

const SERVED: &str = include_str!("../../data/policies.toml");

/// A release of Linux: major and minor number.
pub type Release = (u32, u32);

/// A policy of Linux on the machines it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The policy.
    pub row: &'static PolicyRow,
    /// The first release in which the machines are served so. `None`: it was proposed and not merged.
    pub since: Option<Release>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServedFile {
    served: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    policy: String,
    since: Option<String>,
    machines: Vec<String>,
    #[serde(rename = "source")]
    _source: String,
}

/// The policies that serve a machine, oldest first.
///
/// # Errors
///
/// What is wrong with the file.
pub fn served(machine: &Machine) -> Result<Vec<Served>, toml::de::Error> {
    let file: ServedFile = toml::from_str(SERVED)?;
    let own = file.served.into_iter().filter(|entry| entry.machines.iter().any(|name| name == machine.name));
    let read = |entry: Entry| {
        let row = ROWS.iter().find(|row| row.key == entry.policy).ok_or(format!("no row {}", entry.policy));
        let since = entry.since.map(|text| release(&text).ok_or(format!("{text} is no release"))).transpose();
        row.and_then(|row| Ok(Served { row, since: since? })).map_err(serde::de::Error::custom)
    };
    own.map(read).collect()
}

/// The policy by which a release serves a machine, among those that serve it. `None` if all are newer.
#[must_use]
pub fn of_release(served: &[Served], release: Release) -> Option<&'static PolicyRow> {
    served.iter().rfind(|served| served.since.is_some_and(|since| since <= release)).map(|served| served.row)
}

fn release(text: &str) -> Option<Release> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use execmem_arch_x86::TABLE;

    use super::*;

    #[test]
    fn every_row_serves_a_machine_and_no_machine_has_two_of_a_name() {
        let file: ServedFile = toml::from_str(SERVED).expect("the file");
        for row in &ROWS {
            assert!(
                file.served.iter().any(|entry| entry.policy == row.key && !entry.machines.is_empty()),
                "{}",
                row.key
            );
        }
        for machine in file.served.iter().flat_map(|entry| &entry.machines) {
            let known = Machine { name: Box::leak(machine.clone().into_boxed_str()), ..*TABLE.machine() };
            let mut names: Vec<_> = served(&known).expect("rows").iter().map(|served| served.row.name).collect();
            let rows = names.len();
            names.dedup();
            assert!(names.len() == rows && names.contains(&"module_alloc") && names.contains(&"linux"), "{machine}");
        }
    }
}

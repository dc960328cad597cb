//! Where a result is from: which command made it, which version, when, and on which machine.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::output::printable;

/// Where a result is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    /// The command and its arguments.
    pub(crate) command: String,
    /// The version of the command.
    pub(crate) version: String,
    /// When it ran, in UTC; if `SOURCE_DATE_EPOCH` is set, that moment.
    pub(crate) date: String,
    /// System, release and architecture of the machine it ran on.
    pub(crate) machine: String,
}

impl Provenance {
    /// That of this process.
    pub(crate) fn of_this_run() -> Self {
        let system = rustix::system::uname();
        let parts = [system.sysname(), system.release(), system.machine()];
        Provenance {
            command: command(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: humantime::format_rfc3339_seconds(moment()).to_string(),
            machine: parts.map(|part| printable(&part.to_string_lossy())).join(" "),
        }
    }
}

/// Now, or the moment that a reproducible build says.
fn moment() -> SystemTime {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let epoch = epoch.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    // The formatter knows the years up to 9999.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    epoch.unwrap_or_else(SystemTime::now).min(last)
}

/// The command as a shell would take it.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let mut text = "execmem".to_owned();
    for argument in arguments {
        let is_plain = |char: char| char.is_alphanumeric() || "-_./=,:+@%".contains(char);
        let argument = printable(&argument);
        let quoted = if !argument.is_empty() && argument.chars().all(is_plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', "'\\''"))
        };
        text.push(' ');
        text.push_str(&quoted);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_where_a_shell_needs_it() {
        let arguments = ["compare", "--csv", "my file's.csv", "", "--set=server"].map(str::to_owned);
        assert_eq!(command(arguments.into_iter()), "execmem compare --csv 'my file'\\''s.csv' '' --set=server");
    }
}

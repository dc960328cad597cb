//! What the command says of itself: manual pages, completions, schemas.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::{Args, SchemaChoice};
use crate::compare::outcome::Comparison;
use crate::output::{print, print_json};
use crate::survey::facts::Survey;

/// Prints the JSON schema of a file.
pub(crate) fn schema(of: SchemaChoice) -> Result<()> {
    let generator = match of {
        // What is printed: everything is there, null or not.
        SchemaChoice::Compare => schemars::generate::SchemaSettings::draft2020_12().for_serialize(),
        // What is read: what may be left out may be left out.
        SchemaChoice::Survey => schemars::generate::SchemaSettings::draft2020_12().for_deserialize(),
    };
    let generator = generator.into_generator();
    print_json(&match of {
        SchemaChoice::Compare => generator.into_root_schema_for::<Comparison>(),
        SchemaChoice::Survey => generator.into_root_schema_for::<Survey>(),
    })
}

/// Prints completions for a shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "execmem", &mut script);
    print(&script)
}

/// Prints the manual page of the command, or of a subcommand.
///
/// # Errors
///
/// There is no such subcommand.
pub(crate) fn page(of: Option<&str>) -> Result<()> {
    let mut command = Args::command();
    command.build();
    let command = match of {
        None => command,
        Some(name) => {
            let found = command.get_subcommands().find(|known| known.get_name() == name && !known.is_hide_set());
            let names = command.get_subcommands().filter(|known| !known.is_hide_set()).map(clap::Command::get_name);
            let names = || names.collect::<Vec<_>>().join(", ");
            found.cloned().with_context(|| format!("no subcommand {}; there are {}", name.escape_debug(), names()))?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    print(&page)
}

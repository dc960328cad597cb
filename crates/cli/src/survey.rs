//! `execmem survey`: what of a machine's executable memory can be read, as one file that `compare --from` answers.

pub(crate) mod estimate;
pub(crate) mod facts;
pub(crate) mod gather;
mod host;
mod names;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::args::SurveyOptions;
use crate::output::{OutputFile, Text};
use gather::Gathered;

/// Surveys, writes the file, and says on standard error what is in it and what is not.
pub(crate) fn run(options: &SurveyOptions) -> Result<ExitCode> {
    let out = OutputFile::open(options.out.as_deref().unwrap_or(Path::new("-")))?;
    let mut gathered = if options.inputs.is_empty() {
        let root = options.root.as_deref();
        host::read(root.unwrap_or(Path::new("/")), root.is_none(), options.pid)?
    } else {
        gather::gather(&options.inputs, options.release())?
    };
    let machine = &mut gathered.survey.machine;
    machine.architecture = options.arch.map(|table| table.name.to_owned()).or(machine.architecture.take());
    machine.release = options.kernel.map(|(major, minor)| format!("{major}.{minor}")).or(machine.release.take());
    if options.no_names {
        gathered.survey.leave_names_out();
        gathered.survey.provenance.command = "execmem survey --no-names".to_owned();
    }
    out.write((serde_json::to_string_pretty(&gathered.survey)? + "\n").as_bytes())?;
    eprint!("{}", summary(&gathered).as_str());
    Ok(if gathered.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was read, and what was not.
fn summary(gathered: &Gathered) -> Text {
    let survey = &gathered.survey;
    let mut text = Text::new();
    text.paragraph(format!(
        "read: {} modules, {} BPF programs, {} trampolines, {} events, {} places, {} functions and {} mappings of a process",
        survey.modules.len(),
        survey.programs.len(),
        survey.trampolines.len(),
        survey.events.len(),
        survey.places.len(),
        survey.process.as_ref().map_or(0, |process| process.functions.len()),
        survey.process.as_ref().map_or(0, |process| process.regions.len()),
    ));
    for missing in &survey.missing {
        text.paragraph(format!("  not read: {}", missing.sentence()));
    }
    for (path, error) in &gathered.unreadable {
        let path = crate::output::printable(&path.display().to_string());
        text.paragraph(format!("  unreadable: {path}: {}", crate::output::printable(error)));
    }
    text
}

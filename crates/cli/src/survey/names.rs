//! The names in a survey: made fit for a terminal as all its texts are, or left out.

use std::collections::BTreeMap;

use super::facts::{MachineFacts, Missing, Piece, Region, Subject, Survey};
use crate::provenance::Provenance;

impl Survey {
    /// Every name, to change it.
    pub(crate) fn names_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut String)> {
        let modules = self.modules.iter_mut().map(|module| ("module", &mut module.name));
        let programs = self.programs.iter_mut().map(|piece| ("program", &mut piece.name));
        let probes = self.probes.iter_mut().map(|piece| ("probe", &mut piece.name));
        let trampolines = self.trampolines.iter_mut().map(|piece| ("trampoline", &mut piece.name));
        let places = self.places.iter_mut().map(|place| {
            let what = match place.kind.as_str() {
                "bpf" => "program",
                "ftrace" => "trampoline",
                "kprobe" => "probe",
                _ => "module",
            };
            (what, &mut place.name)
        });
        let (regions, functions): (&mut [Region], &mut [Piece]) = match &mut self.process {
            Some(process) => (&mut process.regions, &mut process.functions),
            None => (&mut [], &mut []),
        };
        let regions = regions.iter_mut().map(|region| ("region", &mut region.name));
        let functions = functions.iter_mut().map(|piece| ("function", &mut piece.name));
        let events = self.events.iter_mut().map(|event| {
            let what = match event.subject {
                Subject::Module => "module",
                Subject::Program => "program",
                Subject::Probe => "probe",
                Subject::Trampoline => "trampoline",
            };
            (what, &mut event.name)
        });
        let missing = self.missing.iter_mut().flat_map(|missing| &mut missing.names).map(|name| ("module", name));
        let pieces = programs.chain(probes).chain(trampolines);
        modules.chain(pieces).chain(places).chain(regions).chain(functions).chain(events).chain(missing)
    }

    /// Every text that is no name.
    fn other_texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let Provenance { command, version, date, machine } = &mut self.provenance;
        let MachineFacts { architecture, release, processor, .. } = &mut self.machine;
        let processor = processor.iter_mut().map(|processor| &mut processor.name);
        let missing = self.missing.iter_mut().flat_map(|Missing { what, why, how, .. }| [what, why, how]);
        let kinds = self.places.iter_mut().map(|place| &mut place.kind);
        let machine = [command, version, date, machine].into_iter().chain(architecture).chain(release);
        machine.chain(processor).chain(missing).chain(kinds)
    }

    /// Makes every text fit for a terminal.
    pub(crate) fn escape_texts(&mut self) {
        self.names_mut().for_each(|(_, name)| *name = crate::output::printable(name));
        self.other_texts_mut().for_each(|text| *text = crate::output::printable(text));
    }

    /// Replaces every name by a number: the same name of one sort by the same number.
    pub(crate) fn leave_names_out(&mut self) {
        let mut known: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for (what, name) in self.names_mut() {
            let next = known.len() + 1;
            let number = *known.entry((what, std::mem::take(name))).or_insert(next);
            *name = format!("{what} {number}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::facts::ModuleFacts;

    /// Something in every field that is a text.
    const FULL: &str = r#"{
        "schema": "execmem-survey-1",
        "provenance": {"command": "c", "version": "v", "date": "d", "machine": "m"},
        "machine": {"architecture": "x86_64", "release": "r", "processor": {"name": "p"}},
        "modules": [{"name": "a"}],
        "programs": [{"name": "b", "bytes": 64}],
        "probes": [{"name": "c", "bytes": 64}],
        "trampolines": [{"name": "d", "bytes": 64}],
        "places": [{"name": "e", "kind": "bpf", "start": "0x1000", "bytes": 64}],
        "process": {
            "regions": [{"start": "0x1000", "bytes": 4096, "is_writable": false, "name": "f"}],
            "functions": [{"name": "g", "bytes": 64}]
        },
        "events": [{"seconds": 1.0, "subject": "module", "is_load": true, "name": "h"}],
        "missing": [{"what": "w", "names": ["i"], "why": "y", "how": "o"}]
    }"#;

    #[test]
    fn no_text_of_a_survey_steers_a_terminal() {
        let parse = |text: &str| Survey::parse(text).map(|survey| serde_json::to_string(&survey).expect("as JSON"));
        parse(FULL).expect("all fields are right");
        let texts: Vec<_> = FULL.match_indices("\": \"").chain(FULL.match_indices("[\"i")).collect();
        let mut taken = 0;
        for (start, before) in &texts {
            let mut survey = FULL.to_owned();
            survey.insert_str(start + before.len(), "\\u001b[31m\\u202e");
            if let Ok(survey) = parse(&survey) {
                assert!(!survey.contains(['\u{1b}', '\u{202e}']) && !survey.contains("\\u001b"), "{survey}");
                taken += 1;
            }
        }
        // The format, two addresses and the subject of an event are not any text.
        assert_eq!(texts.len() - taken, 4, "{taken} of {}", texts.len());
    }

    #[test]
    fn names_can_be_left_out_and_stay_apart() {
        let mut survey = Survey::new();
        survey.modules =
            ["a", "b", "a"].map(|name| ModuleFacts { name: name.to_owned(), ..ModuleFacts::default() }).to_vec();
        survey.programs.push(Piece { name: "a".to_owned(), ..Piece::default() });
        survey.leave_names_out();
        let names: Vec<_> = survey.names_mut().map(|(_, name)| name.clone()).collect();
        assert_eq!(names, ["module 1", "module 2", "module 1", "program 3"]);
    }
}

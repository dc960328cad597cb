//! The names in a survey: made fit for a terminal, or left out.

use std::collections::BTreeMap;

use super::facts::{Piece, Region, Subject, Survey};

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

    /// Makes every name fit for a terminal.
    pub(crate) fn escape_names(&mut self) {
        self.names_mut().for_each(|(_, name)| *name = crate::output::printable(name));
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

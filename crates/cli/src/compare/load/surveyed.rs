//! What a survey lists, as loads.

use anyhow::{Context as _, Result};
use execmem::Kind;
use execmem_sim::policy::Load;

use super::{Parts, Rules, module, single};
use crate::survey::estimate::Shares;
use crate::survey::facts::{ModuleFacts, Piece, Sections, Survey};
use crate::workload::module_set;

/// The release from which on the set of 7.2 is nearer than that of 6.1.
const NEWER: (u32, u32) = (6, 12);

/// Everything that is listed, in load order.
pub(super) fn parts(survey: &Survey, rules: Rules) -> Result<Parts> {
    let modules = survey.modules.iter().map(|facts| {
        let sections = sections_of(facts, rules)?;
        Ok(module(facts.name.clone(), sections, rules))
    });
    let pieces = |pieces: &[Piece], kind| -> Vec<Load> {
        pieces.iter().map(|piece| single(piece.name.clone(), kind, piece.bytes)).collect()
    };
    Ok(Parts {
        modules: modules.collect::<Result<_>>()?,
        programs: pieces(&survey.programs, Kind::Bpf),
        probes: pieces(&survey.probes, Kind::Kprobe),
        trampolines: pieces(&survey.trampolines, Kind::Ftrace),
    })
}

/// A module's bytes by kind: as its file says, or as they are likely to be.
pub(super) fn sections_of(facts: &ModuleFacts, rules: Rules) -> Result<Sections> {
    match (facts.sections, facts.bytes) {
        (Some(sections), _) => Ok(sections),
        (None, Some(bytes)) => split(bytes, rules),
        (None, None) => Err(anyhow::anyhow!("{}: neither its size nor its sections are known", facts.name)),
    }
}

/// The likely kinds of a module of which the size alone is known.
pub(super) fn split(bytes: u64, rules: Rules) -> Result<Sections> {
    Ok(Shares::of(&module_set(nearest(rules)).context("a set")?).split(bytes, rules.page))
}

const fn nearest(rules: Rules) -> &'static str {
    if rules.release.0 > NEWER.0 || (rules.release.0 == NEWER.0 && rules.release.1 >= NEWER.1) {
        "workstation-7.2"
    } else {
        "workstation-6.1"
    }
}

/// What was assumed of the modules, and where their files disagree with what the kernel says.
pub(super) fn notes(survey: &Survey, rules: Rules) -> Vec<String> {
    let mut notes = Vec::new();
    let estimated = survey.modules.iter().filter(|facts| facts.sections.is_none()).count();
    if estimated > 0 {
        notes.push(format!(
            "of {estimated} of {} modules the size alone is known; it is shared among the kinds as in {}; give --modules",
            survey.modules.len(),
            nearest(rules)
        ));
    }
    let differ: Vec<_> = survey.modules.iter().filter(|facts| differs(facts, rules)).collect();
    if let Some(first) = differ.first() {
        notes.push(format!(
            "{} modules have other sizes in their files than the kernel says ({}, …): --modules or --kernel may be those of \
             another build",
            differ.len(),
            first.name
        ));
    }
    notes
}

/// Whether a module's file gives other pages than the kernel says.
fn differs(facts: &ModuleFacts, rules: Rules) -> bool {
    let (Some(sections), Some(bytes)) = (facts.sections, facts.bytes) else { return false };
    let kept = module(String::new(), sections, rules).parts.into_iter();
    let kept = kept.filter(|(kind, _)| !matches!(kind, Kind::InitText | Kind::InitData | Kind::InitRoData));
    kept.map(|(_, bytes)| bytes.div_ceil(rules.page) * rules.page).sum::<u64>() != bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { release: (6, 1), page: 4096 };

    fn facts(bytes: Option<u64>, sections: Option<Sections>) -> ModuleFacts {
        ModuleFacts { name: "m".to_owned(), bytes, sections }
    }

    #[test]
    fn a_file_goes_before_an_estimate_and_must_agree_with_the_kernel() {
        let sections = Sections { text: 5000, data: 100, kallsyms: 50, init_text: 9000, ..Sections::default() };
        let mut survey = Survey::new();
        survey.modules = vec![facts(Some(4 * 4096), Some(sections)), facts(Some(8192), None)];
        let parts = parts(&survey, RULES).expect("modules");
        assert_eq!(parts.modules[0].parts[0], (Kind::Text, 5000));
        let notes = notes(&survey, RULES);
        assert!(notes.len() == 1 && notes[0].starts_with("of 1 of 2 modules the size alone"), "{notes:?}");
        survey.modules[0].bytes = Some(3 * 4096);
        assert!(
            self::notes(&survey, RULES)[1].contains("1 modules have other sizes"),
            "kallsyms has a page of its own"
        );
        assert!(self::notes(&survey, Rules { release: (6, 12), ..RULES }).len() == 1, "and not any more");
        assert!(sections_of(&facts(None, None), RULES).is_err());
    }
}

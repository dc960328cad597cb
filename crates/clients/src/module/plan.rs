//! The order in which a set of modules loads: levels, each of which needs only those before it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::names::{ABOUT, EXPORT_PREFIX, LIFE, marks_exports};
use super::object_file::{self, ObjectFile, Place};
use super::symbols::Symbols;
use crate::{Error, Name};

/// The entry with the modules that a module needs.
const DEPENDS: &str = "depends=";

/// Sorts modules, given by name and content, into levels: the modules of one can be loaded at the same time, when those
/// of the levels before it are. `outside` is what else there is.
///
/// # Errors
///
/// [`Error::Cycle`] if modules need each other; [`Error::MissingModule`] if one names another that is not there;
/// [`Error::Unresolved`] if a symbol is defined nowhere; what is wrong with an object.
pub fn plan(modules: &[(&str, &[u8])], outside: &impl Symbols) -> Result<Vec<Vec<usize>>, Error> {
    let objects: Vec<ObjectFile<'_>> =
        modules.iter().map(|(_, data)| object_file::parse(data)).collect::<Result<_, _>>()?;
    let mut exporters = BTreeMap::new();
    for (index, object) in objects.iter().enumerate() {
        exporters.extend(exports(object).map(|symbol| (symbol, index)));
    }
    let by_name: BTreeMap<String, usize> =
        modules.iter().enumerate().map(|(index, (name, _))| (normal(name), index)).collect();
    let mut needs: Vec<BTreeSet<usize>> = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let mut needed = BTreeSet::new();
        for symbol in object.symbols.iter().filter(|symbol| symbol.place == Place::Undefined && !symbol.name.is_empty())
        {
            match exporters.get(symbol.name) {
                Some(&exporter) => {
                    needed.insert(exporter);
                }
                None if symbol.is_weak || outside.address(symbol.name).is_some() => {}
                None => return Err(Error::Unresolved { name: Name::new(symbol.name) }),
            }
        }
        for wanted in depends(object) {
            let module = Name::new(modules[index].0);
            let missing = Error::MissingModule { module, wanted: Name::new(wanted) };
            needed.insert(*by_name.get(&normal(wanted)).ok_or(missing)?);
        }
        needs.push(needed);
    }
    levels(&needs).map_err(|index| Error::Cycle { module: Name::new(modules[index].0) })
}

/// Takes level after level, or finds somebody on a cycle.
fn levels(needs: &[BTreeSet<usize>]) -> Result<Vec<Vec<usize>>, usize> {
    let mut levels = Vec::new();
    let mut waiting: BTreeSet<usize> = (0..needs.len()).collect();
    while !waiting.is_empty() {
        let is_ready = |index: &usize| needs[*index].is_disjoint(&waiting);
        let level: Vec<usize> = waiting.iter().copied().filter(is_ready).collect();
        if level.is_empty() {
            return Err(on_cycle(needs, &waiting));
        }
        waiting.retain(|index| !level.contains(index));
        levels.push(level);
    }
    Ok(levels)
}

/// Everybody who waits needs somebody who waits: following that leads round.
fn on_cycle(needs: &[BTreeSet<usize>], waiting: &BTreeSet<usize>) -> usize {
    let mut seen = BTreeSet::new();
    let mut at = waiting.first().copied().unwrap_or(0);
    while seen.insert(at) {
        at = needs[at].intersection(waiting).next().copied().unwrap_or(at);
    }
    at
}

/// What a module exports: of a kernel module, what it marks; of another object, every global symbol it defines.
fn exports<'o>(object: &'o ObjectFile<'_>) -> impl Iterator<Item = &'o str> {
    let marks = object.symbols.iter().filter_map(|symbol| symbol.name.strip_prefix(EXPORT_PREFIX));
    let marked: BTreeSet<&str> = marks.collect();
    let defined = object.symbols.iter().filter(|symbol| symbol.is_global && matches!(symbol.place, Place::Section(_)));
    defined.map(|symbol| symbol.name).filter(move |name| match marks_exports(object) {
        true => marked.contains(name),
        false => !LIFE.contains(name),
    })
}

/// The modules that a module says it needs.
fn depends<'data>(object: &ObjectFile<'data>) -> impl Iterator<Item = &'data str> {
    let about = object.sections.iter().find(|section| section.name == ABOUT).map_or(&[][..], |section| section.data);
    let entries = about.split(|byte| *byte == 0).filter_map(|entry| core::str::from_utf8(entry).ok());
    let depends = entries.filter_map(|entry| entry.strip_prefix(DEPENDS));
    depends.flat_map(|names| names.split(',')).filter(|name| !name.is_empty())
}

/// Names with `-` and with `_` are the same.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(lists: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        lists.iter().map(|list| list.iter().copied().collect()).collect()
    }

    #[test]
    fn levels_come_after_what_they_need() {
        let found = levels(&needs(&[&[2], &[], &[1], &[1, 2], &[0, 3]]));
        assert_eq!(found, Ok(Vec::from([Vec::from([1]), Vec::from([2]), Vec::from([0, 3]), Vec::from([4])])));
        assert_eq!(levels(&[]), Ok(Vec::new()));
    }

    #[test]
    fn somebody_on_the_cycle_is_named_and_not_somebody_who_waits_for_it() {
        assert_eq!(levels(&needs(&[&[1], &[2], &[3], &[2]])), Err(2));
        assert_eq!(levels(&needs(&[&[], &[1]])), Err(1));
    }
}

//! The order in which a set of modules loads: levels, each of which needs only those before it.

use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};

use super::entries::Place;
use super::grow::{collect, push, repeated};
use super::limits::LoadLimits;
use super::names::{ABOUT, EXPORT_PREFIX, LIFE, marks_exports};
use super::object_file::{self, ObjectFile};
use super::sort::sort;
use super::symbols::Symbols;
use crate::growth::no_heap;
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
    let mut exporters = HashMap::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (index, module) in modules.iter().enumerate() {
        add_exports(&parse(module.1)?, index, &mut exporters)?;
        by_name.try_reserve(1).map_err(no_heap)?;
        by_name.insert(normal(module.0)?, index);
    }
    let mut needs: Vec<Vec<usize>> = Vec::new();
    for module in modules {
        let object = parse(module.1)?;
        let mut needed = Vec::new();
        for (_, symbol) in object.symbols.iter().filter(|(_, symbol)| symbol.place == Place::Undefined) {
            let name = object.name_of(&symbol);
            match exporters.get(name) {
                _ if name.is_empty() => {}
                Some(&exporter) => push(&mut needed, exporter)?,
                None if symbol.is_weak() || outside.address(name).is_some() => {}
                None => return Err(Error::Unresolved { name: Name::new(name) }),
            }
        }
        for wanted in depends(&object) {
            let missing = Error::MissingModule { module: Name::new(module.0), wanted: Name::new(wanted) };
            push(&mut needed, *by_name.get(&normal(wanted)?).ok_or(missing)?)?;
        }
        sort(&mut needed);
        needed.dedup();
        push(&mut needs, needed)?;
    }
    levels(&needs)?.map_err(|index| Error::Cycle { module: Name::new(modules[index].0) })
}

fn parse(data: &[u8]) -> Result<ObjectFile<'_>, Error> {
    object_file::parse(data, &LoadLimits::DEFAULT, None)
}

/// Takes level after level, or finds a module on a cycle: the inner error.
fn levels(needs: &[Vec<usize>]) -> Result<Result<Vec<Vec<usize>>, usize>, Error> {
    let mut levels = Vec::new();
    let mut is_waiting = repeated(true, needs.len())?;
    let mut waiting = collect((0..needs.len()).map(Ok))?;
    while !waiting.is_empty() {
        let is_ready = |index: &usize| !needs[*index].iter().any(|needed| is_waiting[*needed]);
        let level = collect(waiting.iter().copied().filter(is_ready).map(Ok))?;
        if level.is_empty() {
            return Ok(Err(on_cycle(needs, &is_waiting, waiting[0])));
        }
        level.iter().for_each(|index| is_waiting[*index] = false);
        waiting.retain(|index| is_waiting[*index]);
        push(&mut levels, level)?;
    }
    Ok(Ok(levels))
}

/// Each module that waits needs one that waits: following that leads round.
fn on_cycle(needs: &[Vec<usize>], is_waiting: &[bool], first: usize) -> usize {
    // Going as many steps as there are modules ends on a cycle.
    let next = |at: usize| needs[at].iter().copied().find(|needed| is_waiting[*needed]).unwrap_or(at);
    (0..needs.len()).fold(first, |at, _| next(at))
}

/// Enters what a module exports: of a kernel module, what it marks; of another object, every global symbol it defines.
fn add_exports<'data>(
    object: &ObjectFile<'data>,
    index: usize,
    exporters: &mut HashMap<&'data str, usize>,
) -> Result<(), Error> {
    let mut marked: HashSet<&str> = HashSet::new();
    let marks = marks_exports(object);
    for (_, symbol) in object.symbols.iter().filter(|_| marks) {
        if let Some(name) = object.name_of(&symbol).strip_prefix(EXPORT_PREFIX) {
            marked.try_reserve(1).map_err(no_heap)?;
            marked.insert(name);
        }
    }
    for (_, symbol) in object.symbols.iter() {
        let name = object.name_of(&symbol);
        let is_defined = symbol.is_global() && matches!(symbol.place, Place::Section(_));
        if is_defined && if marks { marked.contains(name) } else { !LIFE.contains(&name) } {
            exporters.try_reserve(1).map_err(no_heap)?;
            exporters.insert(name, index);
        }
    }
    Ok(())
}

/// The modules that a module says it needs.
fn depends<'data>(object: &ObjectFile<'data>) -> impl Iterator<Item = &'data str> {
    let about = object.sections.iter().find(|section| section.name == ABOUT).map_or(&[][..], |section| section.data);
    let entries = about.split(|byte| *byte == 0).filter_map(|entry| core::str::from_utf8(entry).ok());
    let depends = entries.filter_map(|entry| entry.strip_prefix(DEPENDS));
    depends.flat_map(|names| names.split(',')).filter(|name| !name.is_empty())
}

/// Names with `-` and with `_` are the same.
fn normal(name: &str) -> Result<String, Error> {
    let mut normal = String::new();
    normal.try_reserve_exact(name.len()).map_err(no_heap)?;
    normal.extend(name.chars().map(|letter| if letter == '-' { '_' } else { letter }));
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(lists: &[&[usize]]) -> Vec<Vec<usize>> {
        lists.iter().map(|list| Vec::from(*list)).collect()
    }

    #[test]
    fn levels_come_after_what_they_need() {
        let found = levels(&needs(&[&[2], &[], &[1], &[1, 2], &[0, 3]]));
        assert_eq!(found, Ok(Ok(Vec::from([Vec::from([1]), Vec::from([2]), Vec::from([0, 3]), Vec::from([4])]))));
        assert_eq!(levels(&[]), Ok(Ok(Vec::new())));
    }

    #[test]
    fn a_module_on_the_cycle_is_named_and_not_one_that_waits_for_it() {
        assert!(matches!(levels(&needs(&[&[1], &[2], &[3], &[2]])), Ok(Err(2 | 3))));
        assert_eq!(levels(&needs(&[&[], &[1]])), Ok(Err(1)));
    }
}

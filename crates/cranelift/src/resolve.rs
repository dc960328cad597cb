//! What names mean: functions and data of the module, symbols of the host, library functions.

use cranelift_module::{DataId, FuncId, Linkage, ModuleDeclarations, ModuleReloc, ModuleRelocTarget};

use crate::module::CodeModule;
use crate::relocate::{may_need_island, needs_slot};
use crate::{Error, libcalls};

/// A function or data object of the module, as names in references have it: namespace and index.
pub(crate) type Item = (u32, u32);

pub(crate) fn function_item(id: FuncId) -> Item {
    (0, id.as_u32())
}

pub(crate) fn data_item(id: DataId) -> Item {
    (1, id.as_u32())
}

/// What a reference is to, if it is something of the module.
pub(crate) fn item_of(name: &ModuleRelocTarget) -> Option<Item> {
    match name {
        ModuleRelocTarget::User { namespace, index } => Some((*namespace, *index)),
        ModuleRelocTarget::FunctionOffset(id, _) => Some(function_item(*id)),
        ModuleRelocTarget::LibCall(_) | ModuleRelocTarget::KnownSymbol(_) => None,
    }
}

impl CodeModule {
    /// Name and linkage of a function or data object.
    pub(crate) fn declaration(&self, item: Item) -> (String, Linkage) {
        if item.0 == 0 {
            let id = FuncId::from_u32(item.1);
            let declaration = self.declarations.get_function_decl(id);
            (declaration.linkage_name(id).into_owned(), declaration.linkage)
        } else {
            let id = DataId::from_u32(item.1);
            let declaration = self.declarations.get_data_decl(id);
            (declaration.linkage_name(id).into_owned(), declaration.linkage)
        }
    }

    /// The address that a name stands for, in code of the function or data object `own`, which begins at `start`.
    pub(crate) fn target(&self, name: &ModuleRelocTarget, own: Item, start: u64) -> Result<u64, Error> {
        match name {
            ModuleRelocTarget::User { namespace, index } => self.item_address((*namespace, *index)),
            ModuleRelocTarget::FunctionOffset(id, offset) if function_item(*id) == own => {
                Ok(start + u64::from(*offset))
            }
            ModuleRelocTarget::FunctionOffset(id, offset) => {
                Ok(self.item_address(function_item(*id))? + u64::from(*offset))
            }
            ModuleRelocTarget::LibCall(call) => {
                let name = (self.libcall_names)(*call);
                self.symbol(&name).or_else(|| libcalls::address(*call)).ok_or(Error::Unresolved { name })
            }
            ModuleRelocTarget::KnownSymbol(symbol) => {
                let name = symbol.to_string();
                self.symbol(&name).ok_or(Error::Unresolved { name })
            }
        }
    }

    fn item_address(&self, item: Item) -> Result<u64, Error> {
        if let Some(definition) = self.items.get(&item) {
            return Ok(definition.entry());
        }
        if item.0 == 0 && ModuleDeclarations::is_function(&ModuleRelocTarget::user(item.0, item.1)) || item.0 == 1 {
            let (name, linkage) = self.declaration(item);
            return match self.symbol(&name) {
                Some(address) => Ok(address),
                None if linkage == Linkage::Preemptible => Ok(0),
                None => Err(Error::Unresolved { name }),
            };
        }
        Err(Error::Unresolved { name: format!("name {} of namespace {}", item.1, item.0) })
    }

    /// The address of a symbol of the host.
    fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.get(name).copied().or_else(|| self.lookups.iter().rev().find_map(|lookup| lookup(name)))
    }

    /// How many islands the references of some code may need. What the module defines is in reach, and needs none.
    pub(crate) fn islands_for(&self, relocs: &[ModuleReloc]) -> usize {
        relocs.iter().filter(|reloc| self.may_leave_reach(reloc)).count()
    }

    fn may_leave_reach(&self, reloc: &ModuleReloc) -> bool {
        let is_own = item_of(&reloc.name).is_some_and(|item| self.declaration(item).1.is_final());
        needs_slot(reloc.kind) || may_need_island(reloc.kind) && !(is_own && self.is_all_in_reach)
    }
}

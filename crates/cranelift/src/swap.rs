//! Hot swap: functions that are replaced while others call them.

use cranelift_codegen::Context;
use cranelift_module::{FuncId, ModuleError};
use execmem::Kind;

use crate::free::free_all;
use crate::module::{CodeModule, Content, published};
use crate::relocate::check_known;
use crate::resolve::{Item, function_item};
use crate::{Error, declare};

impl CodeModule {
    /// Replaces a finalized function by new code of the same signature, at the same address.
    ///
    /// Calls that begin from now on run the new code. The old stays until [`free_retired`](Self::free_retired), since
    /// a processor may be executing it. Where memory is mapped once (all but [`execmem_linux::Publish::Poke`]), no thread may
    /// call functions of the module meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::NotSwappable`], [`Error::NotDefined`], those of [`finalize_definitions`](Self::finalize_definitions)
    /// and of Cranelift; the old code stays.
    pub fn replace_function(&mut self, id: FuncId, context: &mut Context) -> Result<(), ModuleError> {
        let (align, content) = declare::compile(self, id, context, &mut Default::default())?;
        Ok(self.swap(function_item(id), align, content)?)
    }

    fn swap(&mut self, item: Item, align: u64, content: Content) -> Result<(), Error> {
        if !self.is_swappable {
            return Err(Error::NotSwappable);
        }
        if self.finalized(item).is_none() {
            return Err(Error::NotDefined { name: self.declaration(item).0 });
        }
        content.relocs.iter().try_for_each(|reloc| check_known(reloc.kind))?;
        let engine = self.engine.clone();
        let body = self.place(Kind::Text, align, &content)?;
        let body = match self.relocated(item, body.address(), &content) {
            Ok(image) => {
                let (mut body, outcome) = published(&engine, body, &image);
                if let Err(error) = outcome.and_then(|()| self.enter(item, body.address())) {
                    free_all([body], &engine, &[]);
                    return Err(error);
                }
                self.announce(item, body.address(), &image);
                body.describe(&*self.isa, content.unwind.as_ref());
                body
            }
            Err(error) => {
                free_all([body], &engine, &[]);
                return Err(error);
            }
        };
        let refers_to = self.refer(item, &content.relocs);
        if let Some(definition) = self.items.get_mut(&item) {
            self.retired.extend(definition.body.replace(body));
            let before = std::mem::replace(&mut definition.refers_to, refers_to);
            self.forget(&before);
        }
        Ok(())
    }

    /// Lets the permanent entry of a function jump elsewhere: one aligned store of the address in it.
    fn enter(&self, item: Item, target: u64) -> Result<(), Error> {
        let offset = self.shape.address_offset();
        let stub = self.items.get(&item).and_then(|definition| definition.stub.as_ref());
        stub.map_or(Ok(()), |stub| stub.aim(&self.engine, offset, target))
    }

    /// Frees the code that was replaced. No processor may be executing it.
    pub fn free_retired(&mut self) {
        free_all(self.retired.drain(..), &self.engine, &self.listeners);
    }
}

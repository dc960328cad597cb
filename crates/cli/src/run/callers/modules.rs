//! Modules: relocatable objects of ours, loaded and initialised.

use anyhow::{Context as _, Result};
use execmem::kinds::Text;
use execmem::{Engine, Kind, Live, Memory};
use execmem_clients::Usage;
use execmem_clients::module::{Loader, Module};

use super::{Held, Place, count};
use crate::execute;
use crate::generate::{self, IMPORTED};
use crate::run::baseline;
use crate::run::report::Checked;
use crate::workload::Callers;

/// What the function that modules import adds.
const ADDEND: u32 = 77;

/// The modules that are loaded.
pub(super) struct Modules<'p, 'e, B: Memory<Kind>> {
    place: &'p Place<'e, B>,
    imported: Live<Text>,
    modules: Vec<Module<&'e Engine<B>>>,
    usage: Usage,
}

pub(super) fn load<'p, 'e, B: Memory<Kind>>(place: &'p Place<'e, B>, load: &Callers) -> Result<Modules<'p, 'e, B>> {
    let engine = place.engine;
    let adder = place.samples.adder(ADDEND);
    let mut draft = engine.alloc::<Text>(adder.len() as u64)?;
    engine.write(&mut draft, 0, &adder)?;
    let imported = engine.publish(draft)?;
    let address = imported.address();
    let loader = Loader::new(engine)?;
    let mut loaded = Modules { place, imported, modules: Vec::new(), usage: Usage::default() };
    for number in 1..=load.modules {
        let data = place.samples.module(number)?;
        let coming = loader.load(&data, &|name: &str| (name == IMPORTED).then_some(address))?;
        loaded.charge(coming.extents().map(|(_, extent)| extent.len()));
        if place.executes {
            execute::call(coming.init().context("init_module")?, 0);
        }
        let module = coming.finish_or_unload()?;
        loaded.usage.bytes -= loaded.init_bytes(&module);
        loaded.usage.live += module.extents().count() as u64;
        loaded.modules.push(module);
    }
    Ok(loaded)
}

impl<'e, B: Memory<Kind>> Modules<'_, 'e, B> {
    /// Adds what a module that is coming takes.
    fn charge(&mut self, lens: impl Iterator<Item = u64>) {
        for len in lens {
            self.usage.allocations += 1;
            self.usage.bytes += len;
        }
        self.usage.peak_bytes = self.usage.peak_bytes.max(self.usage.bytes);
    }

    /// The bytes that are not there any more once a module, the next to be kept, is initialised.
    fn init_bytes(&self, module: &Module<&'e Engine<B>>) -> u64 {
        let kept = |module: &Module<&'e Engine<B>>| module.extents().map(|(_, extent)| extent.len()).sum::<u64>();
        self.usage.bytes - self.modules.iter().chain([module]).map(kept).sum::<u64>()
    }

    pub(super) fn held(&self) -> Result<Held> {
        let mut results = Checked { made: self.modules.len() as u64, ..Checked::default() };
        for (number, module) in (1..).zip(&self.modules) {
            for name in ["answer", "through_pointer"] {
                let entry = module.names().symbol(name).context(name)?;
                let wanted = generate::module_result(number, number, ADDEND);
                count(&mut results, !self.place.executes || execute::call(entry, number) == wanted);
            }
        }
        let code = self.modules.iter().flat_map(Module::extents).filter(|(kind, _)| kind.is_code());
        let extents = code.map(|(_, extent)| extent).collect();
        let all = self.modules.iter().flat_map(Module::extents);
        let baseline_pages = all.map(|(_, extent)| baseline::function_pages(extent.len())).sum();
        Ok(Held { caller: "modules", usage: self.usage, extents, baseline_pages, results })
    }

    pub(super) fn unload(self) {
        self.modules.into_iter().for_each(|module| module.unload());
        // Memory of this very engine is always accepted.
        let _ = self.place.engine.free(self.imported);
    }
}

//! [`cranelift_module::Module`]: declarations, and definitions up to the point where memory is taken.

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{Context, ir};
use cranelift_module::{
    DataDescription, DataId, FuncId, Init, Linkage, Module, ModuleDeclarations, ModuleError, ModuleReloc, ModuleResult,
};
use execmem::Kind;

use crate::module::Content;
use crate::resolve::{Item, data_item, function_item};
use crate::{CodeModule, Error};

/// Alignment of data that says nothing, as in Cranelift's own module.
const DATA_ALIGNMENT: u64 = 8;

/// Compiles a function: its alignment and its bytes.
pub(crate) fn compile(
    module: &CodeModule,
    id: FuncId,
    context: &mut Context,
    plane: &mut ControlPlane,
) -> ModuleResult<(u64, Content)> {
    let align = u64::from(context.compile(module.isa(), plane)?.buffer.alignment);
    let Some(code) = context.compiled_code() else {
        return Err(Error::NotDefined { name: module.declaration(function_item(id)).0 }.into());
    };
    let relocs = code.buffer.relocs().iter();
    let relocs: Vec<_> = relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id)).collect();
    let unwind = module.unwind_info(code)?;
    let content = Content { bytes: code.code_buffer().to_vec(), islands: module.islands_for(&relocs), relocs, unwind };
    Ok((module.code_alignment(align), content))
}

impl CodeModule {
    fn code_alignment(&self, align: u64) -> u64 {
        align.max(self.isa.function_alignment().minimum.into()).max(self.isa.symbol_alignment())
    }

    /// Refuses to define what is an import or is defined.
    fn check_definable(&self, item: Item) -> ModuleResult<()> {
        let (name, linkage) = self.declaration(item);
        if !linkage.is_definable() {
            return Err(ModuleError::InvalidImportDefinition(name));
        }
        if self.items.contains_key(&item) {
            return Err(ModuleError::DuplicateDefinition(name));
        }
        Ok(())
    }

    /// The relocation of a pointer in data.
    fn pointer(&self) -> Reloc {
        if self.isa.pointer_bytes() == 8 { Reloc::Abs8 } else { Reloc::Abs4 }
    }
}

impl Module for CodeModule {
    fn isa(&self) -> &dyn TargetIsa {
        &*self.isa
    }

    fn declarations(&self) -> &ModuleDeclarations {
        &self.declarations
    }

    fn declare_function(&mut self, name: &str, linkage: Linkage, signature: &ir::Signature) -> ModuleResult<FuncId> {
        self.declarations.declare_function(name, linkage, signature).map(|(id, _)| id)
    }

    fn declare_anonymous_function(&mut self, signature: &ir::Signature) -> ModuleResult<FuncId> {
        self.declarations.declare_anonymous_function(signature)
    }

    fn declare_data(&mut self, name: &str, linkage: Linkage, writable: bool, tls: bool) -> ModuleResult<DataId> {
        if tls {
            return Err(Error::ThreadLocal.into());
        }
        self.declarations.declare_data(name, linkage, writable, tls).map(|(id, _)| id)
    }

    fn declare_anonymous_data(&mut self, writable: bool, tls: bool) -> ModuleResult<DataId> {
        if tls {
            return Err(Error::ThreadLocal.into());
        }
        self.declarations.declare_anonymous_data(writable, tls)
    }

    fn define_function_with_control_plane(
        &mut self,
        id: FuncId,
        context: &mut Context,
        plane: &mut ControlPlane,
    ) -> ModuleResult<()> {
        self.check_definable(function_item(id))?;
        let (align, content) = compile(self, id, context, plane)?;
        Ok(self.define(function_item(id), Kind::Text, align, content)?)
    }

    fn define_function_bytes(
        &mut self,
        id: FuncId,
        alignment: u64,
        bytes: &[u8],
        relocs: &[ModuleReloc],
    ) -> ModuleResult<()> {
        self.check_definable(function_item(id))?;
        let content =
            Content { bytes: bytes.to_vec(), relocs: relocs.to_vec(), islands: self.islands_for(relocs), unwind: None };
        Ok(self.define(function_item(id), Kind::Text, self.code_alignment(alignment), content)?)
    }

    fn define_data(&mut self, id: DataId, data: &DataDescription) -> ModuleResult<()> {
        self.check_definable(data_item(id))?;
        let declaration = self.declarations.get_data_decl(id);
        let kind = if declaration.writable { Kind::Data } else { Kind::RoData };
        let mut bytes = match &data.init {
            Init::Bytes { contents } => contents.to_vec(),
            Init::Zeros { size } => vec![0; *size],
            Init::Uninitialized => {
                return Err(Error::NotDefined { name: self.declaration(data_item(id)).0 }.into());
            }
        };
        // Empty data has an address as well.
        bytes.resize(bytes.len().max(1), 0);
        let relocs = data.all_relocs(self.pointer()).collect();
        let align = data.align.unwrap_or(DATA_ALIGNMENT);
        Ok(self.define(data_item(id), kind, align, Content { bytes, relocs, islands: 0, unwind: None })?)
    }
}

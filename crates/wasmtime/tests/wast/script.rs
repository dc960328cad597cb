//! What the commands of a file come to, as text, by modules that a caller makes.

use std::collections::HashMap;

use json_from_wast::{Action, AnyRef, Command, Const, CoreConst, ExternRef, FuncRef, WasmFile};
use wasmtime::{Engine, Extern, Instance, Linker, Module, Store, Val};
use wasmtime_wast::{SpectestConfig, link_spectest};

use crate::suite::File;
use crate::without_numbers;

/// Makes a module of a binary.
type Make<'m> = dyn Fn(&Engine, &[u8]) -> Result<Module, String> + 'm;

/// The state that commands act on.
struct Script<'m> {
    make: &'m Make<'m>,
    binaries: HashMap<String, Vec<u8>>,
    store: Store<()>,
    linker: Linker<()>,
    current: Option<Instance>,
    modules: HashMap<Option<String>, Module>,
    instances: HashMap<String, Instance>,
}

/// What each command comes to. The first says so if the file cannot be read.
pub(crate) fn run(engine: &Engine, file: &File, make: &Make<'_>) -> Vec<String> {
    let mut lexer = wast::lexer::Lexer::new(file.text);
    lexer.allow_confusing_unicode(true);
    let parsed = wast::parser::ParseBuffer::new_with_lexer(lexer);
    let Ok(buffer) = parsed else { return vec!["no tokens".to_owned()] };
    let Ok(syntax) = wast::parser::parse::<wast::Wast<'_>>(&buffer) else { return vec!["no commands".to_owned()] };
    let converted = json_from_wast::Opts::default().convert(&file.name, file.text, syntax);
    let Ok(mut script) = converted else { return vec!["no binaries".to_owned()] };
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let imports = SpectestConfig { use_shared_memory: true, suppress_prints: true };
    link_spectest(&mut linker, &mut store, &imports).expect("its imports");
    let binaries = script.wasms.drain(..).collect();
    let (modules, instances) = (HashMap::new(), HashMap::new());
    let mut state = Script { make, binaries, store, linker, current: None, modules, instances };
    script.commands.into_iter().map(|command| format!("{}: {}", command.line(), state.step(command))).collect()
}

impl Script<'_> {
    fn step(&mut self, command: Command<'_>) -> String {
        let owned = |name: Option<std::borrow::Cow<'_, str>>| name.map(std::borrow::Cow::into_owned);
        let outcome = match command {
            Command::Module { name, file, .. } => {
                self.module(&file).and_then(|module| self.instantiate(owned(name), &module)).map(|()| String::new())
            }
            Command::ModuleDefinition { name, file, .. } => self.module(&file).map(|module| {
                self.modules.insert(owned(name), module);
                String::new()
            }),
            Command::ModuleInstance { instance, module, .. } => {
                let module = self.modules.get(&owned(module)).cloned().ok_or("no such module".to_owned());
                module.and_then(|module| self.instantiate(owned(instance), &module)).map(|()| String::new())
            }
            Command::Register { name, as_, .. } => self.instance(name.as_deref()).and_then(|instance| {
                let linked = self.linker.instance(&mut self.store, &as_, instance);
                linked.map(|_| String::new()).map_err(|error| error.to_string())
            }),
            Command::AssertMalformed { file, .. }
            | Command::AssertInvalid { file, .. }
            | Command::AssertUnlinkable { file, .. }
            | Command::AssertUninstantiable { file, .. } => self.module(&file).and_then(|module| {
                let outcome = self.linker.instantiate(&mut self.store, &module);
                outcome.map(|_| "instantiated".to_owned()).map_err(|error| cause(&error))
            }),
            Command::AssertReturn { action, .. }
            | Command::Action { action, .. }
            | Command::AssertTrap { action, .. }
            | Command::AssertExhaustion { action, .. }
            | Command::AssertException { action, .. } => self.act(&action),
            _ => Ok("left out".to_owned()),
        };
        outcome.unwrap_or_else(|error| format!("error: {}", without_numbers(&error)))
    }

    fn module(&self, file: &WasmFile<'_>) -> Result<Module, String> {
        let name = file.binary_filename.as_ref().unwrap_or(&file.filename);
        let binary = self.binaries.get(&**name).ok_or("no such file")?;
        (self.make)(self.store.engine(), binary)
    }

    fn instantiate(&mut self, name: Option<String>, module: &Module) -> Result<(), String> {
        let instance = self.linker.instantiate(&mut self.store, module).map_err(|error| cause(&error))?;
        if let Some(name) = name {
            self.linker.instance(&mut self.store, &name, instance).map_err(|error| error.to_string())?;
            self.instances.insert(name, instance);
        }
        self.current = Some(instance);
        Ok(())
    }

    fn instance(&self, name: Option<&str>) -> Result<Instance, String> {
        let found = name.map_or(self.current, |name| self.instances.get(name).copied());
        found.ok_or_else(|| format!("no instance {name:?}"))
    }

    fn act(&mut self, action: &Action<'_>) -> Result<String, String> {
        let (Action::Invoke { module, field, .. } | Action::Get { module, field }) = action;
        let instance = self.instance(module.as_deref())?;
        let export = instance.get_export(&mut self.store, field).ok_or("no such export")?;
        match (action, export) {
            (Action::Invoke { args, .. }, Extern::Func(function)) => {
                let values = args.iter().map(|value| self.value(value)).collect::<Result<Vec<_>, _>>()?;
                let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
                function.call(&mut self.store, &values, &mut results).map_err(|error| cause(&error))?;
                Ok(results.iter().map(shown).collect::<Vec<_>>().join(" "))
            }
            (Action::Get { .. }, Extern::Global(global)) => Ok(shown(&global.get(&mut self.store))),
            _ => Err("an export of another kind".to_owned()),
        }
    }

    fn value(&mut self, value: &Const<'_>) -> Result<Val, String> {
        let Const::Core(value) = value else { return Err("a value of a component".to_owned()) };
        let host =
            |store: &mut Store<()>, number: u32| wasmtime::ExternRef::new(store, number).map_err(|e| e.to_string());
        Ok(match value {
            CoreConst::I32 { value } => Val::I32(value.0),
            CoreConst::I64 { value } => Val::I64(value.0),
            CoreConst::F32 { value } => Val::F32(value.to_bits()),
            CoreConst::F64 { value } => Val::F64(value.to_bits()),
            CoreConst::V128(value) => Val::V128(value.to_u128().into()),
            CoreConst::FuncRef { value: None | Some(FuncRef::Null) } => Val::FuncRef(None),
            CoreConst::ExternRef { value: None | Some(ExternRef::Null) } => Val::ExternRef(None),
            CoreConst::ExternRef { value: Some(ExternRef::Host(number)) } => {
                Val::ExternRef(Some(host(&mut self.store, number.0)?))
            }
            CoreConst::AnyRef { value: None | Some(AnyRef::Null) } | CoreConst::NullRef => Val::AnyRef(None),
            CoreConst::AnyRef { value: Some(AnyRef::Host(number)) } => {
                let outside = host(&mut self.store, number.0)?;
                let inside = wasmtime::AnyRef::convert_extern(&mut self.store, outside);
                Val::AnyRef(Some(inside.map_err(|error| error.to_string())?))
            }
            other => return Err(format!("no value for {other:?}")),
        })
    }
}

/// What stopped a call or an instantiation, without addresses.
fn cause(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

/// A value without addresses: of a reference, only whether it is null.
fn shown(value: &Val) -> String {
    match value {
        Val::I32(value) => format!("i32 {value}"),
        Val::I64(value) => format!("i64 {value}"),
        Val::F32(bits) => format!("f32 {bits:#x}"),
        Val::F64(bits) => format!("f64 {bits:#x}"),
        Val::V128(value) => format!("v128 {:#x}", value.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => "null".to_owned(),
        _ => "a reference".to_owned(),
    }
}

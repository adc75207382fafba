//! From the syntax tree to a loaded module.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gpusim_ptx::ast::{self, Body, Linkage, Operand, Space, Variable};

use super::layout::{self, Cursor};
use super::limits;
use super::program::Site;
use super::slots::{self, Allocation};
use super::{Function, FunctionInfo, Module, ParamLayout, ParamPlace, Pool, Program, SpecialPool};
use crate::inst::{self, Lower, LowerError, Place, Ty};
use crate::memory::window;
use crate::{Device, LoadError, Settings};

/// Parses, lays out, lowers, and writes initial values.
pub(super) fn load(device: &Device, ptx: &str) -> Result<Module, LoadError> {
    let tree = gpusim_ptx::parse(ptx)
        .map_err(|error| LoadError::Syntax { line: error.line, message: error.message.clone() })?;
    let target = target(&tree)?;
    let mut builder = Builder::new(device, &tree);
    match builder.build(target) {
        Ok(module) => Ok(module),
        Err(error) => {
            for address in builder.allocations {
                // Allocated just now; nobody else knows the address.
                let _ = device.free(address);
            }
            Err(error)
        }
    }
}

/// The number of `.target sm_…`, if the device runs it.
fn target(tree: &ast::Module) -> Result<u32, LoadError> {
    for name in &tree.targets {
        let Some(text) = name.strip_prefix("sm_") else { continue };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u32 = digits.parse().map_err(|_| LoadError::Target(name.clone()))?;
        // Architecture-specific code (`a`, `f`) runs on its own architecture only.
        if number > 90 || (digits.len() < text.len() && number != 90) {
            return Err(LoadError::Target(name.clone()));
        }
        return Ok(number);
    }
    Err(LoadError::Target(tree.targets.join(", ")))
}

/// What a function's variables and registers come to.
struct Frame {
    places: HashMap<String, Place>,
    allocation: Allocation,
    params: Vec<ParamLayout>,
    param_bytes: u32,
    local_bytes: u32,
    static_shared: u32,
    dynamic_base: u32,
    body: Body,
}

struct Builder<'b> {
    device: &'b Device,
    tree: &'b ast::Module,
    /// One per name: the definition if there is one.
    functions: Vec<&'b ast::Function>,
    places: HashMap<String, Place>,
    globals: HashMap<String, (u64, u64)>,
    allocations: Vec<u64>,
    /// Variables with initial values, and where they are.
    initialised: Vec<(Variable, u64)>,
    const_bytes: u64,
    /// Module-scope shared variables that kernels lay out themselves.
    shared: HashMap<String, &'b Variable>,
    /// End of the shared memory that functions called by several kernels use.
    common: Cursor,
    dynamic_align: u64,
}

impl<'b> Builder<'b> {
    fn new(device: &'b Device, tree: &'b ast::Module) -> Builder<'b> {
        Builder {
            device,
            tree,
            functions: Vec::new(),
            places: HashMap::new(),
            globals: HashMap::new(),
            allocations: Vec::new(),
            initialised: Vec::new(),
            const_bytes: 0,
            shared: HashMap::new(),
            common: Cursor { end: window::SHARED_RESERVED.into() },
            dynamic_align: 16,
        }
    }

    fn build(&mut self, target: u32) -> Result<Module, LoadError> {
        self.collect_functions();
        for variable in &self.tree.variables {
            self.module_variable(variable)?;
        }
        self.lay_out_common();
        let mut frames: Vec<Option<Frame>> = Vec::new();
        for index in 0..self.functions.len() {
            let function = self.functions[index];
            frames.push(match &function.body {
                Some(body) => Some(self.frame(function, body)?),
                None => None,
            });
        }
        let called = self.functions.iter().zip(&mut frames).filter(|(function, _)| !function.entry);
        let mut called: Vec<_> =
            called.filter_map(|(_, frame)| Some(&mut frame.as_mut()?.allocation)).collect();
        slots::align(&mut called);
        let infos = self.infos(&frames);
        let mut program = Program {
            code: Vec::new(),
            sites: Vec::new(),
            pool: Pool::default(),
            specials: SpecialPool::default(),
            callee_frame: callee_frame(&infos),
            functions: infos,
            files: self.tree.files.clone(),
            target,
        };
        let mut unsupported = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            if let Some(frame) = frame {
                lower_function(&mut program, &mut unsupported, index, frame, self.device.settings())?;
            }
        }
        self.initialise()?;
        let program = Arc::new(program);
        let mut kernels = HashMap::new();
        for (index, frame) in frames.iter().enumerate() {
            if let Some(frame) = frame.as_ref().filter(|_| self.functions[index].entry) {
                let function = self.kernel(index, frame, target, &program);
                kernels.insert(function.name.clone(), Arc::new(function));
            }
        }
        Ok(Module {
            kernels,
            globals: std::mem::take(&mut self.globals),
            allocations: std::mem::take(&mut self.allocations),
            unsupported,
        })
    }

    fn collect_functions(&mut self) {
        let mut index: HashMap<&str, usize> = HashMap::new();
        for function in &self.tree.functions {
            match index.get(function.name.as_str()) {
                Some(at) if function.body.is_some() => self.functions[*at] = function,
                Some(_) => {}
                None => {
                    index.insert(&function.name, self.functions.len());
                    self.functions.push(function);
                }
            }
        }
        for (alias, of) in &self.tree.aliases {
            if let Some(at) = index.get(of.as_str()).copied() {
                index.insert(alias, at);
            }
        }
        self.places.extend(index.iter().map(|(name, at)| (name.to_string(), Place::Function(*at as u32))));
    }

    fn module_variable(&mut self, variable: &'b Variable) -> Result<(), LoadError> {
        match variable.space {
            Space::Global | Space::Const if variable.linkage != Linkage::Extern => {
                let place = self.allocate(variable)?;
                if let Place::Global(address) | Place::Const(address) = place {
                    self.globals.insert(variable.name.clone(), (address, layout::size(variable)));
                }
                self.places.insert(variable.name.clone(), place);
            }
            Space::Shared if is_dynamic(variable) => {
                self.dynamic_align = self.dynamic_align.max(layout::align(variable));
                self.places.insert(variable.name.clone(), Place::SharedDynamic);
            }
            Space::Shared => {
                self.shared.insert(variable.name.clone(), variable);
            }
            // A declaration: naming it is what would be wrong.
            _ => {}
        }
        Ok(())
    }

    /// Memory for a variable in global or constant memory.
    fn allocate(&mut self, variable: &Variable) -> Result<Place, LoadError> {
        let bytes = layout::size(variable);
        let address = self.device.alloc(bytes.max(1), layout::align(variable))?;
        // Variables start as zeros.
        self.device.memory().wrote(address, bytes);
        self.allocations.push(address);
        if !variable.init.is_empty() {
            self.initialised.push((variable.clone(), address));
        }
        if variable.space == Space::Const {
            self.const_bytes += bytes;
            limits::check_const(variable.line, self.const_bytes)?;
            self.device.memory_mut().make_constant(address);
            return Ok(Place::Const(address));
        }
        Ok(Place::Global(address))
    }

    /// Shared variables that device functions name have one address in all kernels.
    fn lay_out_common(&mut self) {
        let mut named = HashSet::new();
        for function in self.functions.iter().filter(|function| !function.entry) {
            function.body.iter().for_each(|body| names(body, &mut named));
        }
        for variable in self.tree.variables.iter().filter(|v| v.space == Space::Shared) {
            if named.contains(&variable.name) && self.shared.remove(&variable.name).is_some() {
                let at = self.common.place(variable);
                self.places.insert(variable.name.clone(), Place::Shared(at as u32));
            }
        }
    }

    /// Lays out the variables of a function.
    fn frame(&mut self, function: &ast::Function, body: &Body) -> Result<Frame, LoadError> {
        let mut places = HashMap::new();
        let mut body = body.clone();
        if self.device.settings().fuse {
            super::contract::contract(&mut body);
        }
        let mut local = Cursor::default();
        let mut params = Cursor::default();
        let mut layouts = Vec::new();
        let mut fixed: Vec<String> = Vec::new();
        for param in function.params.iter().chain(&function.returns) {
            if param.space == Space::Reg {
                if !body.registers.iter().any(|(name, ..)| *name == param.name) {
                    body.registers.push((param.name.clone(), param.ty, param.vector));
                }
                fixed.push(param.name.clone());
            } else if function.entry {
                let at = params.place(param);
                layouts.push(ParamLayout { offset: at as u32, size: layout::size(param) as u32 });
                places.insert(param.name.clone(), Place::Param(at as u32));
            } else {
                places.insert(param.name.clone(), Place::Local(local.place(param) as u32));
            }
        }
        let mut named = HashSet::new();
        names(&body, &mut named);
        // Kernels that call may reach functions with shared variables of their own.
        let calls = body.code.iter().any(|i| &*i.opcode == "call");
        let start = u64::from(window::SHARED_RESERVED);
        let mut shared = if calls || !function.entry || self.uses_common(&named) {
            self.common
        } else {
            Cursor { end: start }
        };
        let mut module_shared: Vec<_> = self.shared.values().filter(|v| named.contains(&v.name)).collect();
        module_shared.sort_by_key(|v| v.line);
        for variable in module_shared {
            places.insert(variable.name.clone(), Place::Shared(shared.place(variable) as u32));
        }
        for variable in &body.variables {
            let place = match variable.space {
                Space::Shared if is_dynamic(variable) => {
                    self.dynamic_align = self.dynamic_align.max(layout::align(variable));
                    Place::SharedDynamic
                }
                Space::Shared => Place::Shared(shared.place(variable) as u32),
                Space::Local | Space::Param => Place::Local(local.place(variable) as u32),
                Space::Global | Space::Const => self.allocate(variable)?,
                Space::Reg => continue,
            };
            places.insert(variable.name.clone(), place);
        }
        if !function.entry {
            self.common.end = self.common.end.max(shared.end);
        }
        for (name, place) in &self.places {
            places.entry(name.clone()).or_insert(*place);
        }
        limits::check_function(function, params.end, local.end, shared.end - start)?;
        let fixed: Vec<&str> = fixed.iter().map(String::as_str).collect();
        Ok(Frame {
            allocation: slots::allocate(&body, &fixed),
            places,
            params: layouts,
            param_bytes: params.end as u32,
            local_bytes: local.end.next_multiple_of(16) as u32,
            static_shared: (shared.end - start) as u32,
            dynamic_base: shared.end.next_multiple_of(self.dynamic_align) as u32,
            body,
        })
    }

    fn uses_common(&self, named: &HashSet<String>) -> bool {
        named.iter().any(|name| matches!(self.places.get(name), Some(Place::Shared(_))))
    }

    fn infos(&self, frames: &[Option<Frame>]) -> Vec<FunctionInfo> {
        let mut start = 0;
        let mut infos: Vec<FunctionInfo> = Vec::new();
        for (function, frame) in self.functions.iter().zip(frames) {
            let mut info = FunctionInfo {
                name: function.name.clone(),
                entry: function.entry,
                start,
                ..Default::default()
            };
            if let Some(frame) = frame {
                info.defined = true;
                // One more than written: an instruction that ends the function.
                start += frame.body.code.len() as u32 + 1;
                info.slots = frame.allocation.slots;
                info.preds = frame.allocation.preds;
                info.frame_bytes = frame.local_bytes;
                if !function.entry {
                    let place = |v: &Variable| param_place(v, frame);
                    info.params = function.params.iter().map(place).collect();
                    info.returns = function.returns.iter().map(place).collect();
                }
            }
            infos.push(info);
        }
        let calls: Vec<Vec<Option<usize>>> = frames
            .iter()
            .map(|frame| frame.as_ref().map_or(Vec::new(), |frame| callees(&frame.body, &frame.places)))
            .collect();
        for at in 0..infos.len() {
            let mut path = Vec::new();
            let (bytes, recursive) = stack(at, &infos, &calls, &mut path);
            (infos[at].stack_bytes, infos[at].recursive) = (bytes, recursive);
        }
        infos
    }

    fn initialise(&self) -> Result<(), LoadError> {
        for (variable, address) in &self.initialised {
            let bytes = layout::initial_bytes(variable, &self.places)?;
            self.device.write(*address, &bytes)?;
        }
        Ok(())
    }

    fn kernel(&self, index: usize, frame: &Frame, target: u32, program: &Arc<Program>) -> Function {
        let function = self.functions[index];
        let directive = |name: &str| {
            let found = function.directives.iter().find(|(directive, _)| directive == name);
            found.map(|(_, n)| std::array::from_fn(|i| n.get(i).map_or(1, |n| *n as u32)))
        };
        let required_block: Option<[u32; 3]> = directive("reqntid");
        let threads = required_block
            .or(directive("maxntid"))
            .map_or(1024, |n| n.iter().fold(1, |all: u32, &n| all.saturating_mul(n)).min(1024));
        let cluster = directive("reqnctapercluster").or(directive("explicitcluster").map(|_| [0; 3]));
        Function {
            name: function.name.clone(),
            params: frame.params.clone(),
            param_bytes: frame.param_bytes,
            static_shared: frame.static_shared,
            dynamic_base: frame.dynamic_base,
            local_bytes: frame.local_bytes,
            const_bytes: self.const_bytes as u32,
            max_threads: threads,
            required_block,
            registers: (frame.allocation.slots as u32).clamp(1, 255),
            ptx_version: self.tree.version.0 * 10 + self.tree.version.1,
            target,
            cluster,
            program: Arc::clone(program),
            index,
        }
    }
}

fn is_dynamic(variable: &Variable) -> bool {
    variable.linkage == Linkage::Extern || (variable.dims.first() == Some(&0) && variable.init.is_empty())
}

fn param_place(variable: &Variable, frame: &Frame) -> ParamPlace {
    match frame.places.get(&variable.name) {
        Some(Place::Local(at)) if variable.space != Space::Reg => {
            ParamPlace::Frame(*at, layout::size(variable) as u32)
        }
        _ => {
            // A parameter that is never used has no register; the sink takes its value.
            let info = frame.allocation.regs.get(&variable.name);
            let reg = info.map_or(frame.allocation.sink.0, |info| info.reg);
            ParamPlace::Register(reg, Ty::from(variable.ty).slots())
        }
    }
}

/// Slots and predicates of the largest frame of a `.func`.
fn callee_frame(infos: &[FunctionInfo]) -> (usize, usize) {
    let functions = || infos.iter().filter(|info| !info.entry);
    let slots = functions().map(|info| info.slots).max().unwrap_or(0);
    (slots, functions().map(|info| info.preds).max().unwrap_or(0))
}

/// The functions that a body calls; None for an indirect call.
fn callees(body: &Body, places: &HashMap<String, Place>) -> Vec<Option<usize>> {
    let calls = body.code.iter().filter(|i| &*i.opcode == "call");
    calls
        .map(|i| match i.operands.get(1) {
            Some(Operand::Name(name)) => match places.get(name) {
                Some(Place::Function(at)) => Some(*at as usize),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// Bytes of local memory that a function and what it calls need, and whether that is no bound.
fn stack(
    at: usize,
    infos: &[FunctionInfo],
    calls: &[Vec<Option<usize>>],
    path: &mut Vec<usize>,
) -> (u32, bool) {
    if path.contains(&at) || path.len() > 64 {
        return (0, true);
    }
    path.push(at);
    let (mut deepest, mut recursive) = (0, false);
    for callee in &calls[at] {
        let (bytes, unbounded) = match callee {
            Some(callee) => stack(*callee, infos, calls, path),
            None => (infos.iter().map(|info| info.frame_bytes).max().unwrap_or(0), true),
        };
        deepest = deepest.max(bytes);
        recursive |= unbounded;
    }
    path.pop();
    (infos[at].frame_bytes + deepest, recursive)
}

/// All names in the operands of a body.
fn names(body: &Body, into: &mut HashSet<String>) {
    fn each(operand: &Operand, into: &mut HashSet<String>) {
        match operand {
            Operand::Name(name) | Operand::Offset(name, _) => {
                into.insert(name.clone());
            }
            Operand::Vector(list) | Operand::List(list) => list.iter().for_each(|o| each(o, into)),
            Operand::Address(address) => {
                each(&address.base, into);
                address.coordinates.iter().for_each(|o| each(o, into));
            }
            Operand::Pair(a, b) => {
                each(a, into);
                each(b, into);
            }
            Operand::Not(inner) => each(inner, into),
            _ => {}
        }
    }
    body.code.iter().flat_map(|i| &i.operands).for_each(|operand| each(operand, into));
}

fn lower_function(
    program: &mut Program,
    unsupported: &mut Vec<String>,
    index: usize,
    frame: &Frame,
    settings: &Settings,
) -> Result<(), LoadError> {
    let start = program.functions[index].start;
    let labels: HashMap<String, u32> =
        frame.body.labels.iter().map(|(name, at)| (name.clone(), start + *at as u32)).collect();
    let targets: HashMap<String, Vec<String>> = frame.body.targets.iter().cloned().collect();
    // A kernel's dynamic shared memory begins at an address that is known now.
    let mut places = frame.places.clone();
    if program.functions[index].entry {
        for place in places.values_mut().filter(|place| **place == Place::SharedDynamic) {
            *place = Place::Shared(frame.dynamic_base);
        }
    }
    let end = ast::Instruction {
        guard: None,
        opcode: "ret".into(),
        modifiers: Vec::new(),
        operands: Vec::new(),
        line: frame.body.code.last().map_or(0, |i| i.line),
        location: frame.body.code.last().and_then(|i| i.location),
    };
    let watched = inst::wgmma::registers(&frame.body, &frame.allocation.regs);
    let guesses = super::guess::guesses(&frame.body);
    for (at, i) in frame.body.code.iter().chain([&end]).enumerate() {
        let mut cx = Lower {
            regs: &frame.allocation.regs,
            places: &places,
            labels: &labels,
            targets: &targets,
            functions: &program.functions,
            current: index,
            pool: &mut program.pool,
            specials: &mut program.specials,
            sink: frame.allocation.sink,
            perturb: settings.perturbation(),
        };
        let lowered = match guesses.contains(&at) {
            true => {
                let mut relaxed = i.clone();
                relaxed.modifiers.splice(0..0, ["relaxed".into(), "gpu".into()]);
                inst::lower(&mut cx, &relaxed)
            }
            false => inst::lower(&mut cx, i),
        };
        let guard = match &i.guard {
            Some((name, negated)) => {
                let guard = cx.pred(&Operand::Name(name.clone())).map_err(|error| fatal(i, error))?;
                if *negated { guard.negated() } else { guard }
            }
            None => inst::Pred::NONE,
        };
        let mut inst = match lowered {
            Ok(inst) => inst,
            Err(error @ (LowerError::Invalid(_) | LowerError::Unresolved(_))) => return Err(fatal(i, error)),
            Err(error) => {
                let because = match error {
                    LowerError::UnsupportedBecause(reason) => format!("{} ({reason})", inst::name(i)),
                    _ => inst::name(i),
                };
                unsupported.push(format!("PTX line {}: {because}", i.line));
                inst::unsupported(because)
            }
        };
        inst.guard = guard;
        inst::wgmma::watch(&watched, &frame.allocation.regs, i, &mut inst);
        program.code.push(inst);
        program.sites.push(Site {
            line: i.line,
            name: inst::name(i).into(),
            location: i.location,
            work: inst::Work::of(i),
            function: index as u32,
        });
    }
    Ok(())
}

fn fatal(i: &ast::Instruction, error: LowerError) -> LoadError {
    match error {
        LowerError::Unresolved(name) => LoadError::Unresolved { line: i.line, name },
        LowerError::Invalid(message) => {
            LoadError::Syntax { line: i.line, message: format!("{}: {message}", inst::name(i)) }
        }
        LowerError::UnsupportedBecause(reason) => {
            LoadError::Unsupported { line: i.line, instruction: format!("{} ({reason})", inst::name(i)) }
        }
        LowerError::NotMine | LowerError::Unsupported => {
            LoadError::Unsupported { line: i.line, instruction: inst::name(i) }
        }
    }
}

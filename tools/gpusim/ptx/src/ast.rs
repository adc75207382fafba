//! The syntax tree of a PTX module.

use std::sync::Arc;

/// A parsed module.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// `.version major.minor`.
    pub version: (u32, u32),
    /// `.target` entries, for example `sm_90a`, `texmode_independent`.
    pub targets: Vec<String>,
    /// `.address_size`, 64 unless it says otherwise.
    pub address_size: u32,
    /// `.file` entries by index: what [`Location::file`] refers to.
    pub files: Vec<(u32, String)>,
    /// Module-scope variables in order, declarations (`.extern`) included.
    pub variables: Vec<Variable>,
    /// Functions in order: prototypes (no body) and definitions.
    pub functions: Vec<Function>,
    /// `.alias` directives: the alias, and the function it stands for.
    pub aliases: Vec<(String, String)>,
}

/// `.extern`, `.visible`, `.weak`, `.common`, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linkage {
    /// Seen only in this module.
    #[default]
    Internal,
    /// `.visible`.
    Visible,
    /// `.extern`: defined elsewhere, or dynamic shared memory.
    Extern,
    /// `.weak`.
    Weak,
    /// `.common`.
    Common,
}

/// A state space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Registers.
    Reg,
    /// Global memory.
    Global,
    /// Shared memory of the CTA.
    Shared,
    /// Per-thread memory.
    Local,
    /// Kernel or function parameters.
    Param,
    /// Constant memory.
    Const,
}

/// A fundamental type. Packed types (`f16x2`) occur in instructions only, as modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Type {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    F32,
    F64,
    Pred,
    /// `.texref`, `.samplerref`, `.surfref`.
    Opaque,
}

/// A variable, parameter or register declaration.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Linkage.
    pub linkage: Linkage,
    /// Where it lives.
    pub space: Space,
    /// Element type.
    pub ty: Type,
    /// `.v2` or `.v4`: elements per value; 1 otherwise.
    pub vector: u32,
    /// Name. Registers declared as `%r<10>` are expanded by the parser: one variable each, or see [`Body::registers`].
    pub name: String,
    /// Array dimensions. `[]` is 0, or what the initialiser says if there is one.
    pub dims: Vec<u64>,
    /// `.align`, in bytes, if given.
    pub align: Option<u32>,
    /// `.ptr` attributes of a kernel parameter: (space, align); an align that is not given is 4.
    pub pointer: Option<(Option<Space>, u32)>,
    /// Initial value, one per element (vector elements too), from the first; what follows the last is zero. Rows
    /// that are shorter than their dimension are padded. Empty if there is no initialiser.
    pub init: Vec<Init>,
    /// Line in the PTX text.
    pub line: u32,
}

/// One element of an initialiser, in memory order.
#[derive(Clone, Debug)]
pub enum Init {
    /// An integer, or bits of a floating-point value that [`Init::Float`] would not keep (`0f…` of a NaN, or in a 64-bit
    /// variable): its low bytes are stored, whatever the variable's type.
    Int(i128),
    /// A floating-point value (`0f…`, `0d…` or decimal), as f64: stored as f32 in a variable of 32 bits.
    Float(f64),
    /// Address of a symbol, plus an offset; `generic(symbol)` sets `generic`. `0xFF00(…)` sets `mask`.
    Symbol {
        /// Name.
        name: String,
        /// Bytes added.
        offset: i64,
        /// Whether the generic address is meant.
        generic: bool,
        /// `0xFF00(…)`: which bits of the address are taken, shifted down.
        mask: Option<u64>,
    },
}

/// A function or kernel.
#[derive(Clone, Debug)]
pub struct Function {
    /// Linkage.
    pub linkage: Linkage,
    /// `.entry` rather than `.func`.
    pub entry: bool,
    /// Name.
    pub name: String,
    /// Return parameters (`.func` only).
    pub returns: Vec<Variable>,
    /// Parameters.
    pub params: Vec<Variable>,
    /// Performance directives: `maxntid`, `reqntid`, `minnctapersm`, `maxnreg`, `reqnctapercluster`, `explicitcluster`,
    /// `maxclusterrank`, `noreturn`, … with their numbers.
    pub directives: Vec<(String, Vec<u64>)>,
    /// None for a prototype.
    pub body: Option<Body>,
    /// Line in the PTX text.
    pub line: u32,
}

/// A function's body, flattened: scopes are resolved by renaming (`name` in a nested scope becomes `name$N`, whether
/// or not it shadows another), so names are unique within a function.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// Registers: name and type, ranges like `%r<10>` expanded, vectors (`.v2 .f32 %v`) with their length.
    pub registers: Vec<(String, Type, u32)>,
    /// `.shared`, `.local`, `.param`, `.global`, `.const` variables declared in the body.
    pub variables: Vec<Variable>,
    /// Instructions in order.
    pub code: Vec<Instruction>,
    /// Labels: name and index into `code` of what follows.
    pub labels: Vec<(String, usize)>,
    /// `.branchtargets` and `.calltargets` lists: label and names.
    pub targets: Vec<(String, Vec<String>)>,
    /// `.callprototype` declarations: label, and a function without body.
    pub prototypes: Vec<(String, Function)>,
}

/// A source position from `.loc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Index as in [`Module::files`].
    pub file: u32,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// One instruction.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// `@p` or `@!p`: register and whether it is negated.
    pub guard: Option<(String, bool)>,
    /// What stands before the first dot: `ld`, `mma`, `bar`.
    pub opcode: Arc<str>,
    /// Modifiers in order, without dots: `["global", "v4", "b32"]`. `::` stays: `"shared::cluster"`, `"L2::128B"`.
    /// `.unified` after an address comes last.
    pub modifiers: Vec<Arc<str>>,
    /// Operands in order. For `call`: returns as a [`Operand::List`], the target, parameters as a list (both lists are
    /// always there, empty if need be), then the label of the prototype or target list if there is one.
    pub operands: Vec<Operand>,
    /// Line in the PTX text.
    pub line: u32,
    /// The last `.loc`, if any.
    pub location: Option<Location>,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A register, a special register (`%tid.x`, `%clock64`), a symbol or a label. `%` stays in the name, and so do the
    /// byte and half-word selectors of video instructions (`%r1.b0`, `%r1.h1`).
    Name(String),
    /// `name.x`: a component (0–3) of a vector register that is not a special register.
    Component(String, u32),
    /// An integer literal or constant expression: an i64, or a u64 if that is its type.
    Int(i128),
    /// `0f3F800000`.
    F32(u32),
    /// `0d3FF0…` or a decimal literal.
    F64(u64),
    /// `{a, b, …}`.
    Vector(Vec<Operand>),
    /// `(a, b, …)` of a call.
    List(Vec<Operand>),
    /// `[base + offset]`, also `symbol[1]` outside `mov` and `cvta`. The base is a register, a symbol or an integer.
    Address(Box<Address>),
    /// `a|b`: two destinations (`shfl`, `setp`, `match`, `elect`).
    Pair(Box<Operand>, Box<Operand>),
    /// `!p`.
    Not(Box<Operand>),
    /// `_`: discarded.
    Sink,
    /// `symbol + 4` outside brackets, also `symbol[1]` of `mov` and `cvta`.
    Offset(String, i64),
}

/// A memory operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Base.
    pub base: Operand,
    /// Bytes added.
    pub offset: i64,
    /// Coordinates of a tensor operand: `[map, {x, y}]` gives x and y. Other lists, such as `[tex, sampler, {x, y}]`,
    /// are kept as written, with a nested vector. Empty for a plain address.
    pub coordinates: Vec<Operand>,
}

//! What an instruction stands for in the counters: its class and its floating-point operations.

use gpusim_check::OpInfo;
use gpusim_ptx::ast;

use super::tile::tensor_work;

/// The arithmetic of one executed instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    class: &'static str,
    /// Of each lane.
    flops: u64,
    /// Of the warp, and the shape and types.
    tensor: Option<Box<(u64, String)>>,
}

const FLOATS: [&str; 9] = ["f16", "f16x2", "bf16", "bf16x2", "f32", "f32x2", "f64", "e4m3", "e5m2"];

impl Work {
    pub(crate) fn of(i: &ast::Instruction) -> Work {
        if let Some(tensor) = tensor_work(i) {
            return Work { class: "tensor", flops: 0, tensor: Some(Box::new(tensor)) };
        }
        let ty = i.modifiers.iter().map(|m| &**m).find(|m| FLOATS.contains(m));
        let has = |name: &str| i.modifiers.iter().any(|m| &**m == name);
        let pair = ty.is_some_and(|ty| ty.ends_with("x2"));
        let (class, one) = match &*i.opcode {
            "fma" => ("float", 2),
            "mad" if ty.is_some() => ("float", 2),
            "add" | "sub" | "mul" | "div" | "min" | "max" | "neg" | "abs" | "rcp" | "sqrt" | "rsqrt"
            | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "copysign" | "testp"
                if ty.is_some() =>
            {
                // Comparisons and changes of sign are no operations in this sense.
                let counts = !matches!(&*i.opcode, "min" | "max" | "neg" | "abs" | "copysign" | "testp");
                ("float", u64::from(counts))
            }
            "setp" | "set" | "selp" | "slct" if ty.is_some() => ("float", 0),
            "cvt" => ("conversion", 0),
            "atom" | "red" => ("memory", u64::from(ty.is_some() && has("add"))),
            "ld" | "ldu" | "st" | "ldmatrix" | "stmatrix" | "cp" | "prefetch" | "prefetchu" | "discard"
            | "applypriority" | "multimem" => ("memory", 0),
            "wmma" => ("memory", 0),
            "wgmma" | "movmatrix" => ("tensor", 0),
            "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "pragma"
            | "griddepcontrol" | "setmaxnreg" => ("control", 0),
            "bar" | "barrier" | "mbarrier" | "fence" | "membar" => ("synchronisation", 0),
            "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => ("warp", 0),
            "mov" | "cvta" | "mapa" | "isspacep" | "getctarank" => ("move", 0),
            _ => ("integer", 0),
        };
        Work { class, flops: if pair { 2 * one } else { one }, tensor: None }
    }

    /// As the counters want it.
    pub(crate) fn info(&self, name: &str) -> OpInfo {
        OpInfo {
            name: name.to_owned(),
            class: self.class.to_owned(),
            lane_flops: self.flops,
            warp_flops: self.tensor.as_ref().map_or(0, |tensor| tensor.0),
            tensor_shape: self.tensor.as_ref().map(|tensor| tensor.1.clone()),
        }
    }
}

//! Instruction forms, each run in a kernel of its own over many operands, and what must come out.

use gpusim::{Device, Launch, Settings};

use super::ptxas;

/// A register, by its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum R {
    B8,
    B16,
    B32,
    B64,
    Pred,
}

/// Says whether a result (the second argument) is right for the sources.
pub type Check = Box<dyn Fn(&[u64], u64) -> Result<(), String>>;

/// An instruction form.
pub struct Form {
    /// Opcode and modifiers.
    pub text: String,
    /// Operands, `D` and `A`, `B`, `C`, `E`, `F` standing for registers.
    pub operands: &'static str,
    pub d: R,
    pub s: Vec<R>,
    pub target: &'static str,
    pub inputs: Vec<Vec<u64>>,
    pub check: Check,
}

impl Form {
    /// A form whose result is known to the bit.
    pub fn exact(
        text: impl Into<String>,
        d: R,
        s: &[R],
        inputs: Vec<Vec<u64>>,
        expect: impl Fn(&[u64]) -> u64 + 'static,
    ) -> Form {
        let check = move |s: &[u64], got: u64| match expect(s) {
            want if want == got => Ok(()),
            want => Err(format!("{want:#x} expected")),
        };
        Form::checked(text, d, s, inputs, check)
    }

    pub fn checked(
        text: impl Into<String>,
        d: R,
        s: &[R],
        inputs: Vec<Vec<u64>>,
        check: impl Fn(&[u64], u64) -> Result<(), String> + 'static,
    ) -> Form {
        let operands = ["D", "D, A", "D, A, B", "D, A, B, C", "", ""][s.len()];
        let check = Box::new(check);
        Form { text: text.into(), operands, d, s: s.to_vec(), target: "sm_90a", inputs, check }
    }

    /// Of a later architecture than the device's.
    pub fn blackwell(mut self) -> Form {
        self.target = "sm_100a";
        self
    }

    pub fn operands(mut self, operands: &'static str) -> Form {
        self.operands = operands;
        self
    }

    /// A kernel that applies the instruction to one tuple of sources (64-bit words) per thread.
    fn kernel(&self, name: &str) -> String {
        let mut body = String::new();
        let letters = ['A', 'B', 'C', 'E', 'F'];
        let mut operands = self.operands.to_owned();
        for (n, (r, letter)) in self.s.iter().zip(letters).enumerate() {
            body += &format!("ld.global.b64 %d{}, [%in+{}];\n", n + 1, 8 * n);
            body += &match r {
                R::B64 => String::new(),
                R::B32 => format!("mov.b64 {{%r{0}, %z}}, %d{0};\n", n + 1),
                R::B16 => format!("mov.b64 {{%r{0}, %z}}, %d{0}; mov.b32 {{%h{0}, %y}}, %r{0};\n", n + 1),
                R::B8 => format!(
                    "mov.b64 {{%r{0}, %z}}, %d{0}; mov.b32 {{%h{0}, %y}}, %r{0}; mov.b16 {{%b{0}, %x}}, %h{0};\n",
                    n + 1
                ),
                R::Pred => format!("setp.ne.u64 %p{0}, %d{0}, 0;\n", n + 1),
            };
            operands = operands.replace(letter, &register(*r, n + 1));
        }
        operands = operands.replace('D', &register(self.d, 0));
        body += &format!("{} {operands};\n", self.text);
        body += match self.d {
            R::B64 => "",
            R::B32 => "mov.b64 %d0, {%r0, 0};\n",
            R::B16 => "mov.b32 %r0, {%h0, 0}; mov.b64 %d0, {%r0, 0};\n",
            R::B8 => "mov.b16 %h0, {%b0, 0}; mov.b32 %r0, {%h0, 0}; mov.b64 %d0, {%r0, 0};\n",
            R::Pred => "selp.b64 %d0, 1, 0, %p0;\n",
        };
        format!(
            ".visible .entry {name}(.param .u64 pin, .param .u64 pout) {{
            .reg .b8 %b<8>; .reg .b8 %x; .reg .b16 %h<8>; .reg .b16 %y; .reg .b32 %r<8>; .reg .b32 %z;
            .reg .b64 %d<8>; .reg .pred %p<8>; .reg .b64 %in; .reg .b64 %out; .reg .b32 %t<4>;
            ld.param.u64 %in, [pin]; ld.param.u64 %out, [pout];
            mov.u32 %t0, %ctaid.x; mov.u32 %t1, %tid.x; mad.lo.u32 %t2, %t0, 32, %t1;
            mad.wide.u32 %in, %t2, {}, %in; mad.wide.u32 %out, %t2, 8, %out;
            {body}st.global.b64 [%out], %d0; ret; }}\n",
            8 * self.s.len()
        )
    }
}

fn register(r: R, n: usize) -> String {
    let class = match r {
        R::B8 => 'b',
        R::B16 => 'h',
        R::B32 => 'r',
        R::B64 => 'd',
        R::Pred => 'p',
    };
    format!("%{class}{n}")
}

fn head(target: &str) -> String {
    format!(".version 8.8\n.target {target}\n.address_size 64\n")
}

/// Runs a kernel `k` of PTX text over tuples of 64-bit words, in warps of 32.
pub fn launch(settings: Settings, text: &str, inputs: &[Vec<u64>]) -> Vec<u64> {
    let device = Device::new(settings);
    ptxas::collect(text);
    let module = device.load(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
    let warps = inputs.len().div_ceil(32);
    let words = inputs.first().map_or(1, Vec::len);
    // The last warp repeats the last tuple.
    let mut bytes: Vec<u8> = Vec::new();
    for n in 0..32 * warps {
        inputs[n.min(inputs.len() - 1)].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    }
    let input = device.alloc((bytes.len() as u64).max(8 * words as u64), 256).unwrap();
    device.write(input, &bytes).unwrap();
    let output = device.alloc(256 * warps as u64, 256).unwrap();
    let params = [input, output].iter().flat_map(|p| p.to_le_bytes()).collect();
    let function = module.function("k").expect("a kernel");
    let launch = Launch { grid: [warps as u32, 1, 1], block: [32, 1, 1], params, ..Launch::new(function) };
    device.launch(&launch).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut out = vec![0; 256 * warps];
    device.read(output, &mut out).unwrap();
    out.chunks_exact(8).take(inputs.len()).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Runs every form, and reports all that are wrong.
pub fn check_with(forms: Vec<Form>, settings: &Settings) {
    let mut wrong = Vec::new();
    let count = forms.len();
    for form in forms {
        let text = head("sm_90a") + &form.kernel("k");
        let results = launch(settings.clone(), &text, &form.inputs);
        let mut failures = 0;
        for (sources, got) in form.inputs.iter().zip(results) {
            if let Err(why) = (form.check)(sources, got) {
                failures += 1;
                if failures <= 3 {
                    wrong.push(
                        format!("{} of {sources:#x?} gave {got:#x}: {why}", form.text).replace("\n", ""),
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} forms' results:\n{}", wrong.len(), wrong.join("\n"));
}

pub fn check(forms: Vec<Form>) {
    check_with(forms, &Settings::default());
}

/// Assembles all forms, by target.
pub fn assemble(forms: &[Form]) {
    for target in ["sm_90a", "sm_100a"] {
        let mut text = head(target);
        for (n, form) in forms.iter().filter(|form| form.target == target).enumerate() {
            text += &form.kernel(&format!("k{n}"));
        }
        let Err(errors) = ptxas::assemble(&text, &["-O0"]) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        let mut message = String::new();
        for error in errors.lines() {
            let line =
                error.split("line ").nth(1).and_then(|rest| rest.split(';').next()?.parse::<usize>().ok());
            message += &format!("{error}\n    {}\n", line.and_then(|n| lines.get(n - 1)).unwrap_or(&""));
        }
        panic!("{message}");
    }
}

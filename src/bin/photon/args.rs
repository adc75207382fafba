//! The arguments of the command line. Other tools call these forms: their names do not change.

use std::fmt;
use std::path::PathBuf;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use photon_kernels::checkpoint::Dtype;
use photon_kernels::cpu::{CpuOptions, Isa};
use photon_kernels::presets::preset;
use photon_kernels::sampling::Sampling;
use photon_kernels::{Config, Error, Result};

/// Runs PHOTON language models: generates and scores text, describes and measures models.
#[derive(Debug, Parser)]
#[command(name = "photon", version, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate text (or token ids) after a prompt
    Generate(GenerateArgs),
    /// Log-probability of every token of a text
    Score(ScoreArgs),
    /// Bits per byte on held-out text and accuracy on multiple-choice tasks, in every mode
    Eval(EvalArgs),
    /// Parameters of a model by module, and what its cache costs
    Info(InfoArgs),
    /// Measure a full-size model with seeded random weights
    Bench(BenchArgs),
}

/// How chunks of a meta-context are generated and what the next one is conditioned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every finished chunk is encoded before the next begins
    Exact,
    /// The chunks of a meta-context in parallel; its tokens are encoded again for the next
    Hiergen,
    /// As hiergen, but the next meta-context continues from reconstructed latents: only the top level is cached
    Recgen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The fastest that this build and this machine have
    Auto,
    /// Threads and SIMD
    Cpu,
    /// An NVIDIA GPU (in builds with the feature `cuda`)
    Cuda,
}

/// How weights and caches are stored in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    F32,
    Bf16,
    /// cuda only
    F16,
    /// cpu only: matrices as int8 with a factor for each output, the rest as bf16
    Int8,
}

/// What the CPU's kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InstructionSet {
    Portable,
    Avx2,
    Avx512,
    /// AVX-512 with BF16 and VBMI: activations are rounded to bf16 where they meet bf16 or int8 weights
    Avx512Bf16,
}

impl From<InstructionSet> for Isa {
    fn from(set: InstructionSet) -> Self {
        match set {
            InstructionSet::Portable => Isa::Portable,
            InstructionSet::Avx2 => Isa::Avx2,
            InstructionSet::Avx512 => Isa::Avx512,
            InstructionSet::Avx512Bf16 => Isa::Avx512Bf16,
        }
    }
}

impl Storage {
    /// Whether a GPU cannot have it.
    pub fn on_cpu_only(self) -> bool {
        matches!(self, Storage::F32 | Storage::Int8)
    }

    /// What a CPU keeps, with the threads and instructions that it has.
    pub fn on_cpu(self) -> CpuOptions {
        CpuOptions { dtype: self.into(), int8: self == Storage::Int8, ..CpuOptions::default() }
    }

    /// What a GPU keeps; it refuses f32 itself.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(self) -> Result<Dtype> {
        match self {
            Storage::Int8 => {
                Err(Error::argument("--dtype int8 belongs to --device cpu; use bf16 or f16 on a GPU"))
            }
            storage => Ok(storage.into()),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Storage::F32 => "f32",
            Storage::Bf16 => "bf16",
            Storage::F16 => "f16",
            Storage::Int8 => "int8",
        })
    }
}

impl From<Storage> for Dtype {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::F32 => Dtype::F32,
            Storage::Bf16 => Dtype::Bf16,
            Storage::F16 => Dtype::F16,
            // What the matrices are not.
            Storage::Int8 => Dtype::Bf16,
        }
    }
}

/// What a checkpoint is computed with.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ComputeArgs {
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    pub device: Device,
    /// How weights are stored in memory [default: as in the checkpoint]
    #[arg(long, value_enum)]
    pub dtype: Option<Storage>,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("input").required(true).args(["prompt", "tokens"])))]
pub struct GenerateArgs {
    /// Checkpoint directory [default: the sample model, models/photon-austen-7m]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// Token ids to continue: 1,2,3 or @FILE; "" is the empty prompt
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    pub tokens: Option<String>,
    /// How to generate: exact reads best, recgen keeps least memory and is fastest
    #[arg(long, value_enum, default_value = "exact")]
    pub mode: Mode,
    /// recgen only: encode the last K generated meta-contexts again after every K
    #[arg(long, value_name = "K", value_parser = within::<1, COUNT>)]
    pub refresh: Option<usize>,
    /// Tokens to generate, unless the text ends before
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = within::<0, COUNT>)]
    pub max_new_tokens: usize,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Sequences to generate; sequence i draws its own random numbers
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = within::<1, BATCH>)]
    pub batch: usize,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct SamplingArgs {
    /// 0 takes the most likely token
    #[arg(long, value_name = "T", default_value_t = 0.8, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Keep the K most likely tokens (0 keeps all)
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,
    /// Keep the most likely tokens up to this probability (1 keeps all)
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    pub top_p: f32,
    /// Keep tokens at least P times as likely as the most likely one (0 keeps all)
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    pub min_p: f32,
    /// Seed of the random numbers
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

impl SamplingArgs {
    /// The checked parameters.
    pub fn sampling(&self) -> Result<Sampling> {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed,
        };
        sampling.validate()?;
        Ok(sampling)
    }
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("input").required(true).args(["text", "tokens"])))]
pub struct ScoreArgs {
    /// Checkpoint directory [default: the sample model, models/photon-austen-7m]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// UTF-8 text to score
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Token ids to score: 1,2,3 or @FILE
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    pub tokens: Option<String>,
    /// Which mode's likelihood
    #[arg(long, value_enum, default_value = "exact")]
    pub mode: Mode,
    /// recgen only: tokens that are given; a multiple of the meta-context
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = within::<0, COUNT>)]
    pub prompt_tokens: usize,
    /// recgen only: encode the last K scored meta-contexts again after every K
    #[arg(long, value_name = "K", value_parser = within::<1, COUNT>)]
    pub refresh: Option<usize>,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print one JSON object instead of a summary
    #[arg(long)]
    pub json: bool,
}

/// A multiple-choice task that `tools/eval/fetch.py` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Everyday situations to be continued, 10,042 questions
    #[value(name = "hellaswag")]
    HellaSwag,
    /// Science questions with a supporting passage, 1,000 questions
    #[value(name = "sciq")]
    SciQ,
    /// Science questions of a primary school, 570 questions
    #[value(name = "arc_easy")]
    ArcEasy,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("data").required(true).multiple(true).args(["text", "tasks", "task_file"])))]
pub struct EvalArgs {
    /// Checkpoint directory [default: the sample model, models/photon-austen-7m]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// UTF-8 text for perplexity and bits per byte; best one that the model was not trained on
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Multiple-choice tasks, separated by commas
    #[arg(long, value_enum, value_name = "TASKS", value_delimiter = ',')]
    pub tasks: Vec<Task>,
    /// Multiple-choice requests, .jsonl or .jsonl.gz; may be repeated
    #[arg(long, value_name = "FILE")]
    pub task_file: Vec<PathBuf>,
    /// Where --tasks are [default: target/eval/oe_eval_tasks, where tools/eval/fetch.py puts them]
    #[arg(long = "data", value_name = "DIR", requires = "tasks")]
    pub data_dir: Option<PathBuf>,
    /// Modes to compare, separated by commas [default: all that the model has]
    #[arg(long, value_enum, value_name = "MODES", value_delimiter = ',')]
    pub mode: Vec<Mode>,
    /// recgen too with the last K meta-contexts encoded again after every K, for each K of a list
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = within::<1, COUNT>)]
    pub refresh: Vec<usize>,
    /// --text only: tokens to a window [default: the model's max_position_embeddings]
    #[arg(long, value_name = "W", requires = "text", value_parser = within::<1, COUNT>)]
    pub window: Option<usize>,
    /// --text only: known tokens of a window, a multiple of the meta-context [default: half of it]
    #[arg(long, value_name = "P", requires = "text", value_parser = within::<0, COUNT>)]
    pub prompt_tokens: Option<usize>,
    /// Only the first N questions of each task, and the first N windows of the text
    #[arg(long, value_name = "N", value_parser = within::<1, COUNT>)]
    pub limit: Option<usize>,
    /// Texts scored side by side at most
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = within::<1, BATCH>)]
    pub batch: usize,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").args(["model", "preset"])))]
pub struct InfoArgs {
    /// Checkpoint directory [default: the sample model, models/photon-austen-7m]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// A model of the paper: {photon,block,vanilla}-{600m,900m,1.2b}
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Regime {
    /// Prefill-heavy: 2048 prompt tokens, 128 new ones
    Pf,
    /// Decode-heavy: 128 prompt tokens, 2048 new ones
    De,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["preset", "config"])))]
pub struct BenchArgs {
    /// A model of the paper: {photon,block,vanilla}-{600m,900m,1.2b}
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// A config.json, for a model of any other shape
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One of the paper's two regimes
    #[arg(long, value_enum, required_unless_present_all = ["prompt_tokens", "new_tokens"],
          conflicts_with_all = ["prompt_tokens", "new_tokens"])]
    pub regime: Option<Regime>,
    /// Tokens of the prompt
    #[arg(long, value_name = "P", requires = "new_tokens", value_parser = within::<0, COUNT>)]
    pub prompt_tokens: Option<usize>,
    /// Tokens to generate
    #[arg(long, value_name = "N", requires = "prompt_tokens", value_parser = within::<1, COUNT>)]
    pub new_tokens: Option<usize>,
    /// How to generate [default: recgen; exact for a vanilla model, which has no other]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// recgen only: encode the last K generated meta-contexts again after every K
    #[arg(long, value_name = "K", value_parser = within::<1, COUNT>)]
    pub refresh: Option<usize>,
    /// Sequences side by side
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = within::<1, BATCH>)]
    pub batch: usize,
    /// How weights are stored in memory
    #[arg(long, value_enum, default_value = "bf16")]
    pub dtype: Storage,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Device,
    /// Measure on a simulated device too, whose seconds are the host's and say nothing about a GPU
    #[arg(long)]
    pub simulated: bool,
    /// cpu only: threads [default: one per core]
    #[arg(long, value_name = "T", value_parser = within::<1, 1024>)]
    pub threads: Option<usize>,
    /// cpu only: instruction set [default: the fastest that the machine has]
    #[arg(long, value_enum)]
    pub isa: Option<InstructionSet>,
    /// Print one JSON object instead of a summary
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// The model's shape, and what the results call it.
    pub fn shape(&self) -> Result<(String, Config)> {
        match (&self.preset, &self.config) {
            (Some(name), _) => Ok((name.clone(), preset(name)?)),
            (None, Some(file)) => Ok((file.display().to_string(), Config::from_file(file)?)),
            (None, None) => Err(Error::argument("bench needs a model; name one with --preset or --config")),
        }
    }

    /// Tokens of the prompt, and tokens to generate.
    pub fn lengths(&self) -> (usize, usize) {
        match self.regime {
            Some(Regime::Pf) => (2048, 128),
            Some(Regime::De) => (128, 2048),
            None => (self.prompt_tokens.unwrap_or(0), self.new_tokens.unwrap_or(1)),
        }
    }
}

/// Refuses `--refresh` where nothing is reconstructed that could be refreshed.
pub fn check_refresh(mode: Mode, refresh: Option<usize>) -> Result<()> {
    match refresh {
        Some(k) if mode != Mode::Recgen => Err(Error::argument(format!(
            "--refresh {k} belongs to --mode recgen; leave it out with other modes"
        ))),
        _ => Ok(()),
    }
}

/// Most tokens of one sequence.
const COUNT: usize = 1 << 24;
/// Most sequences of one batch.
const BATCH: usize = 1 << 12;

fn within<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (LEAST..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("it must be an integer in {LEAST}..={MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        // Words in quotes: none of the tests needs a space inside one.
        Args::try_parse_from(line.split(' ').map(|word| word.trim_matches('"')))
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn int8_is_refused_on_a_gpu_and_not_taken_for_what_else_is_kept() {
        let message = Storage::Int8.on_gpu().unwrap_err().to_string();
        assert!(message.contains("int8") && message.contains("--device cpu"), "{message}");
        assert_eq!(Storage::F16.on_gpu().unwrap(), Dtype::F16);
    }

    #[test]
    fn the_definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_fixed_forms_parse() {
        for line in [
            "photon generate --prompt Hello",
            "photon generate --prompt -x",
            "photon generate --tokens \"\"",
            "photon generate --tokens 1,2,3 --json",
            "photon generate --model DIR --tokens @FILE --mode exact --refresh 2 --max-new-tokens 9 --temperature 0.5 \
             --top-k 4 --top-p 0.9 --min-p 0.1 --seed 18446744073709551615 --batch 3 --device auto --dtype f32 --json",
            "photon generate --prompt a --mode hiergen --device cpu --dtype bf16",
            "photon score --text FILE --json",
            "photon score --model DIR --tokens 1,2 --mode recgen --prompt-tokens 16 --refresh 4 --device cpu --dtype bf16 --json",
            "photon eval --text FILE",
            "photon eval --model DIR --text FILE --tasks hellaswag,sciq,arc_easy --task-file A --task-file B --data DIR \
             --mode exact,hiergen,recgen --refresh 1,2,4,8 --window 512 --prompt-tokens 256 --limit 9 --batch 8 \
             --device cpu --dtype f32 --json",
            "photon info --model DIR",
            "photon info --preset photon-600m --json",
            "photon info",
            "photon bench --preset photon-600m --regime de --mode recgen --json",
            "photon bench --preset photon-600m --regime pf --batch 4 --dtype f32 --threads 2 --json",
            "photon bench --preset vanilla-600m --prompt-tokens 0 --new-tokens 32 --mode exact",
            "photon bench --preset photon-600m --regime de --device cuda --simulated --dtype f16 --json",
            "photon bench --config config.json --regime de --mode recgen --refresh 4",
        ] {
            if let Err(error) = parse(line) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for line in [
            "photon generate",
            "photon generate --prompt a --tokens 1",
            "photon generate --prompt a --mode fast",
            "photon generate --prompt a --refresh 0",
            "photon generate --prompt a --batch 0",
            "photon generate --prompt a --max-new-tokens -1",
            "photon generate --prompt a --max-new-tokens 99999999999999999999",
            "photon generate --prompt a --temperature hot",
            "photon generate --prompt a --device gpu",
            "photon generate --prompt a --dtype f64",
            "photon score",
            "photon score --text a --tokens 1",
            "photon eval",
            "photon eval --mode exact",
            "photon eval --tasks mmlu",
            "photon eval --text a --refresh 0",
            "photon eval --text a --mode exact,fast",
            "photon info --preset a --model b",
            "photon bench --regime pf",
            "photon bench --preset photon-600m",
            "photon bench --preset photon-600m --config config.json --regime pf",
            "photon bench --preset photon-600m --regime pf --refresh 0",
            "photon bench --preset photon-600m --prompt-tokens 4",
            "photon bench --preset photon-600m --regime pf --new-tokens 4",
            "photon bench --preset photon-600m --regime pf --threads 0",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn regimes_are_the_papers() {
        for (line, lengths) in [
            ("--regime pf", (2048, 128)),
            ("--regime de", (128, 2048)),
            ("--prompt-tokens 7 --new-tokens 5", (7, 5)),
        ] {
            match parse(&format!("photon bench --preset x {line}")).unwrap().command {
                Command::Bench(bench) => assert_eq!(bench.lengths(), lengths),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn sampling_out_of_range_is_named() {
        match parse("photon generate --prompt a --temperature -1").unwrap().command {
            Command::Generate(args) => {
                assert!(args.sampling.sampling().unwrap_err().to_string().contains("temperature is -1"));
            }
            other => panic!("{other:?}"),
        }
    }
}

//! `photon info`: parameters by module, and what a token of context costs.

use photon_kernels::Result;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Config, ModelType};
use photon_kernels::presets::{CacheBytes, Module, ModuleTable, cache_bytes_per_token, preset};

use crate::args::InfoArgs;
use crate::{input, output};

#[derive(serde::Serialize)]
struct Json {
    parameters: u64,
    start_latent_parameters: u64,
    modules: Vec<Module>,
    cache_bytes_per_token: CacheBytes,
}

/// Prints the table, or the JSON object.
pub fn run(args: &InfoArgs) -> Result<()> {
    let (name, config, dtype) = match &args.preset {
        // The paper's models run in BF16.
        Some(name) => (name.clone(), preset(name)?, Dtype::Bf16),
        None => {
            let dir = input::model_dir(args.model.as_deref())?;
            let checkpoint = Checkpoint::open(&dir)?;
            (dir.display().to_string(), checkpoint.config().clone(), checkpoint.dtype())
        }
    };
    let table = ModuleTable::new(&config);
    let cache = cache_bytes_per_token(&config, dtype);
    if args.json {
        let json = Json {
            parameters: table.parameters,
            start_latent_parameters: table.start_latents,
            modules: table.modules,
            cache_bytes_per_token: cache,
        };
        return output::json(&json);
    }
    output::write(&text(&name, &config, &table, &cache, dtype))
}

fn text(name: &str, config: &Config, table: &ModuleTable, cache: &CacheBytes, dtype: Dtype) -> String {
    let mut lines = vec![format!("{name}: {}", shape(config)), String::new()];
    let mut row = |name: &str, n: u64| lines.push(format!("{name:<24}{:>16}", grouped(n)));
    for module in &table.modules {
        row(&module.name, module.parameters);
    }
    row("parameters", table.parameters);
    row("start latents, besides", table.start_latents);
    lines.push(String::new());
    lines.push(format!("cache bytes a token of context adds, as {dtype}"));
    for (mode, bytes) in [("exact", cache.exact), ("hiergen", cache.hiergen), ("recgen", cache.recgen)] {
        lines.push(format!("{mode:<24}{bytes:>16.1}"));
    }
    lines.join("\n") + "\n"
}

/// The sizes of a model in one line.
fn shape(config: &Config) -> String {
    let kv = match config.num_key_value_heads {
        kv if kv == config.num_attention_heads => String::new(),
        kv => format!(" ({kv} for keys and values)"),
    };
    let family = match config.model_type {
        ModelType::Vanilla => format!("vanilla, {} layers", config.layers.unwrap_or(0)),
        ModelType::Photon => {
            let chunks: Vec<String> = config.levels.iter().map(|l| l.chunk_length.to_string()).collect();
            format!("photon, chunks of {} tokens", chunks.join(" x "))
        }
    };
    format!(
        "{family}; vocabulary {}, width {}, {} heads of {}{kv}",
        config.vocab_size,
        config.hidden_size,
        config.num_attention_heads,
        config.head_dim()
    )
}

/// A number with a comma after every three digits.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (646_399_104, "646,399,104")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn the_table_holds_the_papers_total_and_the_start_latents_apart() {
        let config = preset("photon-600m").unwrap();
        let cache = cache_bytes_per_token(&config, Dtype::Bf16);
        let table = text("photon-600m", &config, &ModuleTable::new(&config), &cache, Dtype::Bf16);
        for part in [
            "646,399,104",
            "3,328",
            "context encoder 2",
            "local decoder 1",
            "1664.0",
            "4 x 4",
            "32 heads of 52",
        ] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
    }
}

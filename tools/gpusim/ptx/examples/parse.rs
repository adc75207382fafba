//! Parses the named files and says how large and how fast.

fn main() {
    for path in std::env::args().skip(1) {
        let source = match std::fs::read_to_string(&path) {
            Ok(source) => source,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let start = std::time::Instant::now();
        match gpusim_ptx::parse(&source) {
            Ok(module) => {
                let bodies = module.functions.iter().filter_map(|f| f.body.as_ref());
                println!(
                    "{path}: {} functions, {} instructions, {} KiB in {:.1} ms",
                    module.functions.len(),
                    bodies.map(|b| b.code.len()).sum::<usize>(),
                    source.len() / 1024,
                    start.elapsed().as_secs_f64() * 1e3
                );
            }
            Err(error) => println!("{path}: {error}"),
        }
    }
}

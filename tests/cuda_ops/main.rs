//! Every kernel through the raw layer, against f64: at most twice the error of a naive implementation in the same storage type, plus a
//! stated floor. Padding and workspace are NaN, what lies around an output must stay what it was, allocations are exactly as
//! large as the parameters say. Runs on whatever `libcuda` is found: a GPU, or the simulated device (`tools/gpusim.sh`).

mod device;
mod head;
mod judge;
mod lm_head;
mod local;
mod matrix;
mod product;
mod rows;
mod stream;

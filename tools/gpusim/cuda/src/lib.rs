//! The CUDA driver API over the simulated device.
//!
//! One file per chapter of the API. Functions are named and behave as `cuda.h` says; what differs:
//! - Streams run eagerly and in order: work is done when the call returns, unless a host function is still pending in
//!   the stream or in one it waits for. Missing dependencies between streams are therefore not noticed.
//! - Errors of a kernel are returned by the launch itself, or with `GPUSIM_ERRORS=sync` by the next call that waits for
//!   it, and are not sticky: the context stays usable.
//! - Event times are host times of the simulation. They say nothing about a GPU.
//! - Device pointers cannot be dereferenced by the host, except those of managed, pinned and mapped memory.
//! - The CUDA runtime does not start: the driver's undocumented tables do not exist (`cuGetExportTable`).
//! - Handles are numbers, not addresses, and are never given out twice.
#![allow(non_snake_case)]

mod capture;
mod context;
mod copy;
mod device;
mod driver;
mod entry;
mod error;
mod event;
mod exec;
mod fatbin;
mod function;
mod graph;
mod graph_nodes;
mod graph_params;
mod host;
mod launch;
mod library;
mod link;
mod lz4;
mod machine;
mod memcpy;
mod memory;
mod memset;
mod module;
mod occupancy;
mod op;
mod pinned;
mod pointer;
mod pool;
mod queue;
mod registry;
mod stream;
mod stream_memory;
mod tensor_map;
mod types;
mod user_object;
mod virtual_memory;

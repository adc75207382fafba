//! Stream capture and graphs.

mod common;

use std::ptr::{null, null_mut};
use std::sync::Arc;

use cudarc::driver::sys::{self, CUresult::*, CUstreamCaptureMode as Mode, CUstreamCaptureStatus as Status};
use cudarc::driver::{CudaContext, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

macro_rules! ok {
    ($call:expr) => {
        // SAFETY: valid handles and out-pointers to locals.
        assert_eq!(unsafe { $call }, CUDA_SUCCESS)
    };
}

macro_rules! fails {
    ($call:expr, $code:expr) => {
        // SAFETY: as above.
        assert_eq!(unsafe { $call }, $code)
    };
}

/// A context without cudarc's event tracking, which would wait for events of outside during capture.
fn context() -> Arc<CudaContext> {
    let context = common::context();
    // SAFETY: each test uses one stream, or orders its streams itself.
    unsafe { context.disable_event_tracking() };
    context
}

fn begin(stream: &CudaStream, mode: Mode) {
    ok!(sys::cuStreamBeginCapture_v2(stream.cu_stream(), mode));
}

fn end(stream: &CudaStream) -> sys::CUgraph {
    let mut graph = null_mut();
    ok!(sys::cuStreamEndCapture(stream.cu_stream(), &mut graph));
    graph
}

fn status(stream: &CudaStream) -> Status {
    let mut status = Status::CU_STREAM_CAPTURE_STATUS_NONE;
    ok!(sys::cuStreamIsCapturing(stream.cu_stream(), &mut status));
    status
}

fn instantiate(graph: sys::CUgraph) -> sys::CUgraphExec {
    let mut exec = null_mut();
    ok!(sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0));
    exec
}

fn count(graph: sys::CUgraph) -> usize {
    let mut count = 0;
    ok!(sys::cuGraphGetNodes(graph, null_mut(), &mut count));
    count
}

#[test]
fn capture_records_and_launch_executes() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let module = context.load_module(Ptx::from_src(&common::ADD[..common::ADD.len() - 1])).unwrap();
    let add = module.load_function("add").unwrap();
    let mut data = stream.clone_htod(&[0u32; 1000]).unwrap();
    begin(&stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    stream.memset_zeros(&mut data).unwrap();
    for value in [1u32, 10] {
        let config = LaunchConfig { grid_dim: (8, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
        let mut launch = stream.launch_builder(&add);
        // SAFETY: the parameters are the kernel's.
        unsafe { launch.arg(&mut data).arg(&value).arg(&900u32).launch(config) }.unwrap();
    }
    assert_eq!(status(&stream), Status::CU_STREAM_CAPTURE_STATUS_ACTIVE);
    let graph = end(&stream);
    assert_eq!(status(&stream), Status::CU_STREAM_CAPTURE_STATUS_NONE);
    assert_eq!(count(graph), 3);
    stream.memcpy_htod(&[5u32; 1000], &mut data).unwrap();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [5; 1000], "nothing ran while it was captured");
    let exec = instantiate(graph);
    for _ in 0..2 {
        ok!(sys::cuGraphLaunch(exec, stream.cu_stream()));
        let mut expected = vec![11u32; 900];
        expected.resize(1000, 0);
        assert_eq!(stream.clone_dtoh(&data).unwrap(), expected);
    }
    ok!(sys::cuGraphExecDestroy(exec));
    fails!(sys::cuGraphLaunch(exec, stream.cu_stream()), CUDA_ERROR_INVALID_VALUE);
    ok!(sys::cuGraphDestroy(graph));
}

#[test]
fn forbidden_calls_invalidate_the_capture() {
    let context = context();
    let stream = context.new_stream().unwrap();
    type Call = fn(sys::CUstream) -> sys::CUresult;
    let forbidden: [(&str, Call); 4] = [
        // SAFETY: valid handles and out-pointers to locals.
        ("synchronize", |stream| unsafe { sys::cuStreamSynchronize(stream) }),
        // SAFETY: as above.
        ("query", |stream| unsafe { sys::cuStreamQuery(stream) }),
        // SAFETY: as above.
        ("synchronize the context", |_| unsafe { sys::cuCtxSynchronize() }),
        // SAFETY: as above.
        ("allocate", |_| unsafe { sys::cuMemAlloc_v2(&mut 0, 64) }),
    ];
    for (name, call) in forbidden {
        begin(&stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(call(stream.cu_stream()), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "{name}");
        assert_eq!(status(&stream), Status::CU_STREAM_CAPTURE_STATUS_INVALIDATED, "{name}");
        let mut graph = 1 as _;
        fails!(
            sys::cuStreamEndCapture(stream.cu_stream(), &mut graph),
            CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
        );
        assert!(graph.is_null());
        assert_eq!(call(stream.cu_stream()), CUDA_SUCCESS, "{name}: allowed again");
    }
}

#[test]
fn relaxed_capture_and_relaxed_threads_may_allocate() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let mut pointer = 0;
    begin(&stream, Mode::CU_STREAM_CAPTURE_MODE_RELAXED);
    ok!(sys::cuMemAlloc_v2(&mut pointer, 64));
    ok!(sys::cuGraphDestroy(end(&stream)));
    let mut mode = Mode::CU_STREAM_CAPTURE_MODE_RELAXED;
    ok!(sys::cuThreadExchangeStreamCaptureMode(&mut mode));
    assert_eq!(mode, Mode::CU_STREAM_CAPTURE_MODE_GLOBAL);
    begin(&stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    ok!(sys::cuMemFree_v2(pointer));
    ok!(sys::cuGraphDestroy(end(&stream)));
    ok!(sys::cuThreadExchangeStreamCaptureMode(&mut mode));
}

#[test]
fn work_in_other_streams_is_captured_through_events_and_must_be_joined() {
    let context = context();
    let (a, b) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let (fork, join) = (context.new_event(None).unwrap(), context.new_event(None).unwrap());
    let mut x = a.alloc_zeros::<u8>(16).unwrap();
    let mut y = a.alloc_zeros::<u8>(16).unwrap();
    begin(&a, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    a.memset_zeros(&mut x).unwrap();
    fork.record(&a).unwrap();
    b.wait(&fork).unwrap();
    assert_eq!(status(&b), Status::CU_STREAM_CAPTURE_STATUS_ACTIVE);
    b.memset_zeros(&mut y).unwrap();
    join.record(&b).unwrap();
    a.wait(&join).unwrap();
    a.memset_zeros(&mut x).unwrap();
    let graph = end(&a);
    assert_eq!(status(&b), Status::CU_STREAM_CAPTURE_STATUS_NONE);
    let mut edges = 0;
    ok!(sys::cuGraphGetEdges(graph, null_mut(), null_mut(), &mut edges));
    // first -> other stream's, first -> last, other stream's -> last
    assert_eq!((count(graph), edges), (3, 3));

    begin(&a, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    fork.record(&a).unwrap();
    b.wait(&fork).unwrap();
    b.memset_zeros(&mut y).unwrap();
    let mut graph = null_mut();
    fails!(sys::cuStreamEndCapture(b.cu_stream(), &mut graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    fails!(sys::cuStreamEndCapture(a.cu_stream(), &mut graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin(&a, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    fork.record(&a).unwrap();
    b.wait(&fork).unwrap();
    b.memset_zeros(&mut y).unwrap();
    fails!(sys::cuStreamEndCapture(a.cu_stream(), &mut graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
}

#[test]
fn captures_are_isolated() {
    let context = context();
    let (a, b) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let (outside, inside) = (context.new_event(None).unwrap(), context.new_event(None).unwrap());
    outside.record(&b).unwrap();
    begin(&a, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    fails!(sys::cuStreamWaitEvent(a.cu_stream(), outside.cu_event(), 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    let mut graph = null_mut();
    fails!(sys::cuStreamEndCapture(a.cu_stream(), &mut graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin(&a, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    begin(&b, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    inside.record(&a).unwrap();
    fails!(sys::cuStreamWaitEvent(b.cu_stream(), inside.cu_event(), 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
    for stream in [&a, &b] {
        fails!(
            sys::cuStreamEndCapture(stream.cu_stream(), &mut graph),
            CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
        );
    }
    fails!(sys::cuStreamEndCapture(a.cu_stream(), &mut graph), CUDA_ERROR_ILLEGAL_STATE);
    fails!(
        sys::cuStreamBeginCapture_v2(null_mut(), Mode::CU_STREAM_CAPTURE_MODE_RELAXED),
        CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
    );
}

#[test]
fn the_legacy_stream_cannot_wait_for_a_capture() {
    common::start();
    // In a context of its own: the legacy stream of the primary one belongs to all tests.
    let context = CudaContext::new_non_primary(0, Default::default()).unwrap();
    context.bind_to_thread().unwrap();
    let mut blocking = null_mut();
    ok!(sys::cuStreamCreate(&mut blocking, 0));
    ok!(sys::cuStreamBeginCapture_v2(blocking, Mode::CU_STREAM_CAPTURE_MODE_RELAXED));
    let mut pointer = 0;
    ok!(sys::cuMemAlloc_v2(&mut pointer, 64));
    fails!(sys::cuMemsetD8Async(pointer, 0, 64, null_mut()), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    let mut graph = null_mut();
    fails!(sys::cuStreamEndCapture(blocking, &mut graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    ok!(sys::cuMemsetD8Async(pointer, 0, 64, null_mut()));
}

#[test]
fn explicit_nodes_run_in_the_order_of_their_edges() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let data = stream.clone_htod(&[0u32; 64]).unwrap();
    let (pointer, _sync) = cudarc::driver::DevicePtr::device_ptr(&data, &stream);
    let mut graph = null_mut();
    ok!(sys::cuGraphCreate(&mut graph, 0));
    let fill = |value: u32, count: usize| sys::CUDA_MEMSET_NODE_PARAMS {
        dst: pointer,
        pitch: 0,
        value,
        elementSize: 4,
        width: count,
        height: 1,
    };
    let mut raw = null_mut();
    // SAFETY: an out-pointer.
    unsafe { sys::cuCtxGetCurrent(&mut raw) };
    let (mut late, mut early, mut child) = (null_mut(), null_mut(), null_mut());
    ok!(sys::cuGraphAddMemsetNode(&mut late, graph, null(), 0, &fill(2, 32), raw));
    ok!(sys::cuGraphAddMemsetNode(&mut early, graph, null(), 0, &fill(1, 64), raw));
    // The edge points from the node added second to the one added first.
    ok!(sys::cuGraphAddDependencies(graph, &early, &late, 1));
    let exec = instantiate(graph);
    ok!(sys::cuGraphLaunch(exec, stream.cu_stream()));
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [[2u32; 32], [1; 32]].concat());

    // New parameters in the instantiated graph, not in the graph.
    ok!(sys::cuGraphExecMemsetNodeSetParams(exec, late, &fill(3, 16), raw));
    ok!(sys::cuGraphLaunch(exec, stream.cu_stream()));
    let expected: Vec<u32> = (0..64).map(|i| if i < 16 { 3 } else { 1 }).collect();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), expected);
    let mut enabled = 0;
    ok!(sys::cuGraphNodeSetEnabled(exec, late, 0));
    ok!(sys::cuGraphNodeGetEnabled(exec, late, &mut enabled));
    assert_eq!(enabled, 0);
    ok!(sys::cuGraphLaunch(exec, stream.cu_stream()));
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [1; 64]);

    // A child graph is a copy.
    let mut parent = null_mut();
    ok!(sys::cuGraphCreate(&mut parent, 0));
    ok!(sys::cuGraphAddChildGraphNode(&mut child, parent, null(), 0, graph));
    ok!(sys::cuGraphMemsetNodeSetParams(late, &fill(9, 32)));
    let nested = instantiate(parent);
    ok!(sys::cuGraphLaunch(nested, stream.cu_stream()));
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [[2u32; 32], [1; 32]].concat());

    // A cycle cannot be instantiated.
    ok!(sys::cuGraphAddDependencies(graph, &late, &early, 1));
    let mut cyclic = null_mut();
    fails!(sys::cuGraphInstantiateWithFlags(&mut cyclic, graph, 0), CUDA_ERROR_INVALID_VALUE);
    ok!(sys::cuGraphDestroy(parent));
    fails!(sys::cuGraphChildGraphNodeGetGraph(child, &mut graph), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn clones_and_updates() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let mut data = stream.clone_htod(&[0u8; 8]).unwrap();
    let mut capture = |values: &[u8]| {
        begin(&stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        let (pointer, _sync) = cudarc::driver::DevicePtrMut::device_ptr_mut(&mut data, &stream);
        for value in values {
            ok!(sys::cuMemsetD8Async(pointer, *value, 8, stream.cu_stream()));
        }
        end(&stream)
    };
    let (one, two, longer) = (capture(&[1]), capture(&[2]), capture(&[3, 4]));
    let exec = instantiate(one);
    // SAFETY: plain out-structure.
    let mut info: sys::CUgraphExecUpdateResultInfo = unsafe { std::mem::zeroed() };
    fails!(sys::cuGraphExecUpdate_v2(exec, longer, &mut info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    assert_eq!(info.result, sys::CUgraphExecUpdateResult::CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    ok!(sys::cuGraphExecUpdate_v2(exec, two, &mut info));
    ok!(sys::cuGraphLaunch(exec, stream.cu_stream()));
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [2; 8]);

    let mut clone = null_mut();
    ok!(sys::cuGraphClone(&mut clone, longer));
    let (mut node, mut count, mut found) = (null_mut(), 1, null_mut());
    ok!(sys::cuGraphGetRootNodes(longer, &mut node, &mut count));
    ok!(sys::cuGraphNodeFindInClone(&mut found, node, clone));
    assert_ne!(node, found);
    ok!(sys::cuGraphDestroy(longer));
    ok!(sys::cuGraphLaunch(instantiate(clone), stream.cu_stream()));
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [4; 8]);
}

#[test]
fn allocations_in_a_capture_become_nodes() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let out = stream.clone_htod(&[0u8; 8]).unwrap();
    let (target, _sync) = cudarc::driver::DevicePtr::device_ptr(&out, &stream);
    let mut pointer = 0;
    begin(&stream, Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    ok!(sys::cuMemAllocAsync(&mut pointer, 8, stream.cu_stream()));
    ok!(sys::cuMemsetD8Async(pointer, 7, 8, stream.cu_stream()));
    ok!(sys::cuMemcpyDtoDAsync_v2(target, pointer, 8, stream.cu_stream()));
    ok!(sys::cuMemFreeAsync(pointer, stream.cu_stream()));
    let graph = end(&stream);
    let mut nodes = [null_mut(); 4];
    let mut count = 4;
    ok!(sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count));
    let types = nodes.map(|node| {
        let mut kind = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
        ok!(sys::cuGraphNodeGetType(node, &mut kind));
        kind as u32
    });
    assert_eq!(types, [10, 2, 1, 11]);
    let exec = instantiate(graph);
    for _ in 0..3 {
        ok!(sys::cuGraphLaunch(exec, stream.cu_stream()));
    }
    assert_eq!(stream.clone_dtoh(&out).unwrap(), [7; 8]);
}

#[test]
fn memory_is_freed_by_one_node_of_a_graph() {
    let _context = context();
    let mut graph = null_mut();
    ok!(sys::cuGraphCreate(&mut graph, 0));
    // SAFETY: zeros are a value of it.
    let mut params: sys::CUDA_MEM_ALLOC_NODE_PARAMS = unsafe { std::mem::zeroed() };
    params.poolProps.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    params.poolProps.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    params.bytesize = 64;
    let (mut allocated, mut freed) = (null_mut(), null_mut());
    ok!(sys::cuGraphAddMemAllocNode(&mut allocated, graph, null(), 0, &mut params));
    let mut free = || {
        // SAFETY: as above.
        unsafe { sys::cuGraphAddMemFreeNode(&mut freed, graph, &allocated, 1, params.dptr) }
    };
    assert_eq!(free(), CUDA_SUCCESS);
    assert_eq!(free(), CUDA_ERROR_INVALID_VALUE);
    let exec = instantiate(graph);
    ok!(sys::cuGraphLaunch(exec, null_mut()));
    ok!(sys::cuGraphLaunch(exec, null_mut()));
    ok!(sys::cuGraphExecDestroy(exec));
    ok!(sys::cuGraphDestroy(graph));
}

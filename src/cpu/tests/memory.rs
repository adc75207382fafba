//! What is allocated, and when.

use super::*;
use crate::backend::KvCache;

#[test]
fn a_cache_allocates_exactly_its_capacity() {
    for backend in backends() {
        let size = if backend.dtype() == Dtype::F32 { 4 } else { 2 };
        let unit = 3 * 2 * HEADS.kv_width() * size;
        let mut cache = backend.cache(3, HEADS, 17).unwrap();
        assert_eq!(cache.bytes(), 17 * unit);
        cache.reserve(17).unwrap();
        assert_eq!(cache.bytes(), 17 * unit);
        cache.reserve(18).unwrap();
        assert_eq!(cache.bytes(), 18 * unit);
        assert!(cache.is_empty());
        assert_eq!(backend.cache(3, HEADS, 0).unwrap().bytes(), 0);
    }
}

#[test]
fn impossible_sizes_are_errors_and_not_aborts() {
    let backend = backend(Isa::best(), Dtype::F32, 1);
    assert!(backend.buffer(usize::MAX).is_err());
    assert!(backend.buffer(1 << 59).is_err());
    assert!(backend.ids(usize::MAX).is_err());
    assert!(backend.cache(1 << 30, HEADS, 1 << 30).is_err());
    assert!(backend.local(1 << 30, HEADS, 1 << 20, 1 << 20).is_err());
    let mut cache = backend.cache(1, HEADS, 1).unwrap();
    assert!(cache.reserve(usize::MAX).is_err());
    assert!(cache.reserve(1 << 58).is_err());
    assert_eq!(cache.bytes(), 2 * HEADS.kv_width() * 4);
}

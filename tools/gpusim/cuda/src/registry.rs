//! Handles: numbers that look like pointers, are never dereferenced and never reused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// Locks even if another thread panicked while it held the lock: the data are tables, changed in single steps.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new handle. It lies where Linux maps nothing by itself, so a program that dereferences it faults.
pub fn new_handle() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    0x6000_0000_0000 + 64 * NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The objects of one kind, by handle.
pub struct Registry<T>(Mutex<HashMap<usize, Arc<T>>>);

impl<T> Registry<T> {
    /// An empty registry.
    pub fn new() -> Registry<T> {
        Registry(Mutex::new(HashMap::new()))
    }

    /// Adds an object under its handle.
    pub fn insert(&self, handle: usize, object: T) -> Arc<T> {
        let object = Arc::new(object);
        lock(&self.0).insert(handle, object.clone());
        object
    }

    /// The object of a handle.
    pub fn get(&self, handle: usize) -> Result<Arc<T>> {
        lock(&self.0).get(&handle).cloned().ok_or(Error::INVALID_HANDLE)
    }

    /// Takes an object out.
    pub fn remove(&self, handle: usize) -> Result<Arc<T>> {
        lock(&self.0).remove(&handle).ok_or(Error::INVALID_HANDLE)
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).values().cloned().collect()
    }

    /// Takes out the objects that fail the test.
    pub fn retain(&self, keep: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut map = lock(&self.0);
        let gone: Vec<usize> =
            map.iter().filter(|(_, object)| !keep(object)).map(|(&handle, _)| handle).collect();
        gone.iter().filter_map(|handle| map.remove(handle)).collect()
    }
}

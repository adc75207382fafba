//! Which bytes of an allocation were ever written, by the host or by a kernel. Lives as long as the allocation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE: u64 = 1 << 16;
const WORDS: usize = (PAGE / 64) as usize;

/// One bit per byte of an allocation, in pages that exist once something in them was written.
pub struct Initialised {
    bytes: u64,
    pages: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl std::fmt::Debug for Initialised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Initialised").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Initialised {
    /// Nothing of `bytes` bytes is written.
    pub fn new(bytes: u64) -> Self {
        let pages = (0..bytes.div_ceil(PAGE)).map(|_| OnceLock::new()).collect();
        Initialised { bytes, pages }
    }

    /// Marks `count` bytes from `offset` as written; what lies beyond the allocation is ignored.
    pub fn mark(&self, offset: u64, count: u64) {
        self.words(offset, count, |page, word, bits| {
            let page = page.get_or_init(|| (0..WORDS).map(|_| AtomicU64::new(0)).collect());
            // Coalesced stores set whole words again and again: look before writing.
            if page[word].load(Ordering::Relaxed) & bits != bits {
                page[word].fetch_or(bits, Ordering::Relaxed);
            }
            true
        });
    }

    /// The offset of the first of these bytes that was never written.
    pub fn first_unwritten(&self, offset: u64, count: u64) -> Option<u64> {
        let mut found = None;
        let mut at = offset;
        self.words(offset, count, |page, word, bits| {
            let written = page.get().map_or(0, |p| p[word].load(Ordering::Relaxed));
            let missing = bits & !written;
            if missing != 0 {
                found = Some(at - at % 64 + u64::from(missing.trailing_zeros()));
                return false;
            }
            at = at - at % 64 + 64;
            true
        });
        found
    }

    fn words(
        &self,
        offset: u64,
        count: u64,
        mut f: impl FnMut(&OnceLock<Box<[AtomicU64]>>, usize, u64) -> bool,
    ) {
        let end = offset.saturating_add(count).min(self.bytes);
        let mut at = offset;
        while at < end {
            let from = at % 64;
            let n = (64 - from).min(end - at);
            let bits = (u64::MAX >> (64 - n)) << from;
            if !f(&self.pages[(at / PAGE) as usize], (at % PAGE / 64) as usize, bits) {
                return;
            }
            at += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unwritten_byte_is_found_across_words_and_pages() {
        let bits = Initialised::new(3 * PAGE + 5);
        assert_eq!(bits.first_unwritten(10, 4), Some(10));
        bits.mark(10, 100);
        assert_eq!(bits.first_unwritten(10, 100), None);
        assert_eq!(bits.first_unwritten(9, 3), Some(9));
        assert_eq!(bits.first_unwritten(64, 64), Some(110));
        bits.mark(PAGE - 3, PAGE + 6);
        assert_eq!(bits.first_unwritten(PAGE - 3, PAGE + 6), None);
        assert_eq!(bits.first_unwritten(PAGE - 3, PAGE + 7), Some(2 * PAGE + 3));
        bits.mark(0, u64::MAX);
        assert_eq!(bits.first_unwritten(0, 3 * PAGE + 5), None);
        assert_eq!(bits.first_unwritten(3 * PAGE + 5, 10), None);
    }
}

//! Memory that an event owns: small values inline, large ones from a pool.
//!
//! A camera's frame is tens of megabytes: memory fresh from the system costs a page fault for each 4 KiB, which takes longer
//! than the copy. The pool keeps the memory that Python has released, for the next frame of that size.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Mutex, TryLockError};

/// What fits into an event itself: every scalar of a STS or TIME type.
pub const INLINE: usize = 48;
/// Buffers of at least this size come from the pool.
const POOLED: usize = 64 * 1024;
/// From this number of zeros on, they are not written: the system provides memory that is zero.
const FAR: usize = 16 * 1024 * 1024;
/// The most memory that the pool keeps while nobody uses it.
const POOL_LIMIT: usize = 256 * 1024 * 1024;
/// Aligned for every element type, and to a cache line.
const ALIGN: usize = 64;
/// Aligned for every element type. The system has zeros at hand only for what `malloc` aligns by itself; for a larger alignment,
/// `alloc_zeroed` would write them.
const ALIGN_ZEROED: usize = 8;

/// The bytes of one DBR structure.
pub enum Bytes {
    Inline {
        words: [u64; INLINE / 8],
        len: usize,
    },
    Heap(Buffer),
}

impl Bytes {
    /// `len` bytes, of which the first `copied` are copied from `source` and the others are zero. `None` if the system has no
    /// memory for them.
    ///
    /// # Safety
    /// `source` must be readable for `copied` bytes, which are no more than `len`.
    pub unsafe fn copy_from(source: *const u8, copied: usize, len: usize) -> Option<Bytes> {
        debug_assert!(copied <= len);
        if len <= INLINE {
            let mut words = [0u64; INLINE / 8];
            // SAFETY: the caller vouches for `source`; `words` holds INLINE bytes and copied <= len <= INLINE.
            unsafe { std::ptr::copy_nonoverlapping(source, words.as_mut_ptr().cast(), copied) };
            Some(Bytes::Inline { words, len })
        } else {
            // SAFETY: as above, the caller's promise is handed on.
            unsafe { Buffer::copy_from(source, copied, len) }.map(Bytes::Heap)
        }
    }

    pub fn of(source: &[u8]) -> Bytes {
        // SAFETY: a slice is readable.
        let copied = unsafe { Bytes::copy_from(source.as_ptr(), source.len(), source.len()) };
        copied.unwrap_or_else(|| handle_alloc_error(Layout::for_value(source)))
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            // SAFETY: any u64 is eight initialised bytes, and len <= INLINE by construction.
            Bytes::Inline { words, len } => unsafe {
                std::slice::from_raw_parts(words.as_ptr().cast(), *len)
            },
            Bytes::Heap(buffer) => buffer.as_slice(),
        }
    }

    /// Bytes held outside of the event, for limits on memory.
    pub fn heap_len(&self) -> usize {
        match self {
            Bytes::Inline { .. } => 0,
            Bytes::Heap(buffer) => buffer.len,
        }
    }
}

/// An owned, aligned piece of memory, every byte initialised; large ones return to the pool when dropped.
pub struct Buffer {
    block: Option<Block>,
    len: usize,
}

/// An allocation.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block is plain memory that one owner frees; nothing in it belongs to a thread.
unsafe impl Send for Block {}
// SAFETY: shared references to a block or buffer only read it.
unsafe impl Sync for Block {}

impl Block {
    fn new(size: usize) -> Option<Block> {
        Block::allocated(size, ALIGN, alloc)
    }

    /// A large block of zeros. The system allocates its memory only where it is written to.
    fn zeroed(size: usize) -> Option<Block> {
        Block::allocated(size, ALIGN_ZEROED, alloc_zeroed)
    }

    fn allocated(
        size: usize,
        align: usize,
        allocate: unsafe fn(Layout) -> *mut u8,
    ) -> Option<Block> {
        let layout = Layout::from_size_align(size, align).ok()?;
        // SAFETY: size is never zero: `Buffer::copy_from` rounds it up, or it is at least FAR.
        let start = NonNull::new(unsafe { allocate(layout) })?;
        Some(Block { start, layout })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` or `alloc_zeroed` with this layout, and is freed once, here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Buffer {
    /// # Safety
    /// As for [`Bytes::copy_from`].
    unsafe fn copy_from(source: *const u8, copied: usize, len: usize) -> Option<Buffer> {
        let missing = len - copied;
        if missing >= FAR {
            // A server may claim what it never sends: that costs no memory.
            let block = Block::zeroed(len)?;
            // SAFETY: as below.
            unsafe { std::ptr::copy_nonoverlapping(source, block.start.as_ptr(), copied) };
            return Some(Buffer {
                block: Some(block),
                len,
            });
        }
        let block = if len >= POOLED {
            take(len.checked_next_multiple_of(POOLED)?)?
        } else {
            Block::new(len.next_multiple_of(ALIGN).max(ALIGN))?
        };
        // SAFETY: the block is at least `len` bytes, of which `copied` are a part; it is ours alone, and so cannot overlap
        // `source`.
        unsafe {
            std::ptr::copy_nonoverlapping(source, block.start.as_ptr(), copied);
            std::ptr::write_bytes(block.start.as_ptr().add(copied), 0, missing);
        }
        Some(Buffer {
            block: Some(block),
            len,
        })
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the first `len` bytes were initialised by `copy_from`, and the borrow of self keeps the block.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// The first byte, aligned for every element type.
    pub fn as_ptr(&self) -> *const u8 {
        self.block
            .as_ref()
            .map_or(std::ptr::null(), |block| block.start.as_ptr())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A block of zeros goes back to the system: in the pool, it would be one of which most was never allocated.
        if let Some(block) = self.block.take()
            && block.layout.size() >= POOLED
            && block.layout.align() == ALIGN
        {
            give_back(block);
        }
    }
}

#[derive(Default)]
struct Pool {
    free: HashMap<usize, Vec<Block>>,
    bytes: usize,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// Runs `work` on the pool, unless another thread uses the pool: then it is faster to do without. (In a child after fork the
/// lock may never be released: the thread that held it does not exist there.)
fn with_pool<T>(work: impl FnOnce(&mut Pool) -> T) -> Option<T> {
    let mut pool = match POOL.try_lock() {
        Ok(pool) => pool,
        Err(TryLockError::Poisoned(pool)) => pool.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    Some(work(pool.get_or_insert_default()))
}

fn take(size: usize) -> Option<Block> {
    let kept = with_pool(|pool| {
        let kept = pool.free.get_mut(&size).and_then(Vec::pop)?;
        pool.bytes -= size;
        Some(kept)
    });
    kept.flatten().or_else(|| Block::new(size))
}

fn give_back(block: Block) {
    let size = block.layout.size();
    let surplus = with_pool(|pool| {
        let mut surplus = Vec::new();
        // Blocks of sizes that are no longer used make room for the size in use now.
        while pool.bytes + size > POOL_LIMIT {
            let others = pool.free.iter_mut().filter(|(other, _)| **other != size);
            let Some(other) = others.map(|(_, blocks)| blocks).find_map(Vec::pop) else {
                break;
            };
            pool.bytes -= other.layout.size();
            surplus.push(other);
        }
        if pool.bytes + size <= POOL_LIMIT {
            pool.bytes += size;
            pool.free.entry(size).or_default().push(block);
        }
        surplus
    });
    // Freeing large blocks takes the system a while: after the lock is released.
    drop(surplus);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn copied(source: &[u8]) -> Bytes {
        // SAFETY: the slice is readable for its length.
        unsafe { Bytes::copy_from(source.as_ptr(), source.len(), source.len()) }.unwrap()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(source in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = copied(&source);
            prop_assert_eq!(bytes.as_slice(), &source[..]);
            prop_assert_eq!(bytes.heap_len() > 0, source.len() > INLINE);
        }

        #[test]
        fn what_is_missing_is_zero(source in prop::collection::vec(1..=u8::MAX, 0..100), more in 0usize..100) {
            let len = source.len() + more;
            // SAFETY: the slice is readable for its length.
            let bytes = unsafe { Bytes::copy_from(source.as_ptr(), source.len(), len) }.unwrap();
            prop_assert_eq!(&bytes.as_slice()[..source.len()], &source[..]);
            prop_assert_eq!(&bytes.as_slice()[source.len()..], &vec![0; more][..]);
        }
    }

    #[test]
    fn much_that_is_missing_is_zero_too_and_not_kept() {
        let source = [7u8; 1000];
        let len = source.len() + FAR;
        // SAFETY: the slice is readable for its length.
        let bytes = unsafe { Bytes::copy_from(source.as_ptr(), source.len(), len) }.unwrap();
        assert_eq!(bytes.as_slice().len(), len);
        assert_eq!(bytes.as_slice()[..source.len()], source);
        assert!(
            bytes.as_slice()[source.len()..]
                .iter()
                .all(|byte| *byte == 0)
        );
        drop(bytes);
        let kept = with_pool(|pool| {
            pool.free
                .keys()
                .any(|size| (len..len + POOLED).contains(size))
        });
        assert_ne!(kept, Some(true));
    }

    // One test, because the pool is one for the process.
    #[test]
    fn large_buffers_are_used_again_never_shared_and_bounded() {
        let source = vec![7u8; 300_001];
        let heap = |bytes: Bytes| match bytes {
            Bytes::Heap(buffer) => buffer,
            Bytes::Inline { .. } => panic!("inline"),
        };
        let first = heap(copied(&source));
        let second = heap(copied(&source));
        assert_ne!(first.as_ptr(), second.as_ptr());
        let place = first.as_ptr();
        drop(first);
        let other = vec![9u8; 300_002];
        let third = heap(copied(&other));
        assert_eq!(third.as_ptr(), place);
        assert_eq!(third.as_slice(), &other[..]);
        assert_eq!(second.as_slice(), &source[..]);

        let source = vec![1u8; 40 * 1024 * 1024];
        let many: Vec<Bytes> = (0..10).map(|_| copied(&source)).collect();
        drop(many);
        assert!(with_pool(|pool| pool.bytes).unwrap() <= POOL_LIMIT);
    }
}

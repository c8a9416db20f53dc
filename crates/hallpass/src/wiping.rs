//! Memory that is given back is wiped first, in the one process that keeps secrets for long: the daemon. What a library read a
//! token into, and dropped, is then nowhere.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's allocator, which wipes if it is told to.
pub(crate) struct Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

static WIPES: AtomicBool = AtomicBool::new(false);

/// From now on, and until the process ends.
pub(crate) fn wipe_what_is_given_back() {
    WIPES.store(true, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator is one by definition; each call is passed on as it came")]
// SAFETY: every promise is the system allocator's own, which is given what it gave.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back `layout.size()` bytes at `place`, which nobody uses any more.
        unsafe {
            if WIPES.load(Ordering::Relaxed) {
                wipe(place, layout.size());
            }
            System.dealloc(place, layout);
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises; `size` fits a layout of the same alignment.
        unsafe {
            if !WIPES.load(Ordering::Relaxed) {
                return System.realloc(place, layout, size);
            }
            // The system would move it without wiping where it was.
            let moved = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(place, moved, layout.size().min(size));
                self.dealloc(place, layout);
            }
            moved
        }
    }
}

/// The compiler must not see that nobody reads this again.
#[expect(unsafe_code, reason = "the allocator's")]
unsafe fn wipe(place: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { std::ptr::write_bytes(place, 0, size) };
    std::hint::black_box(place);
}

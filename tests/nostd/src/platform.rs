//! The few things that a hosted program gets from libc: an entry point, a heap, a way out. Linux on
//! x86-64 only; the core itself names no platform.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, naked_asm};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const HEAP: usize = 32 << 20;

#[repr(align(16))]
struct Heap(UnsafeCell<[u8; HEAP]>);
// SAFETY: the program has one thread.
unsafe impl Sync for Heap {}
static BYTES: Heap = Heap(UnsafeCell::new([0; HEAP]));
static USED: AtomicUsize = AtomicUsize::new(0);

/// Hands out the heap from front to back and takes nothing back: the program is short.
struct Bump;

// SAFETY: blocks never overlap, since `USED` only rises, and are aligned as asked.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = (USED.load(Relaxed) + layout.align() - 1) & !(layout.align() - 1);
        if start + layout.size() > HEAP {
            return null_mut();
        }
        USED.store(start + layout.size(), Relaxed);
        // SAFETY: `start` lies within the array.
        unsafe { BYTES.0.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

/// Bytes of heap used so far.
pub fn heap_used() -> usize {
    USED.load(Relaxed)
}

/// Ends the program.
pub fn exit(code: i32) -> ! {
    // SAFETY: the exit system call does not return.
    unsafe { asm!("syscall", in("rax") 60, in("rdi") code, options(noreturn)) }
}

/// Writes to standard output.
pub fn print(text: &str) {
    // SAFETY: the write system call reads `text` only.
    unsafe {
        asm!("syscall", inout("rax") 1usize => _, in("rdi") 1, in("rsi") text.as_ptr(), in("rdx") text.len(),
            out("rcx") _, out("r11") _);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print("panicked: ");
    print(info.message().as_str().unwrap_or("with a computed message"));
    if let Some(at) = info.location() {
        print("\n  in ");
        print(at.file());
    }
    print("\n");
    exit(101)
}

/// Calls [`crate::run`] with the stack aligned as the ABI wants it.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "and rsp, -16", "call {run}", "ud2", run = sym crate::run)
}

// The prebuilt `core` and `alloc` were built to unwind and name these; nothing calls them.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(102)
}

#[unsafe(no_mangle)]
extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller gives two blocks of `n` bytes that do not overlap.
    unsafe { asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _) };
    to
}

#[unsafe(no_mangle)]
extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if n == 0 || (to as usize).wrapping_sub(from as usize) >= n {
        return memcpy(to, from, n);
    }
    // SAFETY: the caller gives two blocks of `n` bytes; copying backwards allows the overlap.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _, inout("rdi") to.add(n).sub(1) => _,
            inout("rsi") from.add(n).sub(1) => _);
    }
    to
}

#[unsafe(no_mangle)]
extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller gives a block of `n` bytes.
    unsafe { asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8) };
    to
}

#[unsafe(no_mangle)]
extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: the caller gives two blocks of `n` bytes. Volatile, or this becomes a call of itself.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    memcmp(a, b, n)
}

#[unsafe(no_mangle)]
extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller gives a text that ends with a zero byte.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}

//! A SQLite VFS over the system's own that keeps every write in memory until it is synced, so that a power cut can be
//! had at any instant; that can be full; and that can give nothing back.
#![expect(
    unsafe_code,
    reason = "a VFS is a table of C functions; nothing else here can lose unsynced writes"
)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, Once};

use hallpass_store::{Engine, StorePlace};
use rusqlite::ffi;

/// The name it is registered under.
pub const VFS: &str = "forgetful";

/// The disks there are, by the folder they stand for.
static DISKS: LazyLock<Mutex<HashMap<PathBuf, Disk>>> = LazyLock::new(Mutex::default);

/// What one folder's disk has not written yet, and how it fares.
#[derive(Default)]
struct Disk {
    /// Writes that were not synced, by file, in order.
    pending: HashMap<PathBuf, Vec<Unsynced>>,
    /// Writes and syncs until the power goes; none while it stays.
    until_power_cut: Option<u32>,
    /// Nothing is written or read any more.
    dead: bool,
    /// Nothing more fits.
    full: bool,
    /// Nothing is given back.
    unreadable: bool,
    /// How often a file that is no log was synced: once for each time the log was copied into the database.
    checkpoints: usize,
}

enum Unsynced {
    Write(i64, Vec<u8>),
    Truncate(i64),
}

/// Makes the VFS known to SQLite, once.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the table lives for ever, as SQLite wants of a registered VFS, and every function in it keeps to the
        // contract of the one it stands for.
        unsafe {
            let base = base();
            let mut vfs = std::mem::zeroed::<ffi::sqlite3_vfs>();
            vfs.iVersion = 1;
            vfs.szOsFile = HEAD as c_int + (*base).szOsFile;
            vfs.mxPathname = (*base).mxPathname;
            vfs.zName = c"forgetful".as_ptr();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            vfs.xAccess = Some(access);
            vfs.xFullPathname = Some(full_pathname);
            vfs.xRandomness = Some(randomness);
            vfs.xSleep = Some(sleep);
            vfs.xCurrentTime = Some(current_time);
            vfs.xGetLastError = Some(last_error);
            assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0), ffi::SQLITE_OK);
        }
    });
}

/// The power goes after so many more writes and syncs.
pub fn cut_power_after(folder: &Path, steps: u32) {
    disk(folder, |disk| disk.until_power_cut = Some(steps));
}

/// The power goes now, if it has not gone, and comes back: what was not synced is lost.
pub fn power_back(folder: &Path) {
    disk(folder, |disk| *disk = Disk { checkpoints: disk.checkpoints, ..Disk::default() });
}

/// How often the log was copied into the database to its end.
pub fn checkpoints(folder: &Path) -> usize {
    disk(folder, |disk| disk.checkpoints)
}

/// Whether anything more fits.
pub fn set_full(folder: &Path, full: bool) {
    disk(folder, |disk| disk.full = full);
}

/// Whether nothing is given back any more. What SQLite still has in its memory it goes on having.
pub fn set_unreadable(folder: &Path, unreadable: bool) {
    disk(folder, |disk| disk.unreadable = unreadable);
}

/// A new folder's store, on such a disk.
pub fn place(folder: &Path) -> StorePlace {
    register();
    let engine = Engine { vfs: Some(VFS.to_owned()), ..Engine::default() };
    // The VFS is told paths without links in them.
    let folder = folder.canonicalize().expect("the folder is there");
    StorePlace { engine, ..StorePlace::new(folder.join("data")) }
}

fn disk<T>(folder: &Path, f: impl FnOnce(&mut Disk) -> T) -> T {
    f(DISKS.lock().expect("no test panics while it holds the disks").entry(folder.to_owned()).or_default())
}

impl Disk {
    /// One more write or sync: whether it still gets through.
    fn step(&mut self) -> bool {
        match &mut self.until_power_cut {
            Some(0) => {
                self.dead = true;
                self.pending.clear();
            }
            Some(steps) => *steps -= 1,
            None => {}
        }
        !self.dead
    }
}

/// An open file of ours; the system's own follows it in memory.
#[repr(C)]
struct File {
    head: ffi::sqlite3_file,
    path: *mut PathBuf,
}

const HEAD: usize = std::mem::size_of::<File>().next_multiple_of(16);

fn base() -> *mut ffi::sqlite3_vfs {
    // SAFETY: finding the default VFS has no precondition, and it lives for ever.
    unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) }
}

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite allocated szOsFile bytes: ours, then the system's.
    unsafe { file.cast::<u8>().add(HEAD).cast() }
}

unsafe fn methods(file: *mut ffi::sqlite3_file) -> &'static ffi::sqlite3_io_methods {
    // SAFETY: the system's VFS opened this file, so its table is set; tables are static.
    unsafe { &*(*real(file)).pMethods }
}

unsafe fn on_disk<T>(file: *mut ffi::sqlite3_file, f: impl FnOnce(&mut Disk, &PathBuf) -> T) -> T {
    // SAFETY: every file of ours has a path until it is closed.
    let path = unsafe { &*(*file.cast::<File>()).path };
    disk(path.parent().unwrap_or(path), |disk| f(disk, path))
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: as SQLite calls it: a name or null, and memory for the file.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let path = match name.is_null() {
            true => PathBuf::from("/unnamed/file"),
            false => PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned()),
        };
        if disk(path.parent().unwrap_or(&path), |disk| disk.dead) {
            return ffi::SQLITE_IOERR;
        }
        let opened = (*base()).xOpen.map_or(ffi::SQLITE_ERROR, |f| f(base(), name, real(file), flags, out));
        if opened == ffi::SQLITE_OK {
            (*file.cast::<File>()).path = Box::into_raw(Box::new(path));
            (*file).pMethods = &METHODS;
        }
        opened
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: closed once; the path was made by `open`.
    unsafe {
        let closed = methods(file).xClose.map_or(ffi::SQLITE_OK, |f| f(real(file)));
        drop(Box::from_raw((*file.cast::<File>()).path));
        closed
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite gives a buffer of `amount` bytes.
    let buffer = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), amount as usize) };
    unsafe {
        let read = methods(file).xRead.map_or(ffi::SQLITE_IOERR, |f| f(real(file), into, amount, at));
        if read != ffi::SQLITE_OK && read != ffi::SQLITE_IOERR_SHORT_READ {
            return read;
        }
        on_disk(file, |disk, path| {
            if disk.dead || disk.unreadable {
                return ffi::SQLITE_IOERR_READ;
            }
            let mut size = real_size(file);
            for unsynced in disk.pending.get(path).into_iter().flatten() {
                overlay(buffer, at, unsynced);
                size = size_after(size, unsynced);
            }
            if at + i64::from(amount) > size { ffi::SQLITE_IOERR_SHORT_READ } else { ffi::SQLITE_OK }
        })
    }
}

/// What an unsynced write or truncation does to what is read from `at` on.
fn overlay(buffer: &mut [u8], at: i64, unsynced: &Unsynced) {
    let end = at + buffer.len() as i64;
    match unsynced {
        Unsynced::Write(offset, bytes) => {
            let (from, to) = ((*offset).max(at), (offset + bytes.len() as i64).min(end));
            if from < to {
                let source = &bytes[(from - offset) as usize..(to - offset) as usize];
                buffer[(from - at) as usize..(to - at) as usize].copy_from_slice(source);
            }
        }
        Unsynced::Truncate(size) => {
            let from = (*size).clamp(at, end);
            buffer[(from - at) as usize..].fill(0);
        }
    }
}

fn size_after(size: i64, unsynced: &Unsynced) -> i64 {
    match unsynced {
        Unsynced::Write(offset, bytes) => size.max(offset + bytes.len() as i64),
        Unsynced::Truncate(to) => *to,
    }
}

unsafe fn real_size(file: *mut ffi::sqlite3_file) -> i64 {
    let mut size = 0;
    // SAFETY: the file is open and `size` outlives the call.
    unsafe { methods(file).xFileSize.map(|f| f(real(file), &mut size)) };
    size
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite gives `amount` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), amount as usize) };
    unsafe {
        on_disk(file, |disk, path| {
            if !disk.step() {
                return ffi::SQLITE_IOERR;
            }
            if disk.full {
                return ffi::SQLITE_FULL;
            }
            disk.pending.entry(path.clone()).or_default().push(Unsynced::Write(at, bytes.to_vec()));
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: the file is open.
    unsafe {
        on_disk(file, |disk, path| {
            if !disk.step() {
                return ffi::SQLITE_IOERR;
            }
            disk.pending.entry(path.clone()).or_default().push(Unsynced::Truncate(size));
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: the file is open; what is written was kept whole.
    unsafe {
        on_disk(file, |disk, path| {
            if !disk.step() {
                return ffi::SQLITE_IOERR;
            }
            disk.checkpoints += usize::from(path.extension().is_some_and(|kind| kind == "db"));
            for unsynced in disk.pending.remove(path).unwrap_or_default() {
                let done = match unsynced {
                    Unsynced::Write(at, bytes) => methods(file)
                        .xWrite
                        .map(|f| f(real(file), bytes.as_ptr().cast(), bytes.len() as c_int, at)),
                    Unsynced::Truncate(size) => methods(file).xTruncate.map(|f| f(real(file), size)),
                };
                if done != Some(ffi::SQLITE_OK) {
                    return ffi::SQLITE_IOERR;
                }
            }
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: the file is open and `out` is SQLite's.
    unsafe {
        let size = real_size(file);
        *out =
            on_disk(file, |disk, path| disk.pending.get(path).into_iter().flatten().fold(size, size_after));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite gives a name.
    unsafe {
        let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
        let alive = disk(path.parent().unwrap_or(&path), |disk| {
            disk.pending.remove(&path);
            !disk.dead
        });
        if !alive {
            return ffi::SQLITE_IOERR_DELETE;
        }
        (*base()).xDelete.map_or(ffi::SQLITE_ERROR, |f| f(base(), name, sync))
    }
}

/// A function that is the system's own, called with the system's own object.
macro_rules! passed_on {
    ($(fn $name:ident = $method:ident($($arg:ident: $type:ty),*);)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> c_int {
            // SAFETY: the arguments are passed on as they came, with the system's own file.
            unsafe { methods(file).$method.map_or(ffi::SQLITE_ERROR, |f| f(real(file) $(, $arg)*)) }
        }
    )*};
    (vfs: $(fn $name:ident = $method:ident($($arg:ident: $type:ty),*);)*) => {$(
        unsafe extern "C" fn $name(_vfs: *mut ffi::sqlite3_vfs $(, $arg: $type)*) -> c_int {
            // SAFETY: the arguments are passed on as they came, with the system's own VFS.
            unsafe { (*base()).$method.map_or(ffi::SQLITE_ERROR, |f| f(base() $(, $arg)*)) }
        }
    )*};
}

passed_on! {
    fn lock = xLock(level: c_int);
    fn unlock = xUnlock(level: c_int);
    fn check_reserved = xCheckReservedLock(out: *mut c_int);
    fn file_control = xFileControl(what: c_int, with: *mut c_void);
    fn sector_size = xSectorSize();
    fn characteristics = xDeviceCharacteristics();
    fn shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void);
    fn shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int);
    fn shm_unmap = xShmUnmap(delete: c_int);
}

passed_on! { vfs:
    fn access = xAccess(name: *const c_char, flags: c_int, out: *mut c_int);
    fn full_pathname = xFullPathname(name: *const c_char, n: c_int, out: *mut c_char);
    fn randomness = xRandomness(n: c_int, out: *mut c_char);
    fn sleep = xSleep(microseconds: c_int);
    fn current_time = xCurrentTime(out: *mut f64);
    fn last_error = xGetLastError(n: c_int, out: *mut c_char);
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: as above.
    unsafe { methods(file).xShmBarrier.map(|f| f(real(file))) };
}

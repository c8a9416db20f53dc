/* Loaded before linux.uml, for its ptrace(2).
 *
 * That kernel saves and restores its programs' registers by NT_X86_XSTATE, in a buffer made for AVX-512. Linux takes them back only
 * whole (`xstateregs_set` wants exactly their size), and on a processor with AMX they are larger, so every program there would die at
 * once. What does not fit the buffer is read from the program itself, and put back with the rest.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* More than any processor's: AMX has 8 KiB. Not on the stack: a kernel's is small. One thread of it traces. */
static unsigned char whole[64 * 1024];

long ptrace(enum __ptrace_request request, ...) {
  static long (*next)(enum __ptrace_request, ...);
  va_list arguments;
  va_start(arguments, request);
  int pid = va_arg(arguments, int);
  void *address = va_arg(arguments, void *);
  void *data = va_arg(arguments, void *);
  va_end(arguments);
  if (!next)
    next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
  if (request == PTRACE_SETREGSET && (unsigned long)address == NT_X86_XSTATE) {
    struct iovec *given = data;
    struct iovec all = {whole, sizeof whole};
    if (next(PTRACE_GETREGSET, pid, address, &all) == 0 && all.iov_len > given->iov_len) {
      memcpy(whole, given->iov_base, given->iov_len);
      return next(PTRACE_SETREGSET, pid, address, &all);
    }
  }
  return next(request, pid, address, data);
}

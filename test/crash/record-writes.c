/*
 * Records what a process writes to one file, for replaying a power loss: loaded by LD_PRELOAD, it passes every
 * call on and appends to a log which bytes were written where, when a sync began and ended, and what the process
 * told the world on standard output (its acknowledgements), all in one order.
 *
 *   OPPORTUNE_RECORD_FILE   end of the path of the file to watch, such as /store/data.mdb
 *   OPPORTUNE_RECORD_LOG    the log
 *
 *   entry: u32 kind, u32 thread, u64 offset, u64 length, bytes      kinds: see below
 *
 * A write is logged before it is made and, when the file was opened with O_DSYNC, once more when it is on disk.
 * What was logged as written before a sync began is on disk when that sync has ended, and nothing else is sure.
 * Truncating is not recorded: LMDB does not. For Linux with a C compiler only; see power-loss.test.ts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITTEN = 1, DURABLE = 2, SYNC_BEGINS = 3, SYNC_ENDS = 4, ACKNOWLEDGED = 5 };

struct entry {
  uint32_t kind;
  uint32_t thread;
  uint64_t offset;
  uint64_t length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;

static int is_watched(int fd) {
  char link[64], path[4096];
  const char *wanted = getenv("OPPORTUNE_RECORD_FILE");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (wanted == NULL || length < (ssize_t)strlen(wanted)) return 0;
  path[length] = 0;
  return strcmp(path + length - strlen(wanted), wanted) == 0;
}

static int is_synchronous(int fd) {
  return (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
}

/* With the lock held, by system calls only: what is recorded must not record itself. */
static void put(const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t done = syscall(SYS_write, log_file, at, length);
    if (done <= 0) abort();
    at += done;
    length -= (size_t)done;
  }
}

static void record(uint32_t kind, uint64_t offset, const struct iovec *parts, int count) {
  struct entry entry = {kind, (uint32_t)syscall(SYS_gettid), offset, 0};
  for (int i = 0; i < count; i++) entry.length += parts[i].iov_len;
  pthread_mutex_lock(&lock);
  if (log_file < 0) {
    const char *path = getenv("OPPORTUNE_RECORD_LOG");
    log_file = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_file < 0) abort();
  }
  put(&entry, sizeof entry);
  for (int i = 0; i < count; i++) put(parts[i].iov_base, parts[i].iov_len);
  pthread_mutex_unlock(&lock);
}

static ssize_t write_watched(int fd, const struct iovec *parts, int count, off64_t offset) {
  record(WRITTEN, (uint64_t)offset, parts, count);
  ssize_t done = syscall(SYS_pwritev, fd, parts, (long)count, (long)offset, 0L);
  if (done >= 0 && is_synchronous(fd)) record(DURABLE, (uint64_t)offset, NULL, 0);
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  struct iovec part = {(void *)bytes, length};
  if (is_watched(fd)) return write_watched(fd, &part, 1, offset);
  return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return pwrite64(fd, bytes, length, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  if (is_watched(fd)) return write_watched(fd, parts, count, offset);
  return syscall(SYS_pwritev, fd, parts, (long)count, (long)offset, 0L);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  return pwritev64(fd, parts, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (is_watched(fd)) record(WRITTEN, (uint64_t)lseek(fd, 0, SEEK_CUR), parts, count);
  ssize_t done = syscall(SYS_writev, fd, parts, (long)count);
  if (done >= 0 && is_watched(fd) && is_synchronous(fd)) record(DURABLE, 0, NULL, 0);
  return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  struct iovec part = {(void *)bytes, length};
  int watched = fd > 2 && is_watched(fd);
  if (fd == 1) record(ACKNOWLEDGED, 0, &part, 1);
  if (watched) record(WRITTEN, (uint64_t)lseek(fd, 0, SEEK_CUR), &part, 1);
  ssize_t done = syscall(SYS_write, fd, bytes, length);
  if (done >= 0 && watched && is_synchronous(fd)) record(DURABLE, 0, NULL, 0);
  return done;
}

static int sync_watched(long call, int fd) {
  if (!is_watched(fd)) return (int)syscall(call, fd);
  record(SYNC_BEGINS, 0, NULL, 0);
  int done = (int)syscall(call, fd);
  if (done == 0) record(SYNC_ENDS, 0, NULL, 0);
  return done;
}

int fdatasync(int fd) { return sync_watched(SYS_fdatasync, fd); }

int fsync(int fd) { return sync_watched(SYS_fsync, fd); }

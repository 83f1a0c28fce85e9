/* sys.h -- the few system calls that make things durable, each a fault point, each whole or an error.
 *
 * Why: write(2) may be short or interrupted, and a rename is durable only when its folder is synced;
 * that is written once, here, and each call can be made to fail (fault.h).
 *
 * Errors:  from errno, as error_errno chooses, naming the path.
 * Faults:  sys.open, sys.read, sys.write, sys.sync, sys.rename, sys.mkdir, sys.remove.
 * Threads: all.
 */
#ifndef TRANCHE_BASE_SYS_H
#define TRANCHE_BASE_SYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

int sys_open(const char *path, int flags,
             struct error *e) FALLIBLE; /* mode 0600; O_CLOEXEC added */
/* Makes or empties a file for writing that is the user's, not ours: mode 0666 less the umask. It is
 * locked while it is open, where the file system can: ABORTED, and the file as it was, when another
 * process writes it so. */
int sys_create(const char *path, struct error *e) FALLIBLE;
/* Makes or opens a file of ours and locks it until it is closed or the process ends, however it ends.
 * ABORTED when another process holds it. */
int sys_open_locked(const char *path, struct error *e) FALLIBLE;
/* A new file in the folder that has no name any more: it goes when it is closed. */
int sys_open_nameless(const char *folder, struct error *e) FALLIBLE;
int sys_write_all(int fd, const void *p, size_t len, const char *path, struct error *e) FALLIBLE;
/* The same at this offset; the position of fd stays. */
int sys_write_at(int fd, const void *p, size_t len, uint64_t offset, const char *path,
                 struct error *e) FALLIBLE;
/* Reads until len or the end of the file: returns how many bytes, or -1. */
int64_t sys_read_at(int fd, void *p, size_t len, uint64_t offset, const char *path,
                    struct error *e) FALLIBLE;
int sys_sync(int fd, const char *path, struct error *e) FALLIBLE;
/* Renames and syncs the folder, so that the new name survives a power cut. */
int sys_rename(const char *from, const char *to, struct error *e) FALLIBLE;
/* Syncs the folder that holds path: a file made in it then survives a power cut. */
int sys_sync_folder(const char *path, struct error *e) FALLIBLE;
/* Bytes that the file system of path has left for this user. */
int sys_room(const char *path, uint64_t *out, struct error *e) FALLIBLE;
/* With its parents, mode 0700; what is made survives a power cut. */
int sys_mkdirs(const char *path, struct error *e) FALLIBLE;
/* Removes a file or a whole folder, at most SYS_FOLDERS_DEEP_MAX deep; an absent one is fine.
 * Symbolic links are removed, not followed. */
#define SYS_FOLDERS_DEEP_MAX 32
int sys_remove_all(const char *path, struct error *e) FALLIBLE;
/* A whole file, appended to out; INVALID_ARGUMENT when it is over bytes_max. */
int sys_read_file(const char *path, size_t bytes_max, struct buf *out, struct error *e) FALLIBLE;

#endif

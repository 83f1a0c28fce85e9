/* sandbox.h -- run a part of this program in a process of its own, which can harm nothing.
 *
 * Why: libraries that read models and media abort, or worse, on a hostile file. Their failures must end
 * neither the service nor another line, and must reach neither files nor the network.
 *
 * Shape:   main calls sandbox_entry first. sandbox_start runs /proc/self/exe again in a hidden mode: the child
 *          finds its descriptors at SANDBOX_FD_FIRST and up, runs its role and ends. The role calls
 *          sandbox_seal as soon as it can, at the latest before it reads what comes from outside; it may
 *          seal again, each time for less.
 * Child:   From its start: no new privileges, no capabilities but that of reading files, none of the parent's
 *          descriptors and signals, few variables of its environment, limits on memory and processor time, a
 *          process group of its own, no core dump, killed when its parent ends, and before it when memory
 *          runs out. As root also: a network namespace without any device.
 *          Sealed: a list of system calls (seccomp), which has no sockets, no processes, no programs, no
 *          files, unless the seal allows some; and, where the kernel has Landlock, no path but the named
 *          ones. Forbidden calls fail with EPERM.
 *          In builds with sanitizers memory has no limit, and sealed children still open files for reading.
 * Log:     the child's standard output and error go to the parent's log, at most SANDBOX_LOG_LINES_MAX
 *          lines, with the child's name before each.
 * Errors:  of sandbox_start: from errno; FAILED_PRECONDITION in a program that never called sandbox_entry. sandbox_seal
 *          gives UNIMPLEMENTED when the system has no seccomp; the role should end then.
 * Threads: sandbox_start from any; a sandbox has one owner, but sandbox_kill may come from any.
 *          Forking is left to a thread that never ends: "killed with its parent" means the parent's thread.
 * Source:  seccomp(2), landlock(7), prctl(2): PR_SET_PDEATHSIG; libseccomp 2.5.
 */
#ifndef TRANCHE_BASE_SANDBOX_H
#define TRANCHE_BASE_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SANDBOX_FD_FIRST 3
#define SANDBOX_FDS_MAX 16
#define SANDBOX_NAME_BYTES 64
#define SANDBOX_LOG_LINES_MAX 200

/* ---- In main ---- */

struct sandbox_role {
    const char *name; /* as in sandbox_spec */
    /* The child's main: fd_count descriptors were passed. Returns its exit status. */
    int (*main)(uint32_t fd_count);
};
/* The first call of main. Returns, unless this process was made by sandbox_start. */
void sandbox_entry(int argc, char **argv, const struct sandbox_role *roles, uint32_t count);

/* ---- In the parent ---- */

struct sandbox_spec {
    const char *role;
    const char *name;      /* in ps, in the log and in errors: "model smollm2" */
    const int *fd;         /* fd_count descriptors that the child gets; they stay the caller's */
    uint32_t fd_count;     /* at most SANDBOX_FDS_MAX */
    uint64_t memory_bytes; /* address space; 0: no limit */
    uint32_t cpu_s;        /* processor time; 0: no limit */
};

struct sandbox_end {
    int signal;     /* that killed it; 0: it ended by itself */
    int status;     /* its exit status, without a signal */
    char text[320]; /* "was killed by SIGSEGV", with the last line that it wrote; for errors */
};

struct sandbox;
struct sandbox *sandbox_start(const struct sandbox_spec *spec, struct error *e);
/* True and *end when the child has ended within timeout_ms (UINT32_MAX: for ever). */
bool sandbox_wait(struct sandbox *s, uint32_t timeout_ms, struct sandbox_end *end);
void sandbox_kill(struct sandbox *s); /* without waiting; of a child that has ended: nothing */
int sandbox_pid(const struct sandbox *s);
void sandbox_free(struct sandbox *s); /* kills what still runs; accepts NULL */

/* ---- In the child ---- */

struct sandbox_seal {
    bool
        open; /* files may still be opened for reading, at any path or, when some are given, at these */
    const char *const
        *path; /* path_count files and folders; kept by the first seal that names some */
    uint32_t path_count;
    bool
        exec; /* and programs run in this process: libraries of theirs must then be among the paths */
};
int sandbox_seal(const struct sandbox_seal *s, struct error *e) FALLIBLE;

#endif

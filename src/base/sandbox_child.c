/* The child's half of a sandbox: what it gives up at its start, and the seal. */
#define _GNU_SOURCE /* unshare, syscall, clone's flags */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox_inner.h"
#include "base/str.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* ---- The mode: role, parent, number of descriptors, limits, level of the log ---- */

static bool has_entry; /* set by main, before there are threads */

bool sandbox_has_entry(void)
{
    return has_entry;
}

void sandbox_mode_write(const struct sandbox_spec *spec, pid_t parent,
                        char mode[SANDBOX_MODE_BYTES])
{
    (void)snprintf(mode, SANDBOX_MODE_BYTES, "%s,%ld,%u,%llu,%u,%d", spec->role, (long)parent,
                   spec->fd_count, (unsigned long long)spec->memory_bytes, spec->cpu_s,
                   (int)log_level());
}

struct mode {
    struct str role;
    uint64_t parent, fd_count, memory_bytes, cpu_s, log_level;
};

static bool mode_read(const char *text, struct mode *out)
{
    struct str rest = str_of(text), piece;
    uint64_t *const number[] = { &out->parent, &out->fd_count, &out->memory_bytes, &out->cpu_s,
                                 &out->log_level };

    if (!str_next(&rest, ',', &out->role))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(number); i++)
        if (!str_next(&rest, ',', &piece) || !str_number(piece, number[i]))
            return false;
    return rest.len == 0 && out->fd_count <= SANDBOX_FDS_MAX;
}

/* ---- The start ---- */

static void limit(int what, uint64_t value)
{
    const struct rlimit r = { .rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value };

    (void)setrlimit((__rlimit_resource_t)what, &r);
}

/* Sanitizers reserve terabytes of addresses. */
static void set_limits(const struct mode *m)
{
    limit(RLIMIT_CORE, 0);
    if (m->memory_bytes && !SANITIZED)
        limit(RLIMIT_AS, m->memory_bytes);
    if (m->cpu_s)
        limit(RLIMIT_CPU, m->cpu_s);
}

/* When memory runs out, the system ends this process and not its parent. */
static void be_first_to_go(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    ssize_t ignored = write(fd, "500", 3);
    (void)ignored;
    (void)close(fd);
}

/* Reading what the parent's user may read is all that is left of root's rights. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct held[2] = { { 0 } }, data[2] = { { 0 } };

    if (syscall(SYS_capget, &head, held) < 0)
        return;
    data[0].effective = data[0].permitted = held[0].permitted & (1U << CAP_DAC_READ_SEARCH);
    (void)syscall(SYS_capset, &head, data);
}

static void give_up_rights(const struct mode *m)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)m->parent) /* it ended before the line above */
        _exit(EXIT_FAILURE);
    be_first_to_go();
    set_limits(m);
    /* Only root may; the seal refuses sockets to all. */
    (void)unshare(CLONE_NEWNET | CLONE_NEWIPC);
    drop_capabilities();
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int run_role(const struct mode *m, const struct sandbox_role *roles, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq_c(m->role, roles[i].name))
            return roles[i].main((uint32_t)m->fd_count);
    log_error("this program has no role \"%.*s\"", STR_ARG(m->role));
    return EXIT_FAILURE;
}

void sandbox_entry(int argc, char **argv, const struct sandbox_role *roles, uint32_t count)
{
    struct mode m;

    has_entry = true;
    if (argc < 2 || strcmp(argv[1], SANDBOX_ARGUMENT) != 0)
        return;
    if (argc != 3 || !mode_read(argv[2], &m)) {
        (void)fputs("This mode is for processes that tranche starts itself.\n", stderr);
        _exit(EXIT_FAILURE);
    }
    log_setup((enum log_level)m.log_level, LOG_BARE);
    give_up_rights(&m);
    int status = run_role(&m, roles, count);
    (void)fflush(stdout);
    _exit(status);
}

/* ---- The seal: paths ---- */

#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* All rights of the first version: later ones limit what the list of calls refuses anyway. */
#define ALL_RIGHTS ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static int allow_path(int rules, const char *path, bool exec, struct error *e)
{
    uint64_t rights = LANDLOCK_ACCESS_FS_READ_FILE;
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) /* the role says better what is missing */
        return 0;
    if (fd < 0)
        return error_errno(e, "cannot open %s", path);
    int folder = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        rights = READ_RIGHTS;
        (void)close(folder);
    }
    if (exec)
        rights |= LANDLOCK_ACCESS_FS_EXECUTE;
    const struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
    long rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    if (rc < 0)
        (void)error_errno(e, "cannot limit this process to %s", path);
    (void)close(fd);
    return (int)rc;
}

/* Without Landlock (before Linux 5.13, or switched off) the list of calls has to do. */
static int restrict_paths(const struct sandbox_seal *s, struct error *e)
{
    const struct landlock_ruleset_attr all = { .handled_access_fs = ALL_RIGHTS };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    int rc = 0;

    if (rules < 0)
        return 0;
    for (uint32_t i = 0; rc == 0 && i < s->path_count; i++)
        rc = allow_path(rules, s->path[i], s->exec, e);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        rc = error_errno(e, "cannot limit the files of this process");
    (void)close(rules);
    return rc;
}

/* ---- The seal: system calls ---- */

/* The calls of a process that computes, and talks through descriptors that it has. */
static const int always[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fadvise64),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(mlock),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(membarrier),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(getcpu),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(arch_prctl),
};

/* Those of opening files for reading, of the loader of programs, and of a further seal. */
static const int with_open[] = {
    SCMP_SYS(seccomp), SCMP_SYS(stat),     SCMP_SYS(lstat),      SCMP_SYS(statx),
    SCMP_SYS(access),  SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
    SCMP_SYS(statfs),  SCMP_SYS(fstatfs),  SCMP_SYS(faccessat),  SCMP_SYS(faccessat2),
    SCMP_SYS(getcwd),
};

/* Those of the sanitizers' own runtime. */
static const int sanitized[] = { SCMP_SYS(personality), SCMP_SYS(ptrace), SCMP_SYS(prctl),
                                 SCMP_SYS(wait4),       SCMP_SYS(ioctl),  SCMP_SYS(tgkill) };

static int allow_all(scmp_filter_ctx f, const int *calls, size_t count)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    return rc;
}

/* Threads, not processes. The newer call has its flags in memory, which no filter can read: the C library
 * takes the older one when the newer is absent. */
static int allow_threads(scmp_filter_ctx f)
{
    const unsigned long flag = SANITIZED ? CLONE_UNTRACED : CLONE_THREAD;
    int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

    if (rc == 0 && SANITIZED) /* the search for leaks */
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return rc;
}

/* Memory, but none that was written and is run. */
static int allow_memory(scmp_filter_ctx f, bool exec)
{
    static const int calls[] = { SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect) };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(calls); i++)
        rc = exec ? seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0)
                  : seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc;
}

/* Sending without an address (send), a signal to itself (abort), a thread's name, a limit that is only read. */
static int allow_own(scmp_filter_ctx f)
{
    int rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));

    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, SCMP_A4(SCMP_CMP_EQ, 0));
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                              SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
    return rc;
}

#define WRITE_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

static int allow_files(scmp_filter_ctx f, bool open_files, bool exec)
{
    int rc;

    if (!open_files) /* of a descriptor, by the newer name of fstat: the path is empty */
        return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                                SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 0);
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, WRITE_FLAGS, 0));
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, WRITE_FLAGS, 0));
    if (rc == 0)
        rc = allow_all(f, with_open, ARRAY_LEN(with_open));
    if (rc == 0 && exec)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(execve), 0);
    return rc;
}

static int fill(scmp_filter_ctx f, const struct sandbox_seal *s)
{
    bool open_files = s->open || SANITIZED;
    int rc = allow_all(f, always, ARRAY_LEN(always));

    if (rc == 0)
        rc = allow_threads(f);
    if (rc == 0)
        rc = allow_memory(f, s->exec || SANITIZED);
    if (rc == 0)
        rc = allow_own(f);
    if (rc == 0)
        rc = allow_files(f, open_files, s->exec);
    if (rc == 0 && SANITIZED)
        rc = allow_all(f, sanitized, ARRAY_LEN(sanitized));
    return rc;
}

static int restrict_calls(const struct sandbox_seal *s, struct error *e)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = f ? 0 : -ENOMEM;

    if (rc == 0)
        rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads */
    if (rc == 0)
        rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP,
                              0); /* is set, and the last seal allows no prctl */
    if (rc == 0)
        rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    if (rc == 0)
        rc = fill(f, s);
    if (rc == 0)
        rc = seccomp_load(f);
    seccomp_release(f);
    if (rc == 0)
        return 0;
    errno = -rc;
    (void)error_errno(e, "no filter of system calls (seccomp)");
    e->code = ERROR_UNIMPLEMENTED;
    return -1;
}

int sandbox_seal(const struct sandbox_seal *s, struct error *e)
{
    if ((s->path_count || !s->open) && !SANITIZED && restrict_paths(s, e) < 0)
        return -1;
    return restrict_calls(s, e);
}

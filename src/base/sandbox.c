#define _GNU_SOURCE /* posix_spawn_file_actions_addclosefrom_np, pipe2, pidfd_open by syscall */
#include "base/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox_inner.h"
#include "base/str.h"
#include "base/thread.h"

#define LINE_BYTES_MAX 512
#define SANDBOXES_MAX                                                                              \
    256 /* that write to the log at once; the next child waits for one of them to end */

struct sandbox {
    char name[SANDBOX_NAME_BYTES];
    pid_t pid;
    int pidfd;
    bool ended; /* reaped: the owner's */
    struct sandbox_end end;
    /* The keeper's, until is_read: */
    int output; /* the read end of the child's standard output and error */
    uint32_t lines;
    char line[LINE_BYTES_MAX];
    size_t line_len;
    char last[LINE_BYTES_MAX]; /* the last whole line, of the child's words */
    bool is_read;              /* output has ended, last is final; under the keeper's lock */
};

/* A child to start. */
struct order {
    const struct sandbox_spec *spec;
    struct sandbox *sandbox;
    struct error error;
    int rc;
    bool done;
    struct order *next;
};

/* The thread that makes all children and reads all that they write. It is made once and never ends. */
static struct {
    pthread_once_t once;
    pthread_mutex_t lock;                /* guards orders, is_read and done */
    pthread_cond_t changed;              /* an order is done, or the output of a child has ended */
    struct order *orders;                /* the newest first */
    int wake[2];                         /* a byte: look at the orders */
    int error;                           /* errno, when there is no thread */
    struct sandbox *read[SANDBOXES_MAX]; /* the keeper's: children whose output is open */
    uint32_t read_count;
} keeper = { .once = PTHREAD_ONCE_INIT };

/* ---- Starting a child ---- */

/* The few variables that a child needs: no keys, no addresses. */
static bool is_passed(const char *variable)
{
    static const char *const prefixes[] = { "ASAN_OPTIONS=",
                                            "LSAN_OPTIONS=",
                                            "UBSAN_OPTIONS=",
                                            "TSAN_OPTIONS=",
                                            "TRANCHE_FAULT",
                                            "TRANCHE_KERNEL",
                                            "LD_LIBRARY_PATH=",
                                            "LANG=",
                                            "LC_",
                                            "TZ=",
                                            "GGML_",
                                            "GCOV_" };

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static char **environment_of_child(void)
{
    size_t count = 0, kept = 0;

    while (environ[count])
        count++;
    char **out = mem_array(count + 1, sizeof *out);
    for (size_t i = 0; i < count; i++)
        if (is_passed(environ[i]))
            out[kept++] = environ[i];
    return out;
}

/* Copies above all numbers that the child will have, so that no copy is overwritten by another. */
static int copy_above(const struct sandbox_spec *spec, int high[SANDBOX_FDS_MAX], struct error *e)
{
    for (uint32_t i = 0; i < spec->fd_count; i++) {
        high[i] = fcntl(spec->fd[i], F_DUPFD_CLOEXEC, SANDBOX_FD_FIRST + SANDBOX_FDS_MAX);
        if (high[i] >= 0)
            continue;
        (void)error_errno(e, "no descriptor for %s", spec->name);
        while (i > 0)
            (void)close(high[--i]);
        return -1;
    }
    return 0;
}

static int spawn(struct sandbox *s, const struct sandbox_spec *spec, const int *high, int output)
{
    char mode[SANDBOX_MODE_BYTES];
    char *const argv[] = { s->name, (char[]){ SANDBOX_ARGUMENT }, mode, NULL };
    char **env = environment_of_child();
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    sandbox_mode_write(spec, getpid(), mode);
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    for (uint32_t i = 0; i < spec->fd_count; i++)
        (void)posix_spawn_file_actions_adddup2(&files, high[i], SANDBOX_FD_FIRST + (int)i);
    (void)posix_spawn_file_actions_addclosefrom_np(&files, SANDBOX_FD_FIRST + (int)spec->fd_count);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    int rc = posix_spawn(&s->pid, "/proc/self/exe", &files, &attributes, argv, env);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    mem_free(env);
    return rc;
}

/* On the keeper's thread. */
static int start(struct sandbox *s, const struct sandbox_spec *spec, struct error *e)
{
    int high[SANDBOX_FDS_MAX], output[2], rc;

    if (copy_above(spec, high, e) < 0)
        return -1;
    if (pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0) {
        rc = errno;
    } else {
        /* The child's end blocks: what does not fit waits for the keeper. */
        (void)fcntl(output[1], F_SETFL, 0);
        rc = spawn(s, spec, high, output[1]);
        (void)close(output[1]);
        s->output = output[0];
        if (rc == 0 && (s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0)) < 0) {
            rc = errno;
            (void)kill(s->pid, SIGKILL);
            (void)waitpid(s->pid, NULL, 0);
        }
        if (rc != 0)
            (void)close(output[0]);
    }
    for (uint32_t i = 0; i < spec->fd_count; i++)
        (void)close(high[i]);
    errno = rc;
    return rc == 0 ? 0 : error_errno(e, "cannot start a process for %s", spec->name);
}

/* ---- Reading what children write ---- */

/* A line begins with the level that the child's log gives it; a library's own line is a warning. */
static void take_line(struct sandbox *s)
{
    static const struct {
        struct str word;
        enum log_level level;
    } levels[] = { { STR_INIT("error "), LOG_ERROR },
                   { STR_INIT("warn "), LOG_WARN },
                   { STR_INIT("info "), LOG_INFO },
                   { STR_INIT("debug "), LOG_DEBUG } };
    struct str line = str_trim((struct str){ s->line, s->line_len });
    enum log_level level = LOG_WARN;

    s->line_len = 0;
    if (line.len == 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_starts(line, levels[i].word)) {
            level = levels[i].level;
            line = str_trim(str_sub(line, levels[i].word.len, line.len));
            break;
        }
    if (level <= LOG_WARN)
        str_settle(s->last, snprintf(s->last, sizeof s->last, "%.*s", STR_ARG(line)),
                   sizeof s->last);
    if (s->lines < SANDBOX_LOG_LINES_MAX)
        log_line(level, "%s: %.*s", s->name, STR_ARG(line));
    else if (s->lines == SANDBOX_LOG_LINES_MAX)
        log_warn("%s: more lines of this process are not logged", s->name);
    s->lines++;
}

/* False: the output has ended. */
static bool read_output(struct sandbox *s)
{
    char chunk[4096];
    ssize_t n = read(s->output, chunk, sizeof chunk);

    for (ssize_t i = 0; i < n; i++) {
        if (chunk[i] == '\n' || s->line_len == sizeof s->line)
            take_line(s);
        if (chunk[i] != '\n')
            s->line[s->line_len++] = chunk[i];
    }
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    take_line(s);
    (void)close(s->output);
    return false;
}

static void read_outputs(const struct pollfd *ready, uint32_t count)
{
    for (uint32_t i = count; i-- > 0;) {
        struct sandbox *s = keeper.read[i];
        if (!ready[i].revents || read_output(s))
            continue;
        keeper.read[i] = keeper.read[--keeper.read_count];
        lock(&keeper.lock);
        s->is_read = true; /* the last use of s: its owner may free it now */
        cond_broadcast(&keeper.changed);
        unlock(&keeper.lock);
    }
}

static void take_orders(void)
{
    char bytes[64];

    while (read(keeper.wake[0], bytes, sizeof bytes) > 0)
        ;
    while (keeper.read_count < SANDBOXES_MAX) {
        lock(&keeper.lock);
        struct order *o = keeper.orders;
        if (o)
            keeper.orders = o->next;
        unlock(&keeper.lock);
        if (!o)
            break;
        int rc = start(o->sandbox, o->spec, &o->error);
        if (rc == 0)
            keeper.read[keeper.read_count++] = o->sandbox;
        lock(&keeper.lock);
        o->rc = rc;
        o->done = true;
        cond_broadcast(&keeper.changed);
        unlock(&keeper.lock);
    }
}

static void *keeper_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct pollfd fds[SANDBOXES_MAX + 1];
        uint32_t count = keeper.read_count;
        for (uint32_t i = 0; i < count; i++)
            fds[i] = (struct pollfd){ .fd = keeper.read[i]->output, .events = POLLIN };
        fds[count] = (struct pollfd){ .fd = keeper.wake[0], .events = POLLIN };
        if (poll(fds, count + 1, -1) < 0)
            continue;
        read_outputs(fds, count);
        take_orders(); /* also those that waited for a place */
    }
    return NULL;
}

static void keeper_start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;

    lock_init(&keeper.lock);
    cond_init(&keeper.changed);
    if (pipe2(keeper.wake, O_CLOEXEC | O_NONBLOCK) < 0) {
        keeper.error = errno;
        return;
    }
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    keeper.error = pthread_create(&thread, &attributes, keeper_main, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
}

/* ---- The owner's side ---- */

struct sandbox *sandbox_start(const struct sandbox_spec *spec, struct error *e)
{
    assert(spec->fd_count <= SANDBOX_FDS_MAX && strlen(spec->role) < SANDBOX_ROLE_BYTES);
    if (!sandbox_has_entry()) {
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "%s: this program starts no processes of its own", spec->name);
        return NULL;
    }
    (void)pthread_once(&keeper.once, keeper_start);
    if (keeper.error) {
        errno = keeper.error;
        (void)error_errno(e, "no thread for processes");
        return NULL;
    }
    struct sandbox *s = mem_alloc(sizeof *s);
    struct order o = { .spec = spec, .sandbox = s };
    (void)snprintf(s->name, sizeof s->name, "%s", spec->name);
    lock(&keeper.lock);
    o.next = keeper.orders;
    keeper.orders = &o;
    while (write(keeper.wake[1], "", 1) < 0 && errno == EINTR)
        ; /* a full pipe wakes the keeper as well */
    while (!o.done)
        (void)cond_wait(&keeper.changed, &keeper.lock);
    unlock(&keeper.lock);
    if (o.rc == 0)
        return s;
    *e = o.error;
    mem_free(s);
    return NULL;
}

static void signal_write(int number, char text[32])
{
    const char *name = sigabbrev_np(number);

    if (name)
        (void)snprintf(text, 32, "SIG%s", name);
    else
        (void)snprintf(text, 32, "signal %d", number);
}

/* Reaps, once the last line of the child was read. */
static void reap(struct sandbox *s)
{
    siginfo_t info = { 0 };
    char name[32];
    uint64_t deadline = deadline_in_ms(1000); /* a grandchild could hold the pipe open */

    while (waitid(P_PID, (id_t)s->pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    lock(&keeper.lock);
    while (!s->is_read && cond_wait_until(&keeper.changed, &keeper.lock, deadline))
        ;
    bool is_read = s->is_read;
    unlock(&keeper.lock);
    s->ended = true;
    if (info.si_code == CLD_EXITED)
        s->end.status = info.si_status;
    else
        s->end.signal = info.si_status;
    signal_write(s->end.signal, name);
    const char *last = is_read && s->last[0] ? s->last : NULL;
    int n = s->end.signal ? snprintf(s->end.text, sizeof s->end.text, "was killed by %s%s%s", name,
                                     last ? ": " : "", last ? last : "")
                          : snprintf(s->end.text, sizeof s->end.text, "ended with status %d%s%s",
                                     s->end.status, last ? ": " : "", last ? last : "");
    str_settle(s->end.text, n, sizeof s->end.text);
}

bool sandbox_wait(struct sandbox *s, uint32_t timeout_ms, struct sandbox_end *end)
{
    uint64_t deadline = deadline_in_ms(timeout_ms);

    while (!s->ended) {
        struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
        uint64_t now = deadline_in_ms(0);
        uint64_t left = deadline == DEADLINE_NONE || deadline > now ? deadline - now : 0;
        uint64_t ms = (left + 999999) / 1000000;
        int rc = poll(&p, 1, deadline == DEADLINE_NONE ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms);
        if (rc > 0)
            reap(s);
        else if (rc == 0 || errno != EINTR)
            return false;
    }
    *end = s->end;
    return true;
}

void sandbox_kill(struct sandbox *s)
{
    (void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

int sandbox_pid(const struct sandbox *s)
{
    return (int)s->pid;
}

void sandbox_free(struct sandbox *s)
{
    struct sandbox_end end;

    if (!s)
        return;
    sandbox_kill(s);
    (void)sandbox_wait(s, UINT32_MAX, &end);
    (void)close(s->pidfd);
    lock(&keeper.lock);
    while (!s->is_read)
        cond_wait(&keeper.changed, &keeper.lock);
    unlock(&keeper.lock);
    mem_free(s);
}

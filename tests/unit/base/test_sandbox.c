/* Goal: a sealed child can compute and talk, and nothing else; it ends with its parent, at its limits and when
 * it is killed. Method: this program starts itself; each child tries one thing and reports errno, or dies. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "scratch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define REPORT_FD SANDBOX_FD_FIRST
#define OTHER_FD (SANDBOX_FD_FIRST + 1)
#define WAIT_MS 60000

/* ---- Things that a child tries; 0 or errno ---- */

static int try_open(void)
{
    return open("/etc/hostname", O_RDONLY) < 0 ? errno : 0;
}

static int try_create(void)
{
    return open("/tmp/tranche-sandbox", O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0;
}

static int try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int try_local_socket(void)
{
    int fd[2];

    return socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0 ? errno : 0;
}

/* The descriptor is a socket of the parent's, so that only connecting is tried. */
static int try_connect(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(OTHER_FD, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
}

static int try_exec(void)
{
    char *argv[] = { (char[]){ "true" }, NULL }, *none[] = { NULL };

    (void)execve("/bin/true", argv, none);
    return errno;
}

static int try_fork(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return pid < 0 ? errno : 0;
}

static int try_kill_of_parent(void)
{
    return kill(getppid(), 0) < 0 ? errno : 0;
}

static int try_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? errno : 0;
}

static int try_no_death_signal(void)
{
    return prctl(PR_SET_PDEATHSIG, 0) < 0 ? errno : 0;
}

static int try_written_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

static int try_memfd(void)
{
    return memfd_create("x", 0) < 0 ? errno : 0;
}

static void *thread_main(void *arg)
{
    *(int *)arg = 7;
    return NULL;
}

static int try_thread(void)
{
    pthread_t thread;
    int seen = 0;
    int rc = pthread_create(&thread, NULL, thread_main, &seen);

    if (rc == 0)
        rc = pthread_join(thread, NULL);
    return rc || seen == 7 ? rc : EINVAL;
}

static int try_memory(void)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return errno;
    memset(p, 1, 1 << 20);
    return munmap(p, 1 << 20) < 0 ? errno : 0;
}

static int try_large_memory(void)
{
    void *p = mmap(NULL, 4ULL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : 0;
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
    { "open", try_open },
    { "create", try_create },
    { "socket", try_socket },
    { "socketpair", try_local_socket },
    { "connect", try_connect },
    { "exec", try_exec },
    { "fork", try_fork },
    { "kill", try_kill_of_parent },
    { "ptrace", try_ptrace },
    { "no death signal", try_no_death_signal },
    { "written code", try_written_code },
    { "memfd", try_memfd },
    { "thread", try_thread },
    { "memory", try_memory },
    { "large memory", try_large_memory },
};

/* ---- Roles ---- */

static void report(int what)
{
    if (write(REPORT_FD, &what, sizeof what) != sizeof what)
        _exit(9);
}

/* A question is the attempt's number. */
static int answer_attempts(void)
{
    int i;

    while (read(REPORT_FD, &i, sizeof i) == sizeof i)
        report(attempts[i].attempt());
    return 0;
}

static int role_sealed(uint32_t fd_count)
{
    struct error e = { 0 };

    (void)fd_count;
    return sandbox_seal(&(struct sandbox_seal){ 0 }, &e) < 0 ? 8 : answer_attempts();
}

/* Sealed to one folder; reports whether the file of the folder and another one open, and again after a
 * second seal, and whether the folder takes a new file. */
static int role_folder(uint32_t fd_count)
{
    char folder[SCRATCH_PATH_BYTES] = "", path[SCRATCH_PATH_BYTES + 8];
    const char *const paths[] = { folder };
    const struct sandbox_seal seal = { .open = true, .path = paths, .path_count = 1 };
    struct error e = { 0 };

    (void)fd_count;
    if (read(REPORT_FD, folder, sizeof folder) <= 0 || sandbox_seal(&seal, &e) < 0) {
        (void)fprintf(stderr, "not sealed: %s\n", e.msg);
        return 8;
    }
    (void)snprintf(path, sizeof path, "%s/f", folder);
    report(open(path, O_RDONLY) < 0 ? errno : 0);
    report(open(path, O_RDWR) < 0 ? errno : 0);
    report(try_open());
    if (sandbox_seal(&(struct sandbox_seal){ 0 }, &e) < 0) {
        (void)fprintf(stderr, "not sealed again: %s\n", e.msg);
        return 8;
    }
    report(open(path, O_RDONLY) < 0 ? errno : 0);
    return 0;
}

/* Runs a program in this process. */
static int role_program(uint32_t fd_count)
{
    char *argv[] = { (char[]){ "echo" }, (char[]){ "it runs" }, NULL }, *none[] = { NULL };
    struct error e = { 0 };

    (void)fd_count;
    if (sandbox_seal(&(struct sandbox_seal){ .open = true, .exec = true }, &e) < 0)
        return 8;
    (void)execve("/bin/echo", argv, none);
    return 8;
}

static int role_abort(uint32_t fd_count)
{
    struct error e = { 0 };

    (void)fd_count;
    if (sandbox_seal(&(struct sandbox_seal){ 0 }, &e) < 0)
        return 8;
    (void)fputs("GGML_ASSERT(n > 0) failed\n", stderr);
    abort();
}

static int role_spin(uint32_t fd_count)
{
    (void)fd_count;
    report(getpid());
    volatile bool spins = true;
    while (spins)
        ;
    return 0;
}

/* Starts a child that spins, says which, and ends without a word to it. */
static int role_parent(uint32_t fd_count)
{
    struct error e = { 0 };
    const int fd = REPORT_FD;
    const struct sandbox_spec spec = { "spin", "grandchild", &fd, 1, 0, 0 };

    (void)fd_count;
    if (!sandbox_start(&spec, &e))
        return 8;
    (void)pause();
    return 0;
}

/* Reports what it has of its parent: descriptors, variables, rights. */
static int role_inventory(uint32_t fd_count)
{
    uint64_t open_count = 0;

    for (int fd = 0; fd < 1000; fd++)
        open_count += fcntl(fd, F_GETFD) >= 0;
    report((int)open_count);
    report((int)fd_count);
    report(getenv("TRANCHE_API_KEY") ? 1 : 0); // NOLINT(concurrency-mt-unsafe)
    report(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    report(getpgrp() == getpid());
    return 0;
}

static int role_chatter(uint32_t fd_count)
{
    (void)fd_count;
    for (int i = 0; i < 100000; i++)
        (void)fprintf(stderr, "line %d\n", i);
    return 3;
}

static const struct sandbox_role roles[] = {
    { "sealed", role_sealed },   { "folder", role_folder },       { "program", role_program },
    { "abort", role_abort },     { "spin", role_spin },           { "parent", role_parent },
    { "chatter", role_chatter }, { "inventory", role_inventory },
};

/* ---- The parent ---- */

struct child {
    struct sandbox *sandbox;
    int fd; /* of the talk */
};

static struct child start(const char *role, const struct sandbox_spec *more)
{
    struct sandbox_spec spec = more ? *more : (struct sandbox_spec){ 0 };
    struct error e = { 0 };
    struct child c;
    int pair[2], fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fd[0] = pair[1];
    fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    spec.role = role;
    spec.name = "test child";
    spec.fd = fd;
    spec.fd_count = 2;
    c.sandbox = sandbox_start(&spec, &e);
    assert_string_equal(e.msg, "");
    assert_non_null(c.sandbox);
    c.fd = pair[0];
    (void)close(pair[1]);
    (void)close(fd[1]);
    return c;
}

static int reported(const struct child *c)
{
    int what = -1;

    assert_int_equal(read(c->fd, &what, sizeof what), sizeof what);
    return what;
}

static struct sandbox_end ended(struct child *c)
{
    struct sandbox_end end;

    assert_true(sandbox_wait(c->sandbox, WAIT_MS, &end));
    sandbox_free(c->sandbox);
    (void)close(c->fd);
    return end;
}

static int attempt(const struct child *c, const char *name)
{
    for (int i = 0; i < (int)ARRAY_LEN(attempts); i++)
        if (strcmp(attempts[i].name, name) == 0) {
            assert_int_equal(write(c->fd, &i, sizeof i), sizeof i);
            return reported(c);
        }
    fail_msg("no attempt %s", name);
    return -1;
}

static void test_a_sealed_child_can_neither_reach_files_nor_networks_nor_processes(void **state)
{
    static const char *const refused[] = { "socket", "socketpair", "connect", "exec",
                                           "fork",   "kill",       "memfd",   "create" };
    /* The sanitizers' runtime needs these. */
    static const char *const refused_without[] = { "open", "ptrace", "no death signal",
                                                   "written code" };
    struct child c = start("sealed", NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (attempt(&c, refused[i]) != EPERM)
            fail_msg("%s is not refused", refused[i]);
    for (size_t i = 0; !SANITIZED && i < ARRAY_LEN(refused_without); i++)
        if (attempt(&c, refused_without[i]) != EPERM)
            fail_msg("%s is not refused", refused_without[i]);
    (void)shutdown(c.fd, SHUT_WR);
    assert_int_equal(ended(&c).status, 0);
}

static void test_a_sealed_child_can_compute_with_threads_and_memory(void **state)
{
    struct child c = start("sealed", NULL);

    (void)state;
    assert_int_equal(attempt(&c, "thread"), 0);
    assert_int_equal(attempt(&c, "memory"), 0);
    (void)shutdown(c.fd, SHUT_WR);
    assert_int_equal(ended(&c).status, 0);
}

static void test_a_seal_with_paths_opens_these_for_reading_until_the_next_one(void **state)
{
    struct scratch s;
    char path[SCRATCH_PATH_BYTES];
    struct child c = start("folder", NULL);

    (void)state;
    scratch_make(&s);
    scratch_write(&s, "f", "hello", 5);
    (void)scratch_path(&s, "", path);
    assert_int_equal(write(c.fd, s.dir, strlen(s.dir) + 1), strlen(s.dir) + 1);
    assert_int_equal(reported(&c), 0);
    assert_int_equal(reported(&c), EPERM);
    if (SANITIZED) {
        (void)reported(&c);
        (void)reported(&c);
    } else {
        assert_true(reported(&c) != 0);
        assert_int_equal(reported(&c), EPERM);
    }
    assert_int_equal(ended(&c).status, 0);
    scratch_remove(&s);
}

static void test_a_seal_with_programs_lets_this_process_run_one(void **state)
{
    struct child c = start("program", NULL);
    struct sandbox_end end = ended(&c);

    (void)state;
    assert_string_equal(end.text, "ended with status 0: it runs");
}

static void test_a_crash_is_told_with_its_signal_and_the_last_line(void **state)
{
    struct child c = start("abort", NULL);
    struct sandbox_end end = ended(&c);

    (void)state;
    assert_int_equal(end.signal, SIGABRT);
    assert_string_equal(end.text, "was killed by SIGABRT: GGML_ASSERT(n > 0) failed");
}

static void test_a_child_is_killed_from_outside(void **state)
{
    struct child c = start("spin", NULL);
    struct sandbox_end end;

    (void)state;
    assert_int_equal(reported(&c), sandbox_pid(c.sandbox));
    assert_false(sandbox_wait(c.sandbox, 0, &end));
    sandbox_kill(c.sandbox);
    assert_int_equal(ended(&c).signal, SIGKILL);
}

static void test_freeing_ends_a_child_that_runs(void **state)
{
    struct child c = start("spin", NULL);
    int pid = reported(&c);

    (void)state;
    sandbox_free(c.sandbox);
    assert_int_equal(kill(pid, 0), -1);
    (void)close(c.fd);
}

static void test_the_limit_on_memory_refuses_more(void **state)
{
    struct child c = start("sealed", &(struct sandbox_spec){ .memory_bytes = 2ULL << 30 });

    (void)state;
    assert_int_equal(attempt(&c, "memory"), 0);
    assert_int_equal(attempt(&c, "large memory"), SANITIZED ? 0 : ENOMEM);
    (void)shutdown(c.fd, SHUT_WR);
    assert_int_equal(ended(&c).status, 0);
}

static void test_the_limit_on_processor_time_kills(void **state)
{
    struct child c = start("spin", &(struct sandbox_spec){ .cpu_s = 1 });
    struct sandbox_end end = ended(&c);

    (void)state;
    assert_true(end.signal == SIGXCPU || end.signal == SIGKILL);
}

static void test_a_child_ends_with_its_parent(void **state)
{
    struct child c = start("parent", NULL);
    int grandchild = reported(&c);
    struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, grandchild, 0), .events = POLLIN };

    (void)state;
    assert_true(p.fd >= 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    sandbox_kill(c.sandbox);
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    (void)close(p.fd);
    assert_int_equal(ended(&c).signal, SIGKILL);
}

static void test_a_child_has_only_what_it_was_given(void **state)
{
    struct child c = start("inventory", NULL);

    (void)state;
    assert_int_equal(reported(&c), SANDBOX_FD_FIRST + 2);
    assert_int_equal(reported(&c), 2);
    assert_int_equal(reported(&c), 0);
    assert_int_equal(reported(&c), 1);
    assert_int_equal(reported(&c), 1);
    assert_int_equal(ended(&c).status, 0);
}

static void test_a_child_that_writes_without_end_does_not_fill_the_log(void **state)
{
    struct child c = start("chatter", NULL);
    struct sandbox_end end = ended(&c);

    (void)state;
    assert_string_equal(end.text, "ended with status 3: line 99999");
}

static void *start_and_end(void *arg)
{
    struct child *c = arg;

    *c = start("spin", NULL);
    return NULL;
}

/* The kernel counts the death of the thread that forked as the death of the parent. */
static void test_a_child_outlives_the_thread_that_asked_for_it(void **state)
{
    struct child c;
    struct sandbox_end end;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, start_and_end, &c), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reported(&c), sandbox_pid(c.sandbox));
    assert_false(sandbox_wait(c.sandbox, 50, &end));
    sandbox_kill(c.sandbox);
    assert_int_equal(ended(&c).signal, SIGKILL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sealed_child_can_neither_reach_files_nor_networks_nor_processes),
        cmocka_unit_test(test_a_sealed_child_can_compute_with_threads_and_memory),
        cmocka_unit_test(test_a_seal_with_paths_opens_these_for_reading_until_the_next_one),
        cmocka_unit_test(test_a_seal_with_programs_lets_this_process_run_one),
        cmocka_unit_test(test_a_crash_is_told_with_its_signal_and_the_last_line),
        cmocka_unit_test(test_a_child_is_killed_from_outside),
        cmocka_unit_test(test_freeing_ends_a_child_that_runs),
        cmocka_unit_test(test_the_limit_on_memory_refuses_more),
        cmocka_unit_test(test_the_limit_on_processor_time_kills),
        cmocka_unit_test(test_a_child_ends_with_its_parent),
        cmocka_unit_test(test_a_child_has_only_what_it_was_given),
        cmocka_unit_test(test_a_child_that_writes_without_end_does_not_fill_the_log),
        cmocka_unit_test(test_a_child_outlives_the_thread_that_asked_for_it),
    };

    sandbox_entry(argc, argv, roles, ARRAY_LEN(roles));
    (void)setenv("TRANCHE_API_KEY", "secret", 1); // NOLINT(concurrency-mt-unsafe)
    return cmocka_run_group_tests(tests, NULL, NULL);
}

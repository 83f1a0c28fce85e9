#include "api/test_mode.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/objects/objects.h"

struct test_mode {
    pthread_mutex_t lock; /* guards all below */
    struct {
        uint64_t key; /* 0: free */
        uint32_t count;
    } attempt[TEST_ATTEMPTS_MAX]; /* a ring, the oldest is overwritten */
    struct {
        char id[FILE_ID_BYTES];
        enum script_fate fate;
    } file[TEST_FILES_MAX];
    uint32_t attempts, files; /* written so far */
};

struct test_mode *test_mode_new(void)
{
    struct test_mode *t = mem_alloc(sizeof *t);

    lock_init(&t->lock);
    return t;
}

void test_mode_free(struct test_mode *t)
{
    if (!t)
        return;
    lock_destroy(&t->lock);
    mem_free(t);
}

bool test_mode_fails(struct test_mode *t, uint64_t key, uint32_t times)
{
    uint32_t i = 0;

    lock(&t->lock);
    while (i < TEST_ATTEMPTS_MAX && t->attempt[i].key != key)
        i++;
    if (i == TEST_ATTEMPTS_MAX) {
        i = t->attempts++ % TEST_ATTEMPTS_MAX;
        t->attempt[i].key = key;
        t->attempt[i].count = 0;
    }
    bool fails = t->attempt[i].count++ < times;
    if (!fails)
        t->attempt[i].key = 0;
    unlock(&t->lock);
    return fails;
}

void test_mode_file_set(struct test_mode *t, const char *id, enum script_fate fate)
{
    lock(&t->lock);
    uint32_t i = t->files++ % TEST_FILES_MAX;
    (void)snprintf(t->file[i].id, sizeof t->file[i].id, "%s", id);
    t->file[i].fate = fate;
    unlock(&t->lock);
}

enum script_fate test_mode_file(struct test_mode *t, const char *id)
{
    enum script_fate fate = FATE_NONE;

    lock(&t->lock);
    for (uint32_t i = 0; i < TEST_FILES_MAX; i++)
        if (t->file[i].id[0] && strcmp(t->file[i].id, id) == 0)
            fate = t->file[i].fate;
    unlock(&t->lock);
    return fate;
}

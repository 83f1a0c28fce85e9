#include "predict/local/adapters.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define SLOTS (RUNTIME_ADAPTERS_MAX - ADAPTERS_OWN)
#define KEY_BYTES_MAX ((size_t)64 * 1024)

enum slot_state { SLOT_NEW, SLOT_READY, SLOT_FAILED };

struct adapter_slot {
    /* The session's: */
    struct str key; /* files, scales, sizes and times; empty: free */
    struct arena arena;
    uint32_t users;
    uint64_t touch;
    /* Set by the session before a task goes to the compiler, which reads them: */
    struct adapter_list files;
    uint32_t number, before; /* before: a number to drop; 0: none */
    /* The compiler's: */
    atomic_int state;
    struct error why; /* when it has failed */
};

struct adapters {
    struct runtime *runtime;
    struct adapter_slot slot[SLOTS];
    uint32_t last; /* number that was given */
    uint64_t clock;
};

struct adapters *adapters_new(struct runtime *r)
{
    struct adapters *a = mem_alloc(sizeof *a);

    a->runtime = r;
    a->last = ADAPTERS_OWN;
    return a;
}

void adapters_free(struct adapters *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        arena_release(&a->slot[i].arena);
    mem_free(a);
}

static void write_key(const struct adapter_list *files, struct buf *out)
{
    struct stat st;

    for (uint32_t i = 0; i < files->count; i++) {
        buf_addf(out, "%s ", files->item[i].file);
        buf_add_double(out, (double)files->item[i].scale);
        const struct adapter *a = &files->item[i];
        if ((a->fd ? fstat(a->fd, &st) : stat(a->file, &st)) == 0)
            buf_addf(out, " %llu %llu %lld.%09ld", (unsigned long long)st.st_ino,
                     (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec);
        buf_add_char(out, '\n');
    }
}

/* The slot of this key, else the one to use for it: unused for the longest time. NULL: none. */
static struct adapter_slot *find(struct adapters *a, struct str key)
{
    struct adapter_slot *best = NULL;

    for (uint32_t i = 0; i < SLOTS; i++) {
        struct adapter_slot *s = &a->slot[i];
        if (s->key.len && str_eq(s->key, key))
            return s;
        if (!s->users && (!best || s->touch < best->touch))
            best = s;
    }
    return best;
}

static void take(struct adapters *a, struct adapter_slot *s, struct str key,
                 const struct adapter_list *files)
{
    /* One that was not loaded has not dropped what was there before it. */
    uint32_t before = atomic_load(&s->state) == SLOT_READY ? s->number : s->before;

    assert(!s->users);
    arena_release(&s->arena);
    s->arena = (struct arena){ 0 };
    s->key = (struct str){ arena_copy(&s->arena, key.p, key.len), key.len };
    s->files = *files;
    for (uint32_t i = 0; i < files->count; i++)
        s->files.item[i].file = arena_textf(&s->arena, "%s", files->item[i].file);
    s->number = ++a->last;
    s->before = before;
    atomic_store(&s->state, SLOT_NEW);
}

bool adapters_ready(const struct adapter_slot *s)
{
    return atomic_load(&s->state) == SLOT_READY;
}

struct adapter_slot *adapters_hold(struct adapters *a, const struct adapter_list *files)
{
    struct buf text = BUF_INIT(KEY_BYTES_MAX);

    write_key(files, &text);
    struct str key = buf_str(&text);
    struct adapter_slot *s = find(a, key);
    /* Nobody has loaded the file of a slot that is not ready, and its descriptor may be gone. */
    if (s && (!str_eq(s->key, key) || (!s->users && !adapters_ready(s))))
        take(a, s, key, files);
    buf_release(&text);
    if (!s)
        return NULL;
    s->users++;
    s->touch = ++a->clock;
    return s;
}

void adapters_done(struct adapter_slot *s)
{
    if (!s)
        return;
    assert(s->users);
    s->users--;
}

int adapters_load(struct adapters *a, struct adapter_slot *s, struct error *e)
{
    const struct runtime_ops *ops = a->runtime->ops;

    if (atomic_load(&s->state) == SLOT_NEW) {
        if (s->before)
            ops->unadapt(a->runtime, s->before);
        s->before = 0;
        s->why = (struct error){ 0 };
        bool good = ops->adapt(a->runtime, s->number, &s->files, &s->why) == 0;
        atomic_store(&s->state, good ? SLOT_READY : SLOT_FAILED);
    }
    if (adapters_ready(s))
        return 0;
    *e = s->why;
    return -1;
}

uint32_t adapters_number(const struct adapter_slot *s)
{
    assert(adapters_ready(s));
    return s->number;
}

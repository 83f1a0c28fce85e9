#include "predict/child/judged.h"

#include <string.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"

#define JUDGED_MAX ((size_t)1024) /* then all are forgotten */
#define JUDGED_SLOTS (2 * JUDGED_MAX)
#define KEY_BYTES_MAX                                                                              \
    ((size_t)4 * 1024 * 1024) /* of settings; larger ones are asked for each time */

struct judged {
    pthread_mutex_t lock;                 /* guards what follows */
    struct judged_key slot[JUDGED_SLOTS]; /* zero: free */
    uint32_t count;
};

static bool is_text(const struct content *c)
{
    for (uint32_t i = 0; c && i < c->part_count; i++)
        if (c->part[i].kind != PART_TEXT)
            return false;
    return true;
}

/* Members that no model refuses. */
static bool is_left_out(const char *key)
{
    static const char *const names[] = { "contents", "systemInstruction", "system_instruction",
                                         "labels",   "content",           "title" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

static void add_member(struct buf *out, struct arena *a, yyjson_val *key, yyjson_val *value)
{
    buf_add_json(out, json_str(key));
    buf_add_str(out, json_text(a, value));
}

/* generationConfig without its seed, which may be another one in each line. */
static void add_generation(struct buf *out, struct arena *a, yyjson_val *object)
{
    size_t i, count;
    yyjson_val *key, *value;

    buf_add_char(out, '{');
    yyjson_obj_foreach(object, i, count, key, value)
    {
        if (!yyjson_equals_str(key, "seed"))
            add_member(out, a, key, value);
    }
    buf_add_char(out, '}');
}

bool judged_key_of(const struct request *r, struct judged_key *out)
{
    struct buf text = BUF_INIT(KEY_BYTES_MAX);
    struct arena a = { 0 };
    size_t i, count;
    yyjson_val *key, *value, *generation = request_field(r->root, "generationConfig");

    if (!is_text(r->system))
        return false;
    buf_add_char(&text, r->kind == REQUEST_EMBED ? 'e' : 'g');
    for (uint32_t c = 0; c < r->content_count; c++)
        if (!is_text(&r->content[c])) {
            buf_release(&text);
            return false;
        }
    yyjson_obj_foreach(r->root, i, count, key, value)
    {
        if (value == generation && yyjson_is_obj(value))
            add_generation(&text, &a, value);
        else if (!is_left_out(yyjson_get_str(key)))
            add_member(&text, &a, key, value);
    }
    bool fits = buf_ok(&text);
    const XXH128_hash_t hash = XXH3_128bits(text.p, text.len);
    *out = (struct judged_key){ { hash.low64 | 1, hash.high64 } };
    buf_release(&text);
    arena_release(&a);
    return fits;
}

struct judged *judged_new(void)
{
    struct judged *j = mem_alloc(sizeof *j);

    lock_init(&j->lock);
    return j;
}

void judged_free(struct judged *j)
{
    if (!j)
        return;
    lock_destroy(&j->lock);
    mem_free(j);
}

/* The slot that has the key, or a free one. */
static struct judged_key *slot_of(struct judged *j, const struct judged_key *key)
{
    size_t at = key->half[1] % JUDGED_SLOTS;

    while (j->slot[at].half[0] && memcmp(&j->slot[at], key, sizeof *key) != 0)
        at = (at + 1) % JUDGED_SLOTS;
    return &j->slot[at];
}

bool judged_find(struct judged *j, const struct judged_key *key)
{
    lock(&j->lock);
    bool found = slot_of(j, key)->half[0] != 0;
    unlock(&j->lock);
    return found;
}

void judged_add(struct judged *j, const struct judged_key *key)
{
    lock(&j->lock);
    if (j->count == JUDGED_MAX) {
        memset(j->slot, 0, sizeof j->slot);
        j->count = 0;
    }
    struct judged_key *slot = slot_of(j, key);
    j->count += slot->half[0] == 0;
    *slot = *key;
    unlock(&j->lock);
}

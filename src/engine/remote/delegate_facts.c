/* delegate_facts.c -- what a delegated job remembers in its spool: its name, its round, its parts. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/random.h"
#include "base/sys.h"
#include "engine/remote/delegate_inner.h"

#define STEM_RANDOM_BYTES 16
#define FACT_BYTES_MAX ((size_t)16 * 1024)
#define FACT_NAME_BYTES 48
#define STAGED_WORD " staged"

void facts_folder(const struct delegation *d, char out[DELEGATE_PATH_BYTES])
{
    (void)snprintf(out, DELEGATE_PATH_BYTES, "%s/remote", d->job->dir);
}

void facts_part_path(const struct delegation *d, uint32_t part, char out[DELEGATE_PATH_BYTES])
{
    (void)snprintf(out, DELEGATE_PATH_BYTES, "%s/remote/%u-%u.jsonl", d->job->dir, d->round,
                   part + 1);
}

void facts_part_name(const struct delegation *d, uint32_t part, char out[REMOTE_NAME_BYTES])
{
    (void)snprintf(out, REMOTE_NAME_BYTES, "%s-%u-%u", d->stem, d->round, part + 1);
}

static int damaged(struct error *e)
{
    return error_set(e, ERROR_DATA_LOSS,
                     "what was handed over cannot be read; --fresh begins the run anew");
}

/* ---- Parts ---- */

static void fact_name(const struct delegation *d, uint32_t part, char out[FACT_NAME_BYTES])
{
    (void)snprintf(out, FACT_NAME_BYTES, "remote.%u.%u", d->round, part + 1);
}

struct remote_part *facts_part_add(struct delegation *d)
{
    d->part = mem_list_grow(d->part, d->part_count, sizeof *d->part);
    struct remote_part *p = &d->part[d->part_count++];
    *p = (struct remote_part){ .phase = PART_STAGED };
    return p;
}

int facts_part_save(struct delegation *d, uint32_t part, struct error *e)
{
    const struct remote_part *p = &d->part[part];
    struct buf text = BUF_INIT(FACT_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    char name[FACT_NAME_BYTES];

    fact_name(d, part, name);
    json_object(&w, NULL);
    json_add_uint(&w, "phase", p->phase);
    json_add_uint(&w, "to", p->to);
    json_add_uint(&w, "rows", p->rows);
    json_add_c(&w, "place", p->place);
    json_add_c(&w, "job", p->job);
    json_end(&w);
    int rc = spool_fact_set(d->job->spool, name, buf_str(&text), e);
    buf_release(&text);
    return rc;
}

static void copy_text(yyjson_val *v, char out[REMOTE_NAME_BYTES])
{
    struct str text = json_str(v);

    (void)snprintf(out, REMOTE_NAME_BYTES, "%.*s", STR_ARG(text));
}

/* Between its upload and the fact of its job, a job may have been created. */
static int part_read(struct remote_part *p, struct str text, struct error *e)
{
    struct arena a = { 0 };
    struct error ignored;
    size_t at;

    yyjson_val *root = json_parse(&a, text, &at, &ignored);
    uint64_t phase = yyjson_get_uint(json_get(root, "phase"));
    bool good = root && phase < PART_PHASES;
    if (good) {
        p->phase = (enum part_phase)phase;
        p->to = yyjson_get_uint(json_get(root, "to"));
        p->rows = yyjson_get_uint(json_get(root, "rows"));
        copy_text(json_get(root, "place"), p->place);
        copy_text(json_get(root, "job"), p->job);
        p->unsure = p->phase == PART_UPLOADED;
    }
    arena_release(&a);
    return good ? 0 : damaged(e);
}

static int parts_load(struct delegation *d, struct error *e)
{
    struct buf text = BUF_INIT(FACT_BYTES_MAX);
    char name[FACT_NAME_BYTES];
    int rc = 0;

    for (uint32_t i = 0; rc == 0; i++) {
        buf_clear(&text);
        fact_name(d, i, name);
        rc = spool_fact_get(d->job->spool, name, &text, e);
        if (rc <= 0)
            break;
        rc = part_read(facts_part_add(d), buf_str(&text), e);
    }
    buf_release(&text);
    return rc;
}

/* ---- The name and the round ---- */

/* Random, so that no other run of the same input, here or elsewhere, has jobs of that name. The
 * folder may hold files of a run that was forgotten. */
static int begin(struct delegation *d, struct error *e)
{
    char hex[2 * STEM_RANDOM_BYTES + 1], folder[DELEGATE_PATH_BYTES];

    if (random_hex(hex, STEM_RANDOM_BYTES, e) < 0)
        return -1;
    (void)snprintf(d->stem, sizeof d->stem, "tranche-%s", hex);
    facts_folder(d, folder);
    if (sys_remove_all(folder, e) < 0)
        return -1;
    d->round = 1;
    return spool_fact_set(d->job->spool, "remote.name", str_of(d->stem), e);
}

int facts_round_save(struct delegation *d, struct error *e)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%u%s", d->round, d->staged ? STAGED_WORD : "");
    return spool_fact_set(d->job->spool, "remote.round", str_of(text), e);
}

static int round_read(struct delegation *d, struct str text, struct error *e)
{
    static const struct str word = STR_INIT(STAGED_WORD);
    uint64_t round;

    d->staged = str_ends(text, word);
    if (d->staged)
        text.len -= word.len;
    if (!str_number(text, &round) || round == 0 || round > UINT32_MAX)
        return damaged(e);
    d->round = (uint32_t)round;
    return 0;
}

int facts_load(struct delegation *d, struct error *e)
{
    struct buf text = BUF_INIT(FACT_BYTES_MAX);
    int rc = spool_fact_get(d->job->spool, "remote.name", &text, e);

    if (rc == 0)
        return begin(d, e);
    if (rc > 0) {
        (void)snprintf(d->stem, sizeof d->stem, "%s", text.p ? text.p : "");
        buf_clear(&text);
        rc = spool_fact_get(d->job->spool, "remote.round", &text, e);
    }
    d->round = 1;
    if (rc > 0)
        rc = round_read(d, buf_str(&text), e);
    buf_release(&text);
    return rc < 0 ? -1 : parts_load(d, e);
}

/* ingest.h -- read the whole input once: validate every line, count, cut into shards, name the job.
 *
 * Why: every bad line is known before any work, the total is known for progress, and the content's
 * digest names the state folder, so that a changed input never resumes wrongly.
 *
 * Data:    input bytes -> shards (in order, under a lock) -> lines -> violations (reported in order)
 * Threads: `threads` workers cut and validate shards; on_bad, on_warned and on_shard are called by one thread at a
 *          time, in input order, under no lock. The predictor's `accepts` is called by all workers.
 * Memory:  a shard and a parse for each worker; a struct shard for each shard is kept. The
 *          notes of the lines go to a file (line_index.h).
 * Errors:  only of reading; bad lines are not errors.
 */
#ifndef TRANCHE_ENGINE_LINES_INGEST_H
#define TRANCHE_ENGINE_LINES_INGEST_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/lines/input.h"
#include "engine/lines/repeats.h"
#include "format/request/request.h"
#include "format/request/violation.h"
#include "predict/predictor.h"

struct shard_list {
    struct shard *item;
    size_t count;
};

/* Sums over the lines of one shard. */
struct shard_figures {
    uint64_t bad;        /* lines */
    uint64_t text_bytes; /* as ingest_result's, and so are these */
    uint64_t output_max, output_unset;
};

struct ingest_options {
    struct line_rules rules;
    struct predictor *predictor; /* borrowed, for ops->accepts; NULL: any model */
    uint64_t limit;              /* lines; 0: all */
    uint64_t lines_max;          /* more is an error; 0: none */
    uint32_t threads;            /* 0: one a core */
    const atomic_bool *stop;     /* set: give up soon with CANCELLED */
    /* Keeps the lines' notes (line_index.h): at the path, or in a file of the folder that has no name.
     * Both NULL: they are not kept. */
    const char *index_path, *index_folder;
    /* Notes by which answers are kept (line_key.h), also of requests that need none else; files: of requests
     * that name files, too. */
    bool keys;
    const struct file_digests *files;
    /* A bad line: everything that is wrong with it. NULL: only counted. */
    void (*on_bad)(void *arg, const struct input *in, const struct shard *s, const struct line *l,
                   const struct violations *bad);
    /* A line that can run, with warnings. NULL: only counted. */
    void (*on_warned)(void *arg, const struct input *in, const struct shard *s,
                      const struct line *l, const struct violations *warnings);
    /* Each shard, in input order, after its lines; may be NULL. */
    void (*on_shard)(void *arg, const struct shard *s, const struct shard_figures *f);
    void *arg;
};
struct ingest_result {
    struct shard_list shards;
    uint64_t lines;        /* not empty, cut by limit */
    uint64_t bad;          /* of lines */
    uint64_t warned;       /* of lines, not bad */
    uint64_t bytes;        /* of input read */
    uint64_t text_bytes;   /* of good requests' prompt texts: for estimates */
    uint64_t output_max;   /* sum of maxOutputTokens, or of an enum's longest value, where given */
    uint64_t output_unset; /* good lines without either */
    uint64_t digest[2];    /* of the shards' digests, in order */
    struct repeats *repeats;  /* which deterministic requests may stand more than once; owned */
    struct line_index *index; /* of the lines; owned; NULL: nothing was kept */
};
int ingest_run(const struct input *in, const struct ingest_options *o, struct ingest_result *out,
               struct error *e) FALLIBLE;
void ingest_result_release(struct ingest_result *r);

/* Validates one line as ingest does, the limits of the predictor's model included (NULL: of none): the
 * pipeline uses the same. A row of a table becomes its request here. text must stay until the arena is
 * done with. */
bool ingest_line(struct arena *a, struct str text, const struct line_rules *rules,
                 struct predictor *p, struct input_line *out, struct violations *bad);
/* The violation of the line of an overlong shard. */
void ingest_overlong(const struct line_rules *rules, struct violations *bad);
/* The first violation as the error an output row carries: "path: message remedy". */
void ingest_error(const struct violations *bad, struct error *e);

#endif

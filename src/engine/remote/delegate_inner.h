/* delegate_inner.h -- what the files of a delegated job share: its parts, and how far each is.
 *
 * Why: cutting the input (delegate_stage.c), remembering (delegate_facts.c), taking answers
 * (delegate_merge.c) and the order of it all (delegate.c) are one idea each over the same parts.
 *
 * Threads: one owner.
 */
#ifndef TRANCHE_ENGINE_REMOTE_DELEGATE_INNER_H
#define TRANCHE_ENGINE_REMOTE_DELEGATE_INNER_H

#include "engine/remote/delegate.h"
#include "engine/lines/ledger.h"

#define DELEGATE_STEM_BYTES 48
#define DELEGATE_PATH_BYTES 4096

enum part_phase {
    PART_STAGED,   /* its rows lie in a file here */
    PART_UPLOADED, /* and at the batch service */
    PART_CREATED,  /* its job is known */
    PART_MERGED,   /* every row that was sent has its answer or failure */
    PART_PHASES
};

struct remote_part {
    enum part_phase phase;
    uint64_t to; /* lines from the previous part's end to before this index were looked at for it */
    uint64_t rows; /* of those: sent */
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES];
    bool unsure;    /* its job may have been created unseen */
    char state[48]; /* the last that was seen */
};

struct delegation {
    const struct delegate_job *job;
    char stem[DELEGATE_STEM_BYTES]; /* of the remote jobs' names */
    uint32_t round;                 /* from 1 */
    bool staged;                    /* every line of the round was looked at */
    struct remote_part *part;
    uint32_t part_count;
    struct ledger ledger;
    struct progress progress;
    uint64_t began_ns, progress_due_ns;
    uint64_t seed;
    bool behind;          /* rows are committed that are not rendered yet */
    bool cancelling;      /* only what was answered is taken */
    uint64_t deadline_ns; /* of a cancel */
};

/* Attempts at one call to the batch service. */
struct trial {
    uint32_t failures;
    uint64_t since_ns; /* of the first */
};

/* ---- delegate_settle.c ---- */
static inline uint64_t delegate_now_ns(const struct delegation *d)
{
    return d->job->clock->mono_ns(d->job->clock);
}
static inline bool delegate_is_stopped(const struct delegation *d)
{
    return !d->cancelling && d->job->stop && atomic_load(d->job->stop);
}
int delegate_stopped(const struct delegation *d, struct error *e) FALLIBLE; /* -1: CANCELLED */
void delegate_take_counters(struct delegation *d); /* of what is committed */
/* Counts the lines that the batch service has and that have no row yet. */
void delegate_count_in_flight(struct delegation *d);
/* Commits when it is time (or now), then counts, renders and shows. */
int delegate_settle(struct delegation *d, bool now, struct error *e) FALLIBLE;
/* Waits, and settles meanwhile. */
int delegate_wait(struct delegation *d, uint64_t ms, struct error *e) FALLIBLE;
/* After a failed call: waits and says true, or says why not in *e. */
bool delegate_again(struct delegation *d, struct trial *t, const struct error *why,
                    struct error *e);
void delegate_note(const struct delegation *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Lines before this part's first. */
static inline uint64_t part_from(const struct delegation *d, uint32_t part)
{
    return part ? d->part[part - 1].to : 0;
}

/* ---- delegate_facts.c ---- */
int facts_load(struct delegation *d, struct error *e) FALLIBLE; /* or begins them */
struct remote_part *facts_part_add(struct delegation *d);       /* not remembered until saved */
int facts_part_save(struct delegation *d, uint32_t part, struct error *e) FALLIBLE;
int facts_round_save(struct delegation *d, struct error *e) FALLIBLE;
void facts_part_name(const struct delegation *d, uint32_t part, char out[REMOTE_NAME_BYTES]);
void facts_part_path(const struct delegation *d, uint32_t part, char out[DELEGATE_PATH_BYTES]);
void facts_folder(const struct delegation *d, char out[DELEGATE_PATH_BYTES]);

/* ---- delegate_stage.c ---- */
struct stage;
/* Goes through the round's lines from where its last part ends. */
struct stage *stage_new(struct delegation *d);
void stage_free(struct stage *s); /* accepts NULL */
/* Makes the next part: 1; or 0 when no line was left for one. */
int stage_next(struct stage *s, struct error *e) FALLIBLE;

/* ---- delegate_merge.c ---- */
/* The key of a line's row: the index, "s" when its answer must be checked, and its digest when it has one. */
#define ROW_KEY_BYTES 64
void row_key_write(uint64_t index, bool checked, const unsigned char *digest,
                   char out[ROW_KEY_BYTES]);
/* Takes all that a job that has ended answered. */
int merge_part(struct delegation *d, uint32_t part, const struct remote_status *st,
               struct error *e) FALLIBLE;

#endif

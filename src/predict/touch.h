/* touch.h -- which requests a session is about to compute, in memory that outlives its process.
 *
 * Why: a process that dies on a request cannot say which. Before each step it writes the tags of the requests that
 * the step touches into a page that its parent shares; the parent tries these alone (predict/child).
 *
 * Shape:   a slot for each thread that can meet a request's content; touch_set before, touch_end after. A
 *          NULL page, which sessions of the same process have, takes nothing.
 * Threads: each slot has one writer; another process reads after the writer's has ended, but beats at any
 *          time.
 */
#ifndef TRANCHE_PREDICT_TOUCH_H
#define TRANCHE_PREDICT_TOUCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TOUCH_TAGS_MAX 512 /* of a slot; more are not kept, then all open requests are suspects */
#define TOUCH_TRAPS_MAX 32

enum touch_slot {
    TOUCH_SUBMIT,  /* template, tokenizer and media of a request */
    TOUCH_COMPILE, /* its schema */
    TOUCH_ADAPT,   /* its adapter, at the first use */
    TOUCH_MEDIA,   /* its images, videos and sounds */
    TOUCH_FORWARD, /* a step of the engine */
    TOUCH_JUDGE,   /* validation and counting, by two threads */
    TOUCH_JUDGE_2,
    TOUCH_SLOTS
};

struct touch_page {
    atomic_uint_fast64_t beats; /* grows with each touch: a process without beats hangs */
    struct {
        atomic_uint count; /* of tag; over TOUCH_TAGS_MAX: some were not kept */
        uint64_t tag[TOUCH_TAGS_MAX];
    } slot[TOUCH_SLOTS];
    /* For tests: a step of this kind that touches one of these tags ends so. Set by the writer's process. */
    enum touch_slot trap_slot;
    atomic_uint trap_count; /* of trap_tag, at most TOUCH_TRAPS_MAX */
    uint64_t trap_tag[TOUCH_TRAPS_MAX];
    void (*trap)(void);
    atomic_bool trapped; /* the writer's process is in it */
};

/* The tag is the session's tag of the request: a child's are numbers. */
void touch_set(struct touch_page *p, enum touch_slot slot, const void *tag); /* it alone */
void touch_add(struct touch_page *p, enum touch_slot slot, const void *tag);
void touch_end(struct touch_page *p, enum touch_slot slot);

#endif

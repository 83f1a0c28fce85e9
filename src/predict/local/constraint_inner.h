/* constraint_inner.h -- what constraint.c and follower.c share. Nothing else includes it. */
#ifndef TRANCHE_PREDICT_LOCAL_CONSTRAINT_INNER_H
#define TRANCHE_PREDICT_LOCAL_CONSTRAINT_INNER_H

#include <llguidance.h>
#include <pthread.h>

#include "predict/local/constraint.h"

enum constraint_state { CONSTRAINT_COMPILING, CONSTRAINT_READY, CONSTRAINT_REFUSED };

enum constraint_kind { CONSTRAINT_NONE, CONSTRAINT_JSON, CONSTRAINT_ENUM, CONSTRAINT_CALLS };

struct constraint {
    struct constraints *all;
    enum constraint_kind kind;
    bool google;         /* the schema's dialect */
    struct buf source;   /* the schema as compact JSON; of calls: the tools and who may be called */
    uint64_t used;       /* when last, by the count of uses */
    uint32_t references; /* guarded by all->lock, as state is until it is no longer COMPILING */
    enum constraint_state state;
    struct violation why; /* REFUSED */
    bool limits_names;    /* see schema_limits_names */
    struct arena arena;   /* of the names */
    struct str *name;     /* see schema_pattern_names */
    uint32_t name_count;
    LlgMatcher *matcher;     /* READY: at an answer's beginning; followers are clones of it */
    pthread_mutex_t cloning; /* guards matcher */
};

/* The vocabulary's texts: one piece after the other. */
struct pieces {
    uint32_t *len;  /* [vocab] */
    uint8_t *bytes; /* of all tokens */
    size_t *at;     /* [vocab]: where each begins */
};

struct constraints {
    struct runtime *runtime;
    enum call_format calls;
    pthread_mutex_t opening; /* guards the making of the two below, which change no more then */
    LlgTokenizer *tokenizer; /* NULL until the first schema */
    struct pieces pieces;
    uint32_t vocab;
    pthread_mutex_t lock; /* guards item, count, uses and each item's references and state */
    pthread_cond_t done;  /* an item is no longer COMPILING */
    struct constraint *item[CONSTRAINTS_MAX];
    uint32_t count;
    uint64_t uses;
};

#endif

/* dialect_case.h -- create bodies in tests, easy to read: ' stands for ". */
#ifndef TRANCHE_TESTS_DIALECT_CASE_H
#define TRANCHE_TESTS_DIALECT_CASE_H

#include "format/job/gemini.h"

#define LINES_MAX ((size_t)64 * 1024 * 1024)

/* One body read, with all that belongs to it. */
struct created {
    struct arena arena;
    struct job job;
    struct buf lines;
    struct error e;
    int rc;
};

static inline struct str quoted_body(struct arena *a, const char *text)
{
    char *copy = arena_copy(a, text, strlen(text));

    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    return str_of(copy);
}

static inline void created_vertex(struct created *c, const char *text)
{
    *c = (struct created){ .lines = BUF_INIT(LINES_MAX) };
    c->rc = vertex_read(&c->arena, quoted_body(&c->arena, text), &c->job, &c->e);
}

static inline void created_gemini(struct created *c, const char *text)
{
    *c = (struct created){ .lines = BUF_INIT(LINES_MAX) };
    c->rc = gemini_read(&c->arena, quoted_body(&c->arena, text), GEMINI_GENERATE, &c->job,
                        &c->lines, &c->e);
}

static inline void created_release(struct created *c)
{
    arena_release(&c->arena);
    buf_release(&c->lines);
}

#define assert_text(got, want) assert_string_equal(text_of(got), want)
/* The bytes with a NUL behind them, for messages; one at a time. */
static inline const char *text_of(struct str s)
{
    static char text[65536];
    size_t len = s.len < sizeof text ? s.len : sizeof text - 1;

    if (len)
        memcpy(text, s.p, len);
    text[len] = '\0';
    return text;
}

/* A refused body names the field and says what to do. */
#define assert_refused(c, words)                                                                   \
    do {                                                                                           \
        assert_int_equal((c)->rc, -1);                                                             \
        assert_int_equal((c)->e.code, ERROR_INVALID_ARGUMENT);                                     \
        if (!strstr((c)->e.msg, words))                                                            \
            fail_msg("\"%s\" is not in: %s", words, (c)->e.msg);                                   \
    } while (0)

#endif

/* openai_case.h -- a request of a test and what the OpenAI dialect makes of it.
 *
 * Shape:   as request_case.h: ' stands for ".
 */
#ifndef TRANCHE_TESTS_OPENAI_CASE_H
#define TRANCHE_TESTS_OPENAI_CASE_H

#include "format/openai/openai.h"
#include "unit/format/request/request_case.h"

#define BODY_BYTES_MAX ((size_t)64 * 1024 * 1024)

static inline int reading_setup(void **state)
{
    *state = mem_alloc(sizeof(struct reading));
    return 0;
}

static inline int reading_teardown(void **state)
{
    reading_release(*state);
    mem_free(*state);
    return 0;
}

static inline const struct request *read_request(struct reading *r, const char *line)
{
    reading_release(r);
    reading_run(r, str_of(line), false);
    if (!r->ok)
        fail_msg("%s: %s", r->bad.item[0].path, r->bad.item[0].message);
    return r->line.request;
}

/* "'contents':[one user text],EXTRA" */
static inline const struct request *read_with(struct reading *r, const char *extra)
{
    struct buf b = BUF_INIT(BODY_BYTES_MAX);

    buf_addf(&b, "{'contents':{'parts':{'text':'x'}}%s%s}", *extra ? "," : "", extra);
    const struct request *out = read_request(r, b.p);
    buf_release(&b);
    return out;
}

/* " for ' */
static inline struct buf unquoted(const char *text)
{
    struct buf b = BUF_INIT(BODY_BYTES_MAX);

    for (; *text; text++)
        buf_add_char(&b, *text == '\'' ? '"' : *text);
    return b;
}

#endif

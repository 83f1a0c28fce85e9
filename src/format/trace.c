#include "format/trace.h"

#include <string.h>

#define PARENT_AT (2 + 1 + TRACE_ID_BYTES - 1 + 1)
#define FLAGS_AT (PARENT_AT + 16 + 1)
#define HEADER_BYTES (FLAGS_AT + 2)

static bool is_hex(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return true;
}

static bool is_zero(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != '0')
            return false;
    return true;
}

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return true;
}

void trace_read(struct str traceparent, struct str tracestate, struct trace *out)
{
    struct str version = str_sub(traceparent, 0, 2), id = str_sub(traceparent, 3, 32);
    struct str parent = str_sub(traceparent, PARENT_AT, 16);
    struct str flags = str_sub(traceparent, FLAGS_AT, 2);

    *out = (struct trace){ .sampled = false };
    if (traceparent.len < HEADER_BYTES || traceparent.p[2] != '-' ||
        traceparent.p[PARENT_AT - 1] != '-' || traceparent.p[FLAGS_AT - 1] != '-' ||
        !is_hex(version) || !is_hex(id) || !is_hex(parent) || !is_hex(flags) || is_zero(id) ||
        is_zero(parent) || str_eq_c(version, "ff"))
        return;
    if (traceparent.len > HEADER_BYTES &&
        (str_eq_c(version, "00") || traceparent.p[HEADER_BYTES] != '-'))
        return;
    memcpy(out->id, id.p, id.len);
    out->sampled = strchr("13579bdf", flags.p[1]) != NULL;
    if (tracestate.len < TRACE_STATE_BYTES && is_printable(tracestate))
        memcpy(out->state, tracestate.p, tracestate.len);
}

void trace_of_text(struct str text, struct trace *out)
{
    size_t end = str_find(text, STR("\n"));

    trace_read(str_sub(text, 0, end), str_sub(text, end == SIZE_MAX ? text.len : end + 1, text.len),
               out);
}

void trace_write(const struct trace *t, uint64_t parent, struct buf *out)
{
    buf_addf(out, "traceparent: 00-%s-%016llx-%02x", t->id,
             (unsigned long long)(parent ? parent : 1), t->sampled);
    if (t->state[0])
        buf_addf(out, "\ntracestate: %s", t->state);
}

#include "engine/lines/ingest.h"

#include <stdio.h>
#include <string.h>

static bool model_accepts(struct str text, const struct ingest_options *o,
                          const struct input_line *in, struct violations *bad);

bool ingest_line(struct arena *a, struct str text, const struct ingest_options *o,
                 struct input_line *out, struct violations *bad)
{
    return request_read_line(a, text, &o->rules, out, bad) && model_accepts(text, o, out, bad);
}

void ingest_overlong(struct violations *bad)
{
    bad->count = 0;
    struct violation *v = violations_add(bad);
    *v = (struct violation){ 0 };
    (void)snprintf(v->message, sizeof v->message, "The line is over %zu MiB.",
                   LINE_BYTES_MAX >> 20);
    (void)snprintf(v->remedy, sizeof v->remedy,
                   "Shorten it, or refer to large media by fileData.fileUri.");
}

void ingest_error(const struct violations *bad, struct error *e)
{
    const struct violation *v = &bad->item[0];

    (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s%s%s %s", v->path, v->path[0] ? ": " : "",
                    v->message, v->remedy);
}

/* Puts "request" before a path that is relative to the request, if the line wraps it. */
static void make_absolute(struct str text, const struct input_line *in, struct violation *v)
{
    char relative[VIOLATION_PATH_BYTES];

    if (in->request_text.p == str_trim(text).p)
        return;
    memcpy(relative, v->path, sizeof relative);
    const char *dot = relative[0] == '\0' || relative[0] == '[' ? "" : ".";
    /* A path too long is cut: the offset stays exact. */
    int n = snprintf(v->path, sizeof v->path, "request%s%s", dot, relative);
    if (n >= (int)sizeof v->path)
        v->path[sizeof v->path - 1] = '\0';
}

static bool model_accepts(struct str text, const struct ingest_options *o,
                          const struct input_line *in, struct violations *bad)
{
    struct violation why = { 0 };

    if (!o->predictor || !o->predictor->ops->accepts ||
        o->predictor->ops->accepts(o->predictor, in->request, &why))
        return true;
    size_t request_at = (size_t)(in->request_text.p - text.p);
    why.offset = request_at + json_locate(in->request_text, str_of(why.path));
    make_absolute(text, in, &why);
    *violations_add(bad) = why;
    return false;
}

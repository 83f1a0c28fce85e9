#include "options.h"

#include <assert.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define OPTION_FIRST 256
#define OPTION_COUNT_MAX 32

enum option_type { TYPE_NUMBER, TYPE_TEXT, TYPE_FLAG, TYPE_FAULT };

#define AT(member) offsetof(struct options, member)

static const struct option_spec {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *value, *about;
} specs[] = {
    { "port", TYPE_NUMBER, AT(port), "N", "0: a free one; the first line printed names it" },
    { "latency-ms", TYPE_NUMBER, AT(latency_ms), "N", "from a request to its answer" },
    { "jitter-ms", TYPE_NUMBER, AT(jitter_ms), "N", "up to so much more" },
    { "token-us", TYPE_NUMBER, AT(token_us), "N", "more for each token of the answer" },
    { "tokens", TYPE_NUMBER, AT(tokens), "N", "of an answer (16)" },
    { "slots", TYPE_NUMBER, AT(slots), "N", "requests worked at once, others wait (0: no bound)" },
    { "queue", TYPE_NUMBER, AT(queue), "N", "requests that may wait (no bound)" },
    { "busy-status", TYPE_NUMBER, AT(busy_status), "N", "for any more: 429 or 503 (429)" },
    { "rpm", TYPE_NUMBER, AT(rpm), "N", "requests a window, 429 for any more (0: no bound)" },
    { "window-ms", TYPE_NUMBER, AT(window_ms), "N", "of --rpm (60000)" },
    { "retry-after-ms", TYPE_NUMBER, AT(retry_after_ms), "N",
      "said by faults and a full queue (1000; 0: nothing is said); the header has whole seconds, "
      "rounded up" },
    { "prefix-cache", TYPE_NUMBER, AT(prefix_cache), "K", "system messages remembered (0)" },
    { "prefill-ms", TYPE_NUMBER, AT(prefill_ms), "N", "less for one that is remembered" },
    { "dialect", TYPE_TEXT, AT(dialect), "NAME", "openai, gemini or both (both)" },
    { "model", TYPE_TEXT, AT(model), "NAME", "what answers are of (stub)" },
    { "key", TYPE_TEXT, AT(key), "KEY", "401 without it, as a bearer or x-goog-api-key" },
    { "no-echo", TYPE_FLAG, AT(no_echo), NULL, "do not repeat the last user text" },
    { "say", TYPE_FLAG, AT(say), NULL,
      "answer with the last user text itself; of A||B with A first, with B when it comes again; "
      "[cut] "
      "at its end: as if cut by max_tokens" },
    { "fault", TYPE_FAULT, 0, "KIND:RATE[:TIMES]", "see below; can be given again" },
    { "drip-ms", TYPE_NUMBER, AT(drip_ms), "N", "between the bytes of slow-drip (100)" },
    { "seed", TYPE_NUMBER, AT(seed), "N", "of faults and jitter (1)" },
    { "with-parent", TYPE_FLAG, AT(with_parent), NULL, "end when the starting process does" },
    { "help", TYPE_FLAG, AT(help), NULL, "this" },
};
#define SPEC_COUNT (ARRAY_LEN(specs))
static_assert(SPEC_COUNT < OPTION_COUNT_MAX, "getopt's table needs an end");

static void *member(struct options *o, const struct option_spec *s)
{
    return (char *)o + s->offset;
}

static int fault_option(const char *text, struct faults *f, struct error *e)
{
    const char *colon = strchr(text, ':');

    if (!colon)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--fault %s: KIND:RATE[:TIMES]", text);
    struct str kind = { text, (size_t)(colon - text) };
    if (faults_set(f, kind, str_of(colon + 1), e) < 0)
        return error_wrap(e, "--fault %s", text);
    return 0;
}

static int store(const struct option_spec *s, const char *text, struct options *o, struct faults *f,
                 struct error *e)
{
    switch (s->type) {
    case TYPE_NUMBER:
        if (!str_number(str_of(text), member(o, s)))
            return error_set(e, ERROR_INVALID_ARGUMENT, "--%s takes a number", s->name);
        return 0;
    case TYPE_TEXT:
        *(const char **)member(o, s) = text;
        return 0;
    case TYPE_FLAG:
        *(bool *)member(o, s) = true;
        return 0;
    case TYPE_FAULT:
        return fault_option(text, f, e);
    }
    return 0;
}

static int check(const struct options *o, struct error *e)
{
    if (o->port > UINT16_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--port: at most 65535");
    if (o->busy_status != 429 && o->busy_status != 503)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--busy-status: 429 or 503");
    if (o->dialect && strcmp(o->dialect, "openai") != 0 && strcmp(o->dialect, "gemini") != 0 &&
        strcmp(o->dialect, "both") != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--dialect: openai, gemini or both");
    return 0;
}

int options_parse(int argc, char **argv, struct options *out, struct faults *f, struct error *e)
{
    struct option table[OPTION_COUNT_MAX] = { 0 };
    int value;

    *out = (struct options){ .seed = 1,
                             .tokens = 16,
                             .queue = UINT64_MAX,
                             .busy_status = 429,
                             .window_ms = 60000,
                             .retry_after_ms = 1000,
                             .drip_ms = 100,
                             .model = "stub" };
    faults_init(f, 0);
    for (size_t i = 0; i < SPEC_COUNT; i++)
        table[i] = (struct option){ .name = specs[i].name,
                                    .has_arg = specs[i].type != TYPE_FLAG,
                                    .val = OPTION_FIRST + (int)i };
    while ((value = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (value < OPTION_FIRST)
            return error_set(e, ERROR_INVALID_ARGUMENT, "see --help");
        if (store(&specs[value - OPTION_FIRST], optarg, out, f, e) < 0)
            return -1;
    }
    if (optind < argc)
        return error_set(e, ERROR_INVALID_ARGUMENT, "'%s' is not expected", argv[optind]);
    f->seed = out->seed;
    return check(out, e);
}

void options_help(void)
{
    printf("usage: upstream_stub [OPTION]...\n\n"
           "An inference server without a model, in OpenAI's and Gemini's dialects, for tests and "
           "benches.\n\n");
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        const char *value = specs[i].value ? specs[i].value : "";
        printf("  --%s %-*s %s\n", specs[i].name, (int)(28 - strlen(specs[i].name)), value,
               specs[i].about);
    }
    printf("\nkinds of faults:\n");
#define X(kind, name, works, about) printf("  %-14s %s\n", name, about);
    FAULT_KINDS(X)
#undef X
    printf("\nGET /stub/stats, POST /stub/reset, POST /stub/faults?KIND=RATE[:TIMES]&...\n");
}

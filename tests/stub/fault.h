/* fault.h -- which requests are answered badly, and how.
 *
 * Why: a client is judged by what it makes of a broken server, so every way of breaking can be asked
 * for, and comes again in the next run with the same seed.
 *
 * Shape:   a rule a kind: a rate, and for how many attempts. With `times` a body is faulty by chance
 *          and then for its first so many attempts; without, each attempt is by its own chance.
 *          The chance is made of the seed, the kind, the body's hash and the attempt's number.
 *          Of several kinds that hit, the first in the table below counts.
 * Limits:  ATTEMPTS_MAX bodies are remembered; any more count as seen for the first time.
 * Threads: none.
 */
#ifndef TRANCHE_STUB_FAULT_H
#define TRANCHE_STUB_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

// clang-format off
#define FAULT_KINDS(X)                                                                              \
    /* kind         name            works  what the client sees                                 */  \
    X(SLOW_DRIP,    "slow-drip",    true,  "a byte of the body every --drip-ms")                    \
    X(HANG,         "hang",         true,  "nothing, ever")                                         \
    X(RESET,        "reset",        true,  "half an answer, then RST")                              \
    X(TRUNCATED,    "truncated",    true,  "half of what Content-Length promised, then the end")    \
    X(BAD_JSON,     "bad-json",     true,  "half of an answer, with the right length")              \
    X(WRONG_LENGTH, "wrong-length", true,  "a Content-Length 7 too small or too large, kept alive") \
    X(ENDLESS,      "endless",      true,  "a chunked body that never ends")                        \
    X(BAD_UTF8,     "bad-utf8",     true,  "bytes in the text that are no UTF-8")                   \
    X(ERROR_200,    "error-200",    true,  "200 with an error object")                              \
    X(EMPTY,        "empty",        true,  "200 without a candidate or a choice")                   \
    X(DUPLICATE,    "duplicate",    true,  "two replies to one request, kept alive")                \
    X(REFUSE,       "refuse",       false, "a connection that is closed before any byte")           \
    X(TLS,          "tls",          false, "a TLS alert instead of HTTP")                           \
    X(WRONG_MODEL,  "wrong-model",  false, "404, in the dialect's words for an unknown model")      \
    X(HTTP_400,     "http-400",     false, "400: the request is wrong")                             \
    X(HTTP_429,     "http-429",     false, "429 with Retry-After")                                  \
    X(HTTP_500,     "http-500",     false, "500")                                                   \
    X(HTTP_502,     "http-502",     false, "502 with the HTML page of a proxy")                     \
    X(HTTP_503,     "http-503",     false, "503 with Retry-After")                                  \
    X(HUGE_HEAD,    "huge-head",    false, "a megabyte of headers")
// clang-format on

enum fault_kind {
#define X(kind, name, works, about) FAULT_##kind,
    FAULT_KINDS(X)
#undef X
        FAULT_COUNT,
    FAULT_NONE = FAULT_COUNT
};

#define ATTEMPTS_MAX (1U << 22)

struct fault_rule {
    double rate;    /* 0: off; up to 1 */
    uint32_t times; /* 0: no bound */
};
struct attempts; /* how often each body came */
struct faults {
    struct fault_rule rule[FAULT_COUNT];
    uint64_t seed;
    struct attempts *attempts;
};

void faults_init(struct faults *f, uint64_t seed);
void faults_release(struct faults *f);
void faults_forget(struct faults *f); /* the attempts, not the rules */
/* "KIND" = rate text: "0.01", "1%", "1%:2". INVALID_ARGUMENT when there is no such kind or rate. */
int faults_set(struct faults *f, struct str kind, struct str rate, struct error *e) FALLIBLE;
/* Counts an attempt of the body with that hash, and says what is wrong with its answer. */
enum fault_kind faults_meet(struct faults *f, uint64_t hash, uint32_t *attempt);
uint64_t faults_bodies(const struct faults *f); /* different ones so far */

const char *fault_name(enum fault_kind kind);
bool fault_works(enum fault_kind kind); /* takes a slot and its time, as a good answer does */

/* A number that looks like chance: SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t chance_of(uint64_t hash, uint64_t salt);

#endif

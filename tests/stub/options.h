/* options.h -- what the stub is told: a table of options, from which --help comes too.
 *
 * Threads: constant after start, but the faults' rules, which are server.h's.
 */
#ifndef TRANCHE_STUB_OPTIONS_H
#define TRANCHE_STUB_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "fault.h"

struct options {
    uint64_t port, seed;
    uint64_t latency_ms, jitter_ms, token_us, tokens;
    uint64_t slots, queue, busy_status; /* queue: UINT64_MAX: no bound */
    uint64_t rpm, window_ms, retry_after_ms;
    uint64_t prefix_cache, prefill_ms, drip_ms;
    const char *key, *model, *dialect; /* NULL: none, "stub", both */
    bool no_echo, say, with_parent, help;
};

/* The faults' rules go to f, which is initialized here with the seed. */
int options_parse(int argc, char **argv, struct options *out, struct faults *f,
                  struct error *e) FALLIBLE;
void options_help(void);

#endif

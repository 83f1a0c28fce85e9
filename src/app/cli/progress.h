/* progress.h -- what a person sees while a run works.
 *
 * Why: one glance must say how far, how fast, until when, what failed, and what it costs. On a
 * terminal that is a display of three lines, redrawn in place; elsewhere a log line every few
 * seconds.
 *
 * Shape:   progress_show is called often and draws when it is time; progress_clear removes the
 *          display before anything else is printed.
 *          Lines never wrap: what does not fit is left out, the least important first.
 * Threads: the pipeline's.
 */
#ifndef TRANCHE_APP_CLI_PROGRESS_H
#define TRANCHE_APP_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/terminal.h"
#include "engine/lines/pipeline.h"

#define PROGRESS_DRAW_MS 200
#define PROGRESS_LOG_MS 5000
#define PROGRESS_LINES 3
#define PROGRESS_BYTES_MAX ((size_t)8192)

/* Means of the last seconds. */
struct speed {
    double lines, prompt, generated; /* a second */
};

struct progress_view {
    const struct terminal *terminal;
    const char *title; /* "model -> output" */
    bool priced;
    const atomic_bool *stop;
    bool stop_logged;     /* the log has said that it stops */
    bool drawn;           /* the display is on the terminal */
    uint64_t shown_ns;    /* elapsed when last drawn or logged */
    uint64_t measured_ns; /* elapsed when speed was last brought up to date */
    struct progress last; /* at measured_ns */
    struct speed speed;
};

void progress_show(struct progress_view *v, const struct progress *p);
void progress_clear(struct progress_view *v);

/* The display for this width, without escape sequences for moving; for progress_show and tests. */
void progress_draw(const struct progress_view *v, const struct progress *p, uint32_t width,
                   struct buf *out);

#endif

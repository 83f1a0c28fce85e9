/* ledger.h -- how lines ended: their rows, what they cost, and when they become durable.
 *
 * Why: one place makes rows of answers, failures and copies, so that usage, cost and code are written
 * by one rule: an answer costs, a copy of one saves, a kept one of an earlier run saves too, a failure is
 * free. The price of an answer that was refused is counted apart.
 *
 * Shape:   rows gather in the spool's open group; ledger_commit makes them durable, all or none.
 * Errors:  the spool's; after one, the group is gone and its lines are pending again.
 * Threads: one owner, the pipeline or closeout.
 */
#ifndef TRANCHE_ENGINE_LINES_LEDGER_H
#define TRANCHE_ENGINE_LINES_LEDGER_H

#include "base/clock.h"
#include "engine/lines/line_index.h"
#include "engine/lines/window.h"
#include "format/job/price.h"
#include "predict/predictor.h"
#include "store/kept/kept.h"
#include "store/spool/spool.h"

/* The kept answers that a run may use again, and which model made them. */
struct reuse {
    struct kept *kept; /* borrowed; NULL: none */
    uint64_t model[2];
};

struct ledger {
    struct spool *spool;
    struct price price;
    struct clock *clock;
    struct reuse reuse;    /* set after ledger_init */
    struct buf scratch;    /* a status, or a copied response */
    uint32_t rows;         /* in the open group, refused answers too */
    uint64_t group_due_ns; /* when the open group must be committed; when rows > 0 */
};
void ledger_init(struct ledger *g, struct spool *s, const struct price *price, struct clock *clock);
void ledger_release(struct ledger *g);

/* The line and its followers are answered. */
int ledger_answer(struct ledger *g, const struct open_line *l, const struct answer *a,
                  struct error *e) FALLIBLE;
/* An answer was refused: it has no row, but a price. */
int ledger_reject(struct ledger *g, const struct answer *a, struct error *e) FALLIBLE;
int ledger_failure(struct ledger *g, uint64_t index, const struct error *why,
                   struct error *e) FALLIBLE;
/* The line was not run, and why. */
int ledger_not_run(struct ledger *g, uint64_t index, const struct error *why,
                   struct error *e) FALLIBLE;
/* Copies the answer of an identical line: 1, or 0 when none has one. */
int ledger_copy(struct ledger *g, const struct open_line *l, struct error *e) FALLIBLE;

/* Takes the kept answer of the line that ingest noted so: 1, or 0 when none is kept. */
int ledger_kept(struct ledger *g, uint64_t index, const struct line_note *note,
                struct error *e) FALLIBLE;

bool ledger_due(const struct ledger *g, uint64_t now_ns);
int ledger_commit(struct ledger *g, struct error *e) FALLIBLE;

#endif

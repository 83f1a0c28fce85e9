/* jobs_inner.h -- what the files about jobs, events and webhooks share. Nothing outside src/store
 * includes it.
 *
 * Why: a job's row has many columns. JOB_FIELDS says once which member each column is, and every INSERT,
 * SELECT and UPDATE of many columns is made from it.
 *
 * Rule:    a change of a job's state names the state it is from in WHERE, and calls event_add in the same
 *          transaction; job_notify follows after the commit, outside of every lock.
 */
#ifndef TRANCHE_STORE_JOBS_JOBS_INNER_H
#define TRANCHE_STORE_JOBS_JOBS_INNER_H

#include <assert.h>

#include "store/jobs/jobs.h"
#include "store/jobs/webhooks.h"
#include "store/objects/objects_inner.h"

// clang-format off
/* X(column, kind, member of struct job). The groups are runs of columns that are written together. */
#define JOB_IDENTITY(X)                                                                           \
    X(batch, CHARS, batch)               X(dialect, ENUM, dialect)                                 \
    X(source, ENUM, source)              X(project, CHARS, project)                                \
    X(location, CHARS, location)         X(open, FLAG, open)                                       \
    X(request_id, TEXT, request_id)      X(retry_of, NUMBER, retry_of)                             \
    X(model, TEXT, model)                X(create_us, NUMBER, create_us)                           \
    X(queue_us, NUMBER, queue_us)        X(start_us, NUMBER, start_us)                             \
    X(ran_us, NUMBER, ran_us)            X(stretch_us, NUMBER, stretch_us)                         \
    X(fence, NUMBER, fence)              X(webhook, TEXT, webhook)                                 \
    X(test, TEXT, test)                  X(spec, TEXT, spec)                                       \
    X(trace, TEXT, trace)
#define JOB_CONTROL(X)                                                                            \
    X(state, ENUM, state)                X(wish, ENUM, asked)                                      \
    X(priority, NUMBER, priority)        X(display_name, TEXT, display_name)                       \
    X(validate_only, FLAG, options.validate_only) X(strict, FLAG, options.strict)                  \
    X(reuse, FLAG, options.reuse)                                                                  \
    X(budget_nano, NUMBER, options.budget_nano) X(budget_tokens, NUMBER, options.budget_tokens)    \
    X(error_rate_max, REAL, options.error_rate_max)                                                \
    X(error_lines_min, NUMBER, options.error_lines_min)                                            \
    X(pause_reason, TEXT, pause_reason)  X(end_us, NUMBER, end_us)                                 \
    X(update_us, NUMBER, update_us)
#define JOB_COUNTERS(X)                                                                              \
    X(total, NUMBER, counters.total)        X(succeeded, NUMBER, counters.succeeded)                     \
    X(failed, NUMBER, counters.failed)      X(not_run, NUMBER, counters.not_run)                         \
    X(duplicates, NUMBER, counters.duplicates) X(reused, NUMBER, counters.reused)                     \
    X(reused_tokens, NUMBER, counters.reused_tokens)                                                  \
    X(prompt_tokens, NUMBER, counters.prompt_tokens) X(cached_tokens, NUMBER, counters.cached_tokens)    \
    X(candidate_tokens, NUMBER, counters.candidate_tokens)                                            \
    X(thought_tokens, NUMBER, counters.thought_tokens)                                                \
    X(duplicate_tokens, NUMBER, counters.duplicate_tokens)                                            \
    X(structured, NUMBER, counters.structured) X(complete, NUMBER, counters.complete)                   \
    X(forced_tokens, NUMBER, counters.forced_tokens) X(rejected, NUMBER, counters.rejected)             \
    X(rejected_tokens, NUMBER, counters.rejected_tokens)                                              \
    X(rejected_cost_nano, NUMBER, counters.rejected_cost_nano)                                        \
    X(cost_nano, NUMBER, counters.cost_nano) X(cost_online_nano, NUMBER, counters.cost_online_nano)
#define JOB_FIGURES(X)                                                                            \
    X(bad, NUMBER, bad)                  X(input_bytes, NUMBER, input_bytes)                       \
    X(text_bytes, NUMBER, text_bytes)    X(output_max, NUMBER, output_max)                         \
    X(output_unset, NUMBER, output_unset)
#define JOB_ENDING(X)                                                                             \
    X(error, ENUM, error)                X(error_message, TEXT, error_message)                     \
    X(output, TEXT, output)              X(result, NUMBER, result)
#define JOB_FIELDS(X) JOB_IDENTITY(X) JOB_CONTROL(X) JOB_COUNTERS(X) JOB_FIGURES(X) JOB_ENDING(X)
// clang-format on

/* States and requests as statements name them. */
#define SQL_PENDING "0"
#define SQL_QUEUED "1"
#define SQL_RUNNING "2"
#define SQL_PAUSED "3"
#define SQL_CANCELLING "4"
#define SQL_OPEN "state < 5" /* not final; so do the indexes say */
#define SQL_ASKED_NOTHING "0"
#define SQL_ASKED_PAUSE "2"
#define SQL_ASKED_REMOVE "3"
static_assert(JOB_PENDING == 0 && JOB_QUEUED == 1 && JOB_RUNNING == 2 && JOB_PAUSED == 3 &&
                  JOB_CANCELLING == 4 && JOB_SUCCEEDED == 5,
              "the statements and the indexes name states by number");
#define SQL_WAITS "0" /* of a delivery */
#define SQL_GIVEN_UP "2"
static_assert(DELIVERY_WAITS == 0 && DELIVERY_GIVEN_UP == 2,
              "the statements name states by number");
static_assert(ASKED_NOTHING == 0 && ASKED_PAUSE == 2 && ASKED_REMOVE == 3,
              "the statements name requests by number");

enum job_field {
#define X(column, kind, member) FIELD_##column,
    JOB_FIELDS(X)
#undef X
        JOB_FIELD_COUNT
};

#define JOB_COMMA(column, kind, member) ", " #column
#define JOB_SET(column, kind, member) #column " = ?, "
#define JOB_COLUMNS "id" JOB_FIELDS(JOB_COMMA)

/* A row of JOB_COLUMNS. */
void job_row(struct stmt *q, struct arena *a, struct job *out);
/* Binds the members of fields [from, to] from parameter `first` on; the number after them. */
int job_bind(struct stmt *q, int first, const struct job *j, enum job_field from,
             enum job_field to);
/* Microseconds of the present stretch are added to what the job ran before; a clock that went back adds
 * none. Takes two parameters, both now. */
#define STRETCH_ENDS                                                                               \
    "ran_us = ran_us + CASE WHEN stretch_us != 0 AND ? > stretch_us THEN ? - stretch_us ELSE 0 "   \
    "END,"                                                                                         \
    " stretch_us = 0, wish = CASE wish WHEN " SQL_ASKED_REMOVE                                     \
    " THEN wish ELSE " SQL_ASKED_NOTHING " END"
/* QUEUED -> RUNNING under the next fence, in a transaction with the right to write of the whole store. */
int job_begin_in(struct db *d, struct job *j, int64_t now_us, struct error *e) FALLIBLE;
/* Inside a transaction or not: NOT_FOUND when there is none, or it is another project's. */
int job_find(struct db *d, struct arena *a, const char *project, int64_t id, struct job *out,
             struct error *e) FALLIBLE;
/* The states that may become `to`, as a set: bit n is state n. */
unsigned job_states_before(enum job_state to);
/* The error of a write that changed no row: NOT_FOUND, ABORTED when another runner has the job, else
 * FAILED_PRECONDITION. fence 0: the write expected no runner; JOB_NO_FENCE: it did not care. Returns -1. */
#define JOB_NO_FENCE (-1)
int job_refused(struct db *d, int64_t id, int64_t fence, struct error *e);
/* Adds an input at a position, after blob_keep_in. */
int job_input_add(struct store *s, struct db *d, int64_t id, uint32_t position,
                  const struct job_input *in, struct error *e) FALLIBLE;

/* The same with its row locked until the end of the transaction. */
int job_lock(struct db *d, struct arena *a, const char *project, int64_t id, struct job *out,
             struct error *e) FALLIBLE;

/* Writes the event of a job that has come to this state, and a delivery for each webhook that subscribed
 * to it. */
int event_add(struct db *d, int64_t id, enum job_state state, int64_t now_us,
              struct error *e) FALLIBLE;
int deliveries_add(struct db *d, int64_t id, int64_t event_seq, enum job_state state,
                   int64_t now_us, struct error *e) FALLIBLE;
/* Calls the function of jobs_on_change. After the commit, under no lock. */
void job_notify(struct store *s, int64_t id);

#endif

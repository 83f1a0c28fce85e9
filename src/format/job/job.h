/* job.h -- a batch job as every layer sees it: its states as a table, and its record.
 *
 * Why: two dialects show the same job, the store keeps it, the scheduler moves it. The names of a
 * state, and the states that may follow it (I3), stand once.
 *
 * Shape:   struct job is a value whose texts lie in the arena that it was read into.
 * Units:   times in microseconds since 1970, 0: not yet; money in nano-dollars.
 * Threads: none; values.
 * Source:  docs/reference/jobs.md; Vertex AI JobState, Gemini API BatchState.
 */
#ifndef TRANCHE_FORMAT_JOB_JOB_H
#define TRANCHE_FORMAT_JOB_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "format/usage.h"

#define TO(state) (1U << JOB_##state)
/* A state, the states that may follow it, its number in Vertex' enum, its name there and in the
 * Gemini API. The numbers of the enum are in the store's file: never reuse one. */
// clang-format off
#define JOB_STATES(X)                                                                           \
    X(PENDING,    0, TO(QUEUED) | TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED) | TO(EXPIRED),     \
      "JOB_STATE_PENDING",    "BATCH_STATE_PENDING")   /* its input is not checked yet */       \
    X(QUEUED,     1, TO(RUNNING) | TO(PAUSED) | TO(CANCELLING) | TO(FAILED) | TO(CANCELLED) |   \
      TO(EXPIRED),                                                                              \
      "JOB_STATE_QUEUED",     "BATCH_STATE_PENDING")   /* waits for capacity */                 \
    X(RUNNING,    2, TO(QUEUED) | TO(PAUSED) | TO(CANCELLING) | TO(SUCCEEDED) | TO(FAILED) |    \
      TO(CANCELLED) | TO(EXPIRED),                                                              \
      "JOB_STATE_RUNNING",    "BATCH_STATE_RUNNING")                                            \
    X(PAUSED,     3, TO(QUEUED) | TO(CANCELLING) | TO(FAILED) | TO(CANCELLED) | TO(EXPIRED),    \
      "JOB_STATE_PAUSED",     "BATCH_STATE_PENDING")                                            \
    X(CANCELLING, 4, TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED),                                \
      "JOB_STATE_CANCELLING", "BATCH_STATE_RUNNING")                                            \
    X(SUCCEEDED,  5, 0, "JOB_STATE_SUCCEEDED",  "BATCH_STATE_SUCCEEDED")                        \
    X(FAILED,     6, 0, "JOB_STATE_FAILED",     "BATCH_STATE_FAILED")                           \
    X(CANCELLED,  7, 0, "JOB_STATE_CANCELLED",  "BATCH_STATE_CANCELLED")                        \
    X(EXPIRED,    8, 0, "JOB_STATE_EXPIRED",    "BATCH_STATE_EXPIRED")
// clang-format on

enum job_state {
#define X(name, number, next, vertex, gemini) JOB_##name = (number),
    JOB_STATES(X)
#undef X
        JOB_STATE_COUNT
};

const char *job_state_name(enum job_state s);   /* "RUNNING" */
const char *job_state_vertex(enum job_state s); /* "JOB_STATE_RUNNING" */
const char *job_state_gemini(enum job_state s); /* "BATCH_STATE_RUNNING" */
bool job_state_may(enum job_state from, enum job_state to);
bool job_state_final(enum job_state s);
/* "JOB_STATE_RUNNING", "BATCH_STATE_..." or "RUNNING"; false when there is none. */
bool job_state_read(struct str name, enum job_state *out);

enum dialect { DIALECT_VERTEX = 0, DIALECT_GEMINI = 1 };
/* The kind of input and output. */
enum job_source { JOB_OBJECTS = 0, JOB_FILE = 1, JOB_INLINE = 2 };
/* A request to a running job, which obeys it at its next step. */
enum job_asked {
    ASKED_NOTHING = 0,
    ASKED_CANCEL = 1,
    ASKED_PAUSE = 2,
    ASKED_REMOVE = 3 /* cancelled, and deleted at its end; clients see the job no more */
};

#define JOB_BATCH_ID_BYTES 37 /* 36 characters of [a-z0-9] and a NUL */
#define PROJECT_BYTES 64
#define LOCATION_BYTES 64

/* Options of the submitter beyond Google's resource, under its key "tranche". 0: not given. */
struct job_options {
    bool validate_only;
    bool strict;            /* a line that is bad or has a warning fails the job before any work */
    bool reuse;             /* use the project's kept answers, and keep those of this job */
    uint64_t budget_nano;   /* at the batch price; 0: none */
    uint64_t budget_tokens; /* prompt and generated ones; 0: none */
    double error_rate_max;  /* share of ended lines that may fail; 0: not checked */
    uint64_t error_lines_min; /* lines that must have ended before it is checked (default 100) */
};

struct job {
    int64_t id; /* increasing with the time of creation; Vertex' name ends with it */
    char batch[JOB_BATCH_ID_BYTES]; /* names it in the Gemini dialect; "" in the other */
    enum dialect dialect;
    enum job_source source;
    char project[PROJECT_BYTES], location[LOCATION_BYTES];
    bool open; /* made where no keys are: may use every project's objects */
    enum job_state state;
    enum job_asked asked;
    int64_t priority;        /* higher goes first; 0 is usual */
    struct str model;        /* as sent: "publishers/google/models/gemini-2.5-flash" */
    struct str display_name; /* as sent, or empty */
    struct str spec;         /* the create body's JSON object without "tranche", as vertex.h and
                              * gemini.h wrote it: what a resource echoes */
    struct str webhook;      /* webhookConfig as JSON, or empty */
    struct str test;         /* --test-clock: scripted outcome of all its requests, or empty */
    struct str trace;        /* of its creation, as trace_of_text reads it; or empty */
    struct job_options options;
    struct str request_id; /* for idempotent creation, or empty */
    int64_t retry_of;      /* the job whose failures this one runs again; 0: none */

    int64_t create_us, queue_us /* checked and waiting */, start_us /* first running */, end_us,
        update_us;
    int64_t ran_us;     /* running time before the present stretch */
    int64_t stretch_us; /* when the present stretch of running began; 0: it does not run */
    struct counters counters;
    uint64_t bad;                      /* lines that are invalid, of counters.total */
    uint64_t input_bytes, text_bytes;  /* of the input; of the prompts: for estimates */
    uint64_t output_max, output_unset; /* as ingest counts them: for estimates */
    enum error_code error;
    struct str error_message;
    struct str pause_reason; /* of a PAUSED job: "asked", "budget", "errors", "drain" or empty */
    struct str output; /* where the result is: "gs://bucket/dir" of it, "files/batch-...", or "" */
    int64_t result;    /* blob id of the finished result; 0: none yet */
    int64_t fence;     /* grows with each stretch of running; only its holder may write (I4) */
};

/* An upstream server of a running job's model. */
#define JOB_UPSTREAMS_MAX 8
#define JOB_UPSTREAM_NAME_BYTES 64
struct job_upstream {
    char name[JOB_UPSTREAM_NAME_BYTES];
    const char *health; /* constant */
    uint32_t in_flight, concurrency;
    double requests_per_s, tokens_per_s, latency_s;
};

/* Live facts of a job besides its record: for the key "tranche" of its resource. */
struct job_live {
    int64_t
        progress_us; /* the counters are of then, when several processes record them; 0: of now */
    bool running, has_eta;
    double lines_per_s, prompt_tokens_per_s, generated_tokens_per_s;
    double eta_s, eta_low_s, eta_high_s; /* of the rest; the band holds nine times in ten */
    uint64_t retries, reused_tokens;     /* of this stretch */
    uint32_t in_flight;
    bool queued;
    uint64_t position;                                 /* jobs before it; with queued */
    uint64_t cost_estimate_nano, online_estimate_nano; /* of the whole job; 0 when unknown */
    uint64_t tokens_estimate;
    struct job_upstream upstream[JOB_UPSTREAMS_MAX]; /* of all jobs together; while it runs */
    uint32_t upstream_count;
};

#endif

/* webhooks.h -- subscriptions to the ends of jobs, and the outbox of their deliveries.
 *
 * Why: a delivery is written in the transaction that changed the job, so a crash loses none; it is
 * tried until its receiver takes it or it is too old, and it can be replayed.
 *
 * Shape:   registered webhooks of a project (the Gemini API's `webhooks` resource), and a job's own
 *          (webhookConfig), which replace them for that job. The outbox has a row for each target and
 *          event.
 *          A body is {"type": "batch.succeeded", "version": "v1", "timestamp": RFC 3339, "data":
 *          {"id": the job's resource name, "output_file_uri": where the result is, or "error_code"
 *          and "error_message"}}, and "user_metadata" of a job's own webhookConfig.
 * Errors:  NOT_FOUND, also for another project's; RESOURCE_EXHAUSTED over WEBHOOKS_MAX;
 *          INVALID_ARGUMENT over the other limits.
 * Threads: all.
 * Source:  google-genai's client.webhooks; docs/reference/webhooks.md
 */
#ifndef TRANCHE_STORE_JOBS_WEBHOOKS_H
#define TRANCHE_STORE_JOBS_WEBHOOKS_H

#include "format/job/job.h"
#include "store/store.h"

#define WEBHOOK_ID_BYTES 40
#define WEBHOOK_URI_MAX 2048
#define WEBHOOKS_MAX 100 /* of one project */
/* Retention of deliveries that have ended, for the list and for replays. */
#define DELIVERY_KEPT_S ((int64_t)30 * 24 * 3600)
#define WEBHOOK_EVENTS_MAX 32

struct webhook {
    char id[WEBHOOK_ID_BYTES];
    struct str project;
    struct str spec; /* the resource's JSON as the api wrote it: name, uri, subscribed events... */
    struct str uri;
    struct str events;     /* names of events between commas, or empty: all */
    struct str secret;     /* signing secret, as the client gets it at creation */
    struct str secret_old; /* during rotation, or empty */
    int64_t secret_old_until_us;
    bool enabled;
    int64_t create_us, update_us;
};
int webhook_put(struct store *s, struct webhook *w,
                struct error *e) FALLIBLE; /* id "": a new one */
int webhook_get(struct store *s, struct arena *a, const char *project, struct str id,
                struct webhook *out, struct error *e) FALLIBLE; /* 1 or 0 */
/* Gives up the deliveries that wait. */
int webhook_delete(struct store *s, const char *project, struct str id, struct error *e) FALLIBLE;
struct webhook_list {
    struct webhook *item;
    uint32_t count;
};
int webhook_list(struct store *s, struct arena *a, const char *project, struct webhook_list *out,
                 struct error *e) FALLIBLE;

enum delivery_state { DELIVERY_WAITS = 0, DELIVERY_DONE = 1, DELIVERY_GIVEN_UP = 2 };
struct delivery {
    int64_t id;
    int64_t job, event_seq;
    struct str project, webhook /* id, or empty: the job's own */, uri, body /* JSON */;
    uint32_t attempts;
    int64_t create_us, due_us;
    enum delivery_state state;
    int32_t last_status; /* HTTP, or 0 */
    struct str last_error;
    struct str
        trace; /* of its job's creation (format/trace.h); empty: none, or the job is removed */
};
struct delivery_list {
    struct delivery *item;
    uint32_t count;
};
/* Deliveries that are due, the oldest first; at most the share's numbers for one URI of a project, for
 * a project, and in all. When there are more, each project's next ones are taken first. */
struct delivery_share {
    uint32_t receiver, project, all;
};
int delivery_due(struct store *s, struct arena *a, int64_t now_us,
                 const struct delivery_share *share, struct delivery_list *out,
                 struct error *e) FALLIBLE;
/* An attempt begins, or ended: state, attempts, due_us, last_* of v. 1; or 0 and nothing is written, when the delivery does
 * not wait any more, or not after that number of attempts: then another process has it, or a client gave it up or replayed it. An
 * attempt that begins is this process's alone until due_us. */
int delivery_update(struct store *s, const struct delivery *v, uint32_t attempts_before,
                    struct error *e) FALLIBLE;
/* The newest first. */
struct delivery_query {
    const char *project; /* NULL: any */
    struct str webhook;  /* empty: any */
    int64_t job;         /* 0: any */
    uint32_t most;
};
int delivery_query(struct store *s, struct arena *a, const struct delivery_query *by,
                   struct delivery_list *out, struct error *e) FALLIBLE;
/* Sends it again, with its first body and id, by which the receiver recognizes it. */
int delivery_replay(struct store *s, const char *project, int64_t id, struct error *e) FALLIBLE;

#endif

/* media_stage.h -- the media of requests: read, decoded and encoded before the batcher sees their tasks.
 *
 * Why: a file takes from milliseconds to minutes; neither the session's caller nor the engine waits for it.
 *
 * Shape:   add(task) -> the stage's thread -> done(arg, task). The task's prompt has a token below 0 for
 *          each of the request's media, in order (runtime.h, prompt); afterwards it has their rows.
 *          A video becomes its frames, each behind its time: "[00:05]".
 * Once:    a file is decoded and encoded once for all requests that want the same of it (media_store.h).
 * Errors:  the task's: INVALID_ARGUMENT for a file that cannot be decoded, or does not fit, NOT_FOUND for one
 *          that is not there. They begin with the part: "contents[0].parts[1]: ...".
 * Threads: add and release are the session's; accepts any.
 */
#ifndef TRANCHE_PREDICT_LOCAL_MEDIA_STAGE_H
#define TRANCHE_PREDICT_LOCAL_MEDIA_STAGE_H

#include "predict/local/candidate.h"
#include "predict/local/runtime.h"
#include "predict/touch.h"

struct media_stage_spec {
    struct runtime *runtime;
    const struct runtime_info *info;         /* both stay while the stage is there */
    uint32_t window;                         /* tasks that may be in the stage at once */
    void (*done)(void *arg, struct task *t); /* on the stage's thread */
    void *arg;
    struct touch_page *touch;
};

struct media_stage;
/* NULL with the error when no thread can be made. */
struct media_stage *media_stage_new(const struct media_stage_spec *spec, struct error *e);
void media_stage_stop(struct media_stage *s); /* at the next piece; tasks in it go to nobody */
void media_stage_free(struct media_stage *s); /* after stop, and after all tasks; accepts NULL */
void media_stage_add(struct media_stage *s, struct task *t);
/* The task's rows are not needed any more. Before task_free, of each task that was added. */
void media_stage_release(struct media_stage *s, struct task *t);

/* Can a model that takes these media answer the request? For all parts that hold media. */
bool media_stage_accepts(const struct runtime_info *info, const struct request *r,
                         struct violation *why);

#endif

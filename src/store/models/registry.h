/* registry.h -- tuned models of projects, and the endpoints that they are deployed to.
 *
 * Why: a tuned model is registered by a command or a call while the server runs, and belongs to its
 *      project: it is a row here, and its file is ours, so that nothing that a user deletes or replaces
 *      changes the answers of a job.
 *
 * Shape:   a tuned model is a LoRA adapter over a base, which is the name of another model, or a whole
 *          model. Its file is DIR/models/FILE, named by chance; files without a row are swept after
 *          REGISTRY_GRACE_S. An endpoint has one deployed model, or none.
 * Errors:  ALREADY_EXISTS for a name that is taken; NOT_FOUND, also for another project's;
 *          FAILED_PRECONDITION for a model that an endpoint has deployed.
 * Threads: all; also another process beside the server.
 */
#ifndef TRANCHE_STORE_MODELS_REGISTRY_H
#define TRANCHE_STORE_MODELS_REGISTRY_H

#include <stdbool.h>

#include "store/store.h"

#define TUNED_NAME_MAX 63      /* of a model's or endpoint's name: [a-z0-9_-] */
#define TUNED_MODELS_MAX 10000 /* of a project; and as many endpoints */
#define TUNED_TEXT_MAX 8192    /* of a description, and of labels as JSON */
#define TUNED_DISPLAY_MAX 128
#define REGISTRY_GRACE_S 3600

struct tuned {
    int64_t id;
    struct str project, name;
    struct str base; /* a model's name; empty: the file is a whole model */
    struct str file; /* in DIR/models */
    uint64_t bytes;
    struct str sha256; /* hexadecimal */
    double scale;      /* of an adapter */
    struct str display_name, description;
    struct str labels; /* a JSON object */
    int64_t create_us, update_us;
};

struct endpoint {
    int64_t id;
    struct str project, name, display_name, description, labels;
    struct str model; /* name of the tuned model, or another model's; empty: none is deployed */
    struct str deployed_id, deployed_name;
    int64_t create_us, update_us;
};

/* Copies the file of descriptor fd, which is at its beginning, and registers it. name empty: a number is
 * chosen. Fills id, name, file, bytes, sha256 and times; they live in the arena. */
int tuned_add(struct store *s, struct arena *a, int fd, struct tuned *t, struct error *e) FALLIBLE;
/* 1 or 0. */
int tuned_get(struct store *s, struct arena *a, const char *project, struct str name,
              struct tuned *out, struct error *e) FALLIBLE;
/* display_name, description and labels. */
int tuned_update(struct store *s, const struct tuned *t, struct error *e) FALLIBLE;
int tuned_delete(struct store *s, const char *project, struct str name, struct error *e) FALLIBLE;
/* project NULL: all. The newest first, `limit` of those older than id `before` (0: all). */
struct tuned_list {
    struct tuned *item;
    uint32_t count;
};
struct registry_page {
    int64_t before;
    uint32_t limit;
};
int tuned_list(struct store *s, struct arena *a, const char *project, struct registry_page page,
               struct tuned_list *out, struct error *e) FALLIBLE;
const char *tuned_path(struct store *s, struct arena *a, const struct tuned *t);
/* Removes files that no row names. */
int registry_sweep(struct store *s, struct error *e) FALLIBLE;

/* name empty: a number is chosen. Fills name, id and times. */
int endpoint_add(struct store *s, struct arena *a, struct endpoint *p, struct error *e) FALLIBLE;
int endpoint_get(struct store *s, struct arena *a, const char *project, struct str name,
                 struct endpoint *out, struct error *e) FALLIBLE; /* 1 or 0 */
/* All but project, name and create_us. */
int endpoint_update(struct store *s, struct endpoint *p, struct error *e) FALLIBLE;
/* FAILED_PRECONDITION while a model is deployed. */
int endpoint_delete(struct store *s, const char *project, struct str name,
                    struct error *e) FALLIBLE;
struct endpoint_list {
    struct endpoint *item;
    uint32_t count;
};
int endpoint_list(struct store *s, struct arena *a, const char *project, struct registry_page page,
                  struct endpoint_list *out, struct error *e) FALLIBLE;

/* The tuned model that a name means in a project: of a model, or of an endpoint that has it deployed, or
 * of a tuned model as it deploys itself. *other: the endpoint has another model deployed, whose name it is.
 * 1 or 0. */
struct registry_found {
    struct tuned tuned;
    struct str other; /* not empty: not a tuned model */
};
int registry_find(struct store *s, struct arena *a, const char *project, struct str name,
                  struct registry_found *out, struct error *e) FALLIBLE;

#endif

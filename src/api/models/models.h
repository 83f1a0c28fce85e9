/* models.h -- what the calls on tuned models and on endpoints share: places, operations, pages.
 *
 * Why: Vertex's clients upload and deploy by long-running operations. Here the work is done when the
 *      call is answered, so every operation is done, and its name (a seal) has all its facts.
 *
 * Threads: as call.h says of a handler.
 * Source:  https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models
 */
#ifndef TRANCHE_API_MODELS_MODELS_H
#define TRANCHE_API_MODELS_MODELS_H

#include "api/call.h"
#include "store/models/registry.h"

#define MODELS_BODY_MAX ((size_t)256 * 1024)
#define MODELS_REPLY_MAX ((size_t)16 * 1024 * 1024)
#define MODELS_PAGE_MAX 1000
#define MODELS_PAGE 100

/* The project and location of the path; PERMISSION_DENIED for another's. permission: "models.get". */
struct model_place {
    const char *project;
    struct str location;
};
int model_place(struct call *c, const char *permission, struct model_place *out,
                struct error *e) FALLIBLE;
/* A name of a resource in the place: "projects/P/locations/L/KIND/NAME". */
void model_add_name(struct json_writer *w, const char *key, const struct model_place *at,
                    const char *kind, struct str name);

enum model_operation {
    OPERATION_UPLOAD,
    OPERATION_DELETE,
    OPERATION_CREATE_ENDPOINT,
    OPERATION_DEPLOY,
    OPERATION_UNDEPLOY
};
/* Answers with the operation on the row with this id. */
void model_reply_operation(struct call *c, const struct model_place *at, enum model_operation kind,
                           int64_t id);

/* display name, description and labels of a body; those that are absent stay. */
int model_read_texts(struct call *c, yyjson_val *body, struct str *display_name,
                     struct str *description, struct str *labels, struct error *e) FALLIBLE;

/* The page that a list call asks for, and the end of its reply; list: "models" of a seal. */
int model_page_read(struct call *c, const struct model_place *at, const char *list,
                    struct registry_page *out, struct error *e) FALLIBLE;
int model_page_end(struct call *c, const struct model_place *at, const char *list, int64_t last,
                   struct json_writer *w, struct error *e) FALLIBLE;

#endif

/* submit_to.h -- `tranche submit --to`: a run whose lines are answered by Google's batch service, without
 * any configuration.
 *
 * Why: half the price of online calls is one command away, with validation, resume, --retry-failed and
 * counters as of any run.
 *
 * Shape:   the options become a model of kind remote-batch, and then it is `tranche run`.
 * Secrets: $TRANCHE_UPSTREAM_KEY, else the service account's file that
 *          $GOOGLE_APPLICATION_CREDENTIALS names; never the command line.
 * Errors:  INVALID_ARGUMENT in the user's words.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_SUBMIT_TO_H
#define TRANCHE_APP_RUN_SUBMIT_TO_H

#include "app/cli/command.h"

struct submit_to {
    const char *to, *endpoint, *staging, *state, *retry_failed;
    bool fresh, overwrite;
};
// clang-format off
#define SUBMIT_TO_OPTIONS \
    OPT_CHOICE("to", 0, to.to, "vertex|gemini", "hand the job to Google's own batch service"), \
    OPT_TEXT("endpoint", 0, to.endpoint, "URL", "with --to: URL of that service, when it is not Google's"), \
    OPT_TEXT("staging", 0, to.staging, "GS", "with --to vertex: gs://BUCKET/PREFIX for requests and answers"), \
    OPT_DIR("state", 0, to.state, "with --to: folder of the state that makes it resumable"), \
    OPT_FLAG("fresh", 0, to.fresh, "with --to: forget what an earlier run of this command did"), \
    OPT_FLAG("overwrite", 0, to.overwrite, "replace the output file, whatever it is"), \
    OPT_FILE("retry-failed", 0, to.retry_failed, "with --to: keep the answers of this earlier output")
// clang-format on
bool submit_to_given(const struct submit_to *to); /* any of them */

struct submit_request {
    const struct submit_to *to;
    const char *model, *output, *project, *location;
    bool watch, strict, json, quiet;
    const char *const *path;
    uint32_t path_count;
};
enum exit_code submit_to(const struct submit_request *w);

#endif

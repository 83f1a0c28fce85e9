/* row_view.h -- the rows of an output, one after the other, as a person reads them.
 *
 * Why: `show` and `diff` look at the same things of a row, whatever its form: that of Vertex AI (request,
 * response, status), of the Gemini API (key, response or error), or a bare answer.
 *
 * Shape:   row_view_each streams a file; a row's texts live until fn returns.
 * Errors:  of reading; INVALID_ARGUMENT for a file that is not an output; CANCELLED on stop; -1 of fn.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_ROW_VIEW_H
#define TRANCHE_APP_RUN_ROW_VIEW_H

#include "base/json.h"

struct row_view {
    uint64_t line_no;
    struct str key;                /* empty: it has none */
    struct str error;              /* "CODE: message"; empty: it is answered */
    struct str finish;             /* finishReason, or the reason of a blocked prompt */
    yyjson_val *request, *content; /* NULL: absent. content: of the first candidate */
    struct str answer;             /* the texts of content, without thoughts */
    uint64_t prompt_tokens, answer_tokens;
};
/* a: of the row. */
int row_view_each(const char *path,
                  int (*fn)(void *arg, struct arena *a, const struct row_view *row,
                            struct error *e),
                  void *arg, struct error *e) FALLIBLE;

/* The texts of a content's parts, joined; other parts stand as "(image/png)" or as JSON. thoughts: with them. */
struct str row_content_text(struct arena *a, yyjson_val *content, bool thoughts);
/* The text of the last user turn, or of an embedding's content; empty when there is none. */
struct str row_prompt(struct arena *a, yyjson_val *request);

#endif

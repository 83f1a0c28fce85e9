/* model_report.h -- what an upstream server says that it has under a model's name.
 *
 * Why: a server may be given another model under the same name; then earlier answers are not those of the model that
 * answers now. Most servers say more of a model than its name when they are asked.
 *
 * Shape:   OpenAI's dialect: of the entry in GET /models its `root`, `version` and `meta`; those of a model's
 *          time or state are left out, as they change by themselves. Gemini's: the `version` of GET /models/NAME.
 * Errors:  none: a server that does not answer in REPORT_MS, or says nothing of it, has no report.
 * Threads: none. Waits for the network.
 */
#ifndef TRANCHE_ENGINE_LINES_MODEL_REPORT_H
#define TRANCHE_ENGINE_LINES_MODEL_REPORT_H

#include "base/str.h"
#include "predict/model.h"

#define REPORT_MS 5000

/* Appends the report; name: of the model there. False: there is none. */
bool model_report(const struct upstream *u, const char *name, struct buf *out);

#endif

/* prompt_order.h -- the order of requests by their prompts.
 *
 * Why: requests whose prompts begin alike become neighbours, so that what they share is computed
 * once, whether by our own prefix tree or by a server's cache.
 *
 * Shape:   system instruction, then the turns: roles and texts as one stream of bytes, compared
 *          lazily, without building it. The split of a text into parts makes no difference.
 * Threads: none.
 */
#ifndef TRANCHE_ENGINE_LINES_PROMPT_ORDER_H
#define TRANCHE_ENGINE_LINES_PROMPT_ORDER_H

#include "format/request/request.h"

int prompt_cmp(const struct request *a, const struct request *b); /* as memcmp */

#endif

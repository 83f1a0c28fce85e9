/* console.h -- the console's files, and browsers that sign in.
 *
 * Why: a page of this service calls the same API as every other client. It has no key of its own: the operator
 *      types one in, and the browser then has a cookie (store/jobs/signins.h).
 *
 * Shape:   a call with the cookie is the key's, if it has the header CONSOLE_HEADER and, unless it only reads, our own
 *          address as its Origin. So no other site's page can make a browser call us. A download is a plain link, which
 *          has no such header: it carries a ticket for its path, which such a call has asked for (auth.h).
 * Threads: all.
 * Source:  docs/guides/console.md
 */
#ifndef TRANCHE_API_CONSOLE_CONSOLE_H
#define TRANCHE_API_CONSOLE_CONSOLE_H

#include "base/str.h"

extern const char console_app_js[], console_app_js_end[];
extern const char console_app_css[], console_app_css_end[];
extern const char console_index[], console_index_end[];
extern const char console_icon[], console_icon_end[];

#endif

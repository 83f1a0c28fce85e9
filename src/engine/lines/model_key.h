/* model_key.h -- which model an answer is of: the identity that is part of a kept answer's key.
 *
 * Why: the name of a model says little. A file is known by its content, a server by its URL, the name of
 * the model there, and what it says when it is asked for it (model_report.h).
 *
 * Shape:   a digest of the kind, what decides the answers in the configuration (context, engine,
 *          adapters), and of the files' contents or the servers. Prices and speed are not in it.
 *          The digest of a file is remembered in FOLDER/files.json by device, inode, size and times, once
 *          the file has been left alone for two seconds; and a server's last report, which counts while it does
 *          not answer.
 * Errors:  of reading the model's files.
 * Threads: none. Waits for the network when servers answer.
 */
#ifndef TRANCHE_ENGINE_LINES_MODEL_KEY_H
#define TRANCHE_ENGINE_LINES_MODEL_KEY_H

#include "base/error.h"
#include "predict/model.h"

/* name: as it was asked for. folder: where digests of files are remembered. */
int model_key(const struct model *m, const char *name, const char *folder, uint64_t out[2],
              struct error *e) FALLIBLE;

#endif

/* catalogue.h -- open models that are known by name: where their files are, and what to expect.
 *
 * Why: a name that people know should be enough to get a good file. Hashes and sizes are the hub's, asked
 *      for at the time; nothing here can be out of date but a file's name.
 *
 * Threads: constant.
 * Source:  the models' own pages on Hugging Face.
 */
#ifndef TRANCHE_APP_MODELS_CATALOGUE_H
#define TRANCHE_APP_MODELS_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

struct catalogue_entry {
    const char *name; /* here: the file is kept as NAME.gguf */
    const char *repository, *file;
    const char *size; /* parameters: "0.5B" */
    const char *licence;
    uint32_t context; /* tokens that the model was trained for */
    bool gated;       /* its own repository asks for the licence to be accepted */
    const char *notes;
};
const struct catalogue_entry *catalogue_at(uint32_t i);         /* NULL beyond the last */
const struct catalogue_entry *catalogue_find(const char *name); /* NULL when there is none */

#endif

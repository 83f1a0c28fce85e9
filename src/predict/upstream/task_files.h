/* task_files.h -- the files of our object store that a request names, as data for its body.
 *
 * Why: most upstream servers cannot read our objects, so a request carries them. A disk can be slow, and
 * the loop must not wait for it: a thread of its own reads and encodes the files of one request at a time,
 * while requests without files pass.
 *
 * Shape:   the loop keeps the tasks whose files are missing in a list. It asks for the files of the first,
 *          and the thread gives that task back with its files or with its error.
 * Memory:  TASK_FILES_AHEAD requests have their files in memory and are not sent yet; the files of one are at
 *          most UPSTREAM_FILES_BYTES_MAX before base64.
 * Threads: all functions are for the loop's thread, but new and free, which are for the session's.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_TASK_FILES_H
#define TRANCHE_PREDICT_UPSTREAM_TASK_FILES_H

#include "predict/upstream/flight.h"

#define TASK_FILES_AHEAD 4

struct task_files {
    struct arena arena;
    struct file_contents list;
};
void task_files_free(struct task_files *f); /* accepts NULL */

/* Does a target of the route need files of this task that are not read yet? */
bool task_files_missing(const struct upstream_route *route, const struct upstream_task *t);

struct file_reader;
/* wake(arg) is called on the reader's thread when a task has its files. */
struct file_reader *file_reader_new(const struct upstream_route *route, void (*wake)(void *arg),
                                    void *arg);
void file_reader_free(struct file_reader *r); /* waits for the file that is being read */

/* True while a task is with the reader. */
bool file_reader_busy(const struct file_reader *r);
/* Reads the files of a task, which is the reader's until file_reader_take returns it. Not while it is busy. */
void file_reader_ask(struct file_reader *r, struct upstream_task *t);
/* The task whose files were read, or NULL. When they cannot be read, the task loses the targets that need
 * them, and with the last target it gets the error. */
struct upstream_task *file_reader_take(struct file_reader *r);
/* Is there a task to take? */
bool file_reader_ready(const struct file_reader *r);

#endif

/* adapter_files.c -- see child_session.h: the files of adapters, which a child gets as descriptors. */
#include "predict/child/child_session.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

void child_let_files_go(struct child_session *s, const struct item *i)
{
    for (uint32_t k = 0; k < i->head.adapters; k++)
        s->file[i->head.file[k]].users--;
}

/* The error of a file that the request names and that is known to be bad; NULL: there is none. */
const struct error *child_bad_file(const struct child_session *s, const struct item *i)
{
    for (uint32_t k = 0; k < i->head.adapters; k++)
        if (s->file[i->head.file[k]].why.code != ERROR_OK)
            return &s->file[i->head.file[k]].why;
    return NULL;
}

static bool is_same_file(const struct child_file *f, const char *path, const struct stat *as)
{
    return f->path && strcmp(f->path, path) == 0 && f->as.st_ino == as->st_ino &&
           f->as.st_dev == as->st_dev && f->as.st_size == as->st_size &&
           f->as.st_mtim.tv_sec == as->st_mtim.tv_sec &&
           f->as.st_mtim.tv_nsec == as->st_mtim.tv_nsec;
}

void child_drop_file(struct child_file *f)
{
    if (!f->path)
        return;
    assert(!f->users);
    (void)close(f->fd);
    mem_free(f->path);
    *f = (struct child_file){ 0 };
}

/* The number of a file: of the same one, else of the one that was unused for the longest time; CHILD_FILES_MAX:
 * all are in use. */
static uint32_t place_of_file(const struct child_session *s, const char *path,
                              const struct stat *as)
{
    uint32_t best = CHILD_FILES_MAX;

    for (uint32_t i = 0; i < CHILD_FILES_MAX; i++) {
        const struct child_file *f = &s->file[i];
        if (is_same_file(f, path, as))
            return i;
        if (!f->users && (best == CHILD_FILES_MAX || f->used < s->file[best].used))
            best = i;
    }
    return best;
}

/* One more user of the file. */
static int hold_file(struct child_session *s, const char *path, uint32_t *number, struct error *e)
{
    struct stat as;
    int fd = sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    int rc = fstat(fd, &as);
    *number = rc == 0 ? place_of_file(s, path, &as) : CHILD_FILES_MAX;
    if (*number == CHILD_FILES_MAX) {
        (void)close(fd);
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d adapters are in use", CHILD_FILES_MAX);
    }
    struct child_file *f = &s->file[*number];
    if (is_same_file(f, path, &as)) {
        (void)close(fd);
    } else {
        child_drop_file(f);
        *f = (struct child_file){ .path = mem_strdup(path), .as = as, .fd = fd };
    }
    f->users++;
    f->used = s->id;
    return 0;
}

/* At a failure the item holds files as well. */
int child_hold_adapters(struct child_session *s, struct item *i, struct error *e)
{
    const struct adapter_list *list = s->adapters;

    for (uint32_t k = 0; list && k < list->count; k++) {
        if (hold_file(s, list->item[k].file, &i->head.file[k], e) < 0)
            return -1;
        i->head.scale[k] = list->item[k].scale;
        i->head.adapters++;
    }
    const struct error *why = child_bad_file(s, i);
    i->answer.final = why != NULL;
    return why ? error_set(e, why->code, "%s", why->msg) : 0;
}

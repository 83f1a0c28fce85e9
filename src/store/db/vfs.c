/* vfs.c -- SQLite's file calls as fault points, so that "the disk is full at the n-th write of a commit"
 * is a test.
 *
 * Shape:   a VFS over the default one; each file holds the default VFS's file behind its own head and
 *          passes every call on. Methods of version 2: connections to a shared database have memory
 *          in common; nothing maps the file itself.
 * Faults:  sqlite.open, sqlite.read, sqlite.write, sqlite.truncate, sqlite.sync, sqlite.delete,
 *          sqlite.share.
 * Source:  https://www.sqlite.org/vfs.html, "VFS Shims".
 */
#include "store/db/vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdalign.h>
#include <stddef.h>

#include "base/fault.h"

struct fault_file {
    sqlite3_file head;
    alignas(sqlite3_int64) unsigned char real[]; /* the default VFS's file; SQLite aligns to 8 */
};

static sqlite3_file *real_of(sqlite3_file *f)
{
    return (sqlite3_file *)(void *)((struct fault_file *)(void *)f)->real;
}

static int fault_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int fault_read(sqlite3_file *f, void *p, int len, sqlite3_int64 at)
{
    if (fault_hit("sqlite.read"))
        return SQLITE_IOERR_READ;
    return real_of(f)->pMethods->xRead(real_of(f), p, len, at);
}

static int fault_write(sqlite3_file *f, const void *p, int len, sqlite3_int64 at)
{
    if (fault_hit("sqlite.write"))
        return SQLITE_FULL;
    int rc = real_of(f)->pMethods->xWrite(real_of(f), p, len, at);
    /* The default VFS knows ENOSPC only; a quota or a file size limit is a full disk as well. */
    return rc == SQLITE_IOERR_WRITE && (errno == EDQUOT || errno == EFBIG) ? SQLITE_FULL : rc;
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 bytes)
{
    if (fault_hit("sqlite.truncate"))
        return SQLITE_IOERR_TRUNCATE;
    return real_of(f)->pMethods->xTruncate(real_of(f), bytes);
}

static int fault_sync(sqlite3_file *f, int flags)
{
    if (fault_hit("sqlite.sync"))
        return SQLITE_IOERR_FSYNC;
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int fault_size(sqlite3_file *f, sqlite3_int64 *bytes)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), bytes);
}

static int fault_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int fault_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int fault_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int fault_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int fault_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int fault_device(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int fault_share(sqlite3_file *f, int region, int bytes, int extend, void volatile **out)
{
    if (fault_hit("sqlite.share"))
        return SQLITE_IOERR_SHMMAP;
    return real_of(f)->pMethods->xShmMap(real_of(f), region, bytes, extend, out);
}

static int fault_share_lock(sqlite3_file *f, int offset, int count, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, count, flags);
}

static void fault_share_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int fault_share_end(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_reserved,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_device,
    .xShmMap = fault_share,
    .xShmLock = fault_share_lock,
    .xShmBarrier = fault_share_barrier,
    .xShmUnmap = fault_share_end,
};

static sqlite3_vfs *default_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

/* A file whose pMethods stay NULL is not closed by SQLite: right for one that did not open. */
static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    f->pMethods = NULL;
    if (fault_hit("sqlite.open"))
        return SQLITE_CANTOPEN;
    int rc = default_of(vfs)->xOpen(default_of(vfs), name, real_of(f), flags, out);
    if (real_of(f)->pMethods)
        f->pMethods = &fault_methods;
    return rc;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    if (fault_hit("sqlite.delete"))
        return SQLITE_IOERR_DELETE;
    return default_of(vfs)->xDelete(default_of(vfs), name, sync);
}

/* SQLite keeps a list of VFSs for the process; this is our entry in it, written once. */
static sqlite3_vfs fault_vfs;
static pthread_once_t registered = PTHREAD_ONCE_INIT;

static void register_once(void)
{
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);

    fault_vfs = *base;
    fault_vfs.zName = "tranche";
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + base->szOsFile;
    fault_vfs.pAppData = base;
    fault_vfs.pNext = NULL;
    fault_vfs.xOpen = fault_open;
    fault_vfs.xDelete = fault_delete;
    (void)sqlite3_vfs_register(&fault_vfs, 0);
}

const char *db_vfs(void)
{
    (void)pthread_once(&registered, register_once);
    return fault_vfs.zName;
}

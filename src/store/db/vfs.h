/* vfs.h -- SQLite's file calls as fault points. For db.c alone. */
#ifndef TRANCHE_STORE_DB_VFS_H
#define TRANCHE_STORE_DB_VFS_H

/* The name of a VFS over the default one, registered at the first call. Any thread. */
const char *db_vfs(void);

#endif

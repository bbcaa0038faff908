/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A folder, held by a descriptor. All work in it goes by names relative to that descriptor. So a
 * user who may rename things on the way to it, while rly works in it as root, leads nothing astray.
 */
#ifndef RLY_FOLDER_H
#define RLY_FOLDER_H

#include "rly.h"

#include <sys/stat.h>

typedef struct rly_folder {
    int fd;           /* O_PATH for rly_folder_hold(); closed with the pool */
    const char *path; /* absolute, without links in it */
} rly_folder;

/**
 * Walks to a folder, each name once. A symbolic link is followed only where nobody but root and the
 * user who runs rly can have made or can change it.
 * @return APR_SUCCESS; an errno; RELAY_EREFUSED for a link; with *why, which names the fault and
 * the place, but not the purpose
 */
apr_status_t rly_folder_hold(rly_folder *out, const char *path, apr_pool_t *p, const char **why);

/**
 * Makes a folder with a name that nobody guesses, for its owner only, and holds it.
 * @param name out: `.relay-` and random letters
 * @return APR_SUCCESS, or an errno; EBUSY when somebody took it away at once. Nothing of ours is
 * left then
 */
apr_status_t rly_folder_make(rly_folder *out, const char **name, const rly_folder *parent,
                             apr_pool_t *p);

/** @return true where the name in the parent is the folder that is held, and neither a link nor
 * another folder */
int rly_folder_is(const rly_folder *folder, const rly_folder *parent, const char *name);

/** Renames within a folder, but over nothing. @return APR_SUCCESS, or an errno; EEXIST when the
 * name is taken */
apr_status_t rly_folder_rename(const rly_folder *parent, const char *from, const char *to);

/** Writes to disk what was done in it, where the file system can. @return
 * APR_SUCCESS, or an errno */
apr_status_t rly_folder_sync(const rly_folder *folder);

#endif

/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "folder.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 40 /* the kernel's own limit */
#define NAMES_MAX 100
#define NAME_RANDOM 12

/* ---- the walk */

typedef struct walk {
    apr_pool_t *p;
    int fd;           /* where it is */
    char *path;       /* the same as text; "" for the root */
    const char *rest; /* of the way */
    int links;
} walk;

static apr_status_t close_fd(void *fd)
{
    close((int)(intptr_t)fd);
    return APR_SUCCESS;
}

static void hold_until_end(int fd, apr_pool_t *p)
{
    apr_pool_cleanup_register(p, (void *)(intptr_t)fd, close_fd, apr_pool_cleanup_null);
}

/* Goes to the beginning of a way. @return 0, or an errno */
static int begin(walk *w, const char *from)
{
    char cwd[PATH_MAX];
    int fd = open(from, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || (*from != '/' && !getcwd(cwd, sizeof(cwd))))
        goto failed;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = fd;
    w->path = *from == '/' || strcmp(cwd, "/") == 0 ? "" : apr_pstrdup(w->p, cwd);
    return 0;
failed:
    if (fd >= 0)
        close(fd);
    return errno ? errno : EIO;
}

static int is_own(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* True where nobody but root and the user who runs rly can have put the link there, or can put
 * another in its place. */
static int is_safe_link(const struct stat *folder, const struct stat *link)
{
    return is_own(folder->st_uid) && is_own(link->st_uid) &&
           (!(folder->st_mode & (S_IWGRP | S_IWOTH)) || folder->st_mode & S_ISVTX);
}

static apr_status_t follow(walk *w, int link, const char *name, const struct stat *st,
                           const char **why)
{
    char target[PATH_MAX];
    struct stat folder;
    ssize_t len;

    if (fstat(w->fd, &folder) != 0)
        return errno;
    if (!is_safe_link(&folder, st)) {
        RELAY_WHY(why, w->p,
                  "%s/%s is a symbolic link that others than root and you can change; name the "
                  "folder that it "
                  "leads to instead",
                  w->path, name);
        return RELAY_EREFUSED;
    }
    if (++w->links > LINKS_MAX)
        return ELOOP;
    if ((len = readlinkat(link, "", target, sizeof(target) - 1)) <= 0)
        return len < 0 ? errno : ENOENT;
    target[len] = '\0';
    w->rest = apr_pstrcat(w->p, target, "/", w->rest, NULL);
    return *target == '/' ? begin(w, "/") : APR_SUCCESS;
}

static void arrive(walk *w, int fd, const char *name)
{
    char *slash = strrchr(w->path, '/');

    close(w->fd);
    w->fd = fd;
    if (strcmp(name, "..") != 0)
        w->path = apr_pstrcat(w->p, w->path, "/", name, NULL);
    else if (slash)
        *slash = '\0'; /* there are no links in it, so this is the folder above */
}

/* Takes one name of the way. O_PATH with O_NOFOLLOW opens a link itself, so that the link that is
 * looked at is the one that is followed. */
static apr_status_t step(walk *w, const char *name, const char **why)
{
    int fd = openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    apr_status_t rv;
    struct stat st;

    if (fd < 0)
        return errno;
    if (fstat(fd, &st) != 0) {
        rv = errno;
    }
    else if (S_ISDIR(st.st_mode)) {
        arrive(w, fd, name);
        return APR_SUCCESS;
    }
    else {
        rv = S_ISLNK(st.st_mode) ? follow(w, fd, name, &st, why) : ENOTDIR;
    }
    close(fd);
    return rv;
}

apr_status_t rly_folder_hold(rly_folder *out, const char *path, apr_pool_t *p, const char **why)
{
    walk w = {.p = p, .fd = -1, .path = "", .rest = path};
    const char *fault = NULL;
    apr_status_t rv = begin(&w, *path == '/' ? "/" : ".");

    while (rv == APR_SUCCESS && *w.rest) {
        size_t len = strcspn(w.rest, "/");
        const char *name = apr_pstrmemdup(p, w.rest, len);

        w.rest += len + (w.rest[len] == '/');
        if (*name && strcmp(name, ".") != 0)
            rv = step(&w, name, &fault);
    }
    if (rv != APR_SUCCESS) {
        if (w.fd >= 0)
            close(w.fd);
        RELAY_WHY(why, p, "%s", fault ? fault : strerror(rv));
        return rv;
    }
    hold_until_end(w.fd, p);
    out->fd = w.fd;
    out->path = *w.path ? w.path : "/";
    return APR_SUCCESS;
}

/* ---- a new folder */

static int is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);

    if (!dir) {
        if (copy >= 0)
            close(copy);
        return 0;
    }
    while (readdir(dir)) /* NOLINT(concurrency-mt-unsafe): rly has one thread */
        n++;
    closedir(dir);
    return n == 2; /* . and .. */
}

/*
 * True where the folder that was opened is the one that mkdirat() made. Between the two the owner
 * of the parent may have put another folder in its place. An empty one of our own will do as well:
 * he can make none.
 */
static int is_new(int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || st.st_mode & (S_IRWXG | S_IRWXO))
        return 0;
    return is_empty(fd);
}

static int random_name(char *name, size_t size)
{
    unsigned char bytes[NAME_RANDOM];
    char *end = name + snprintf(name, size, ".relay-");

    if (apr_generate_random_bytes(bytes, sizeof(bytes)) != APR_SUCCESS)
        return 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        *end++ = "abcdefghijklmnopqrstuvwxyz234567"[bytes[i] & 31];
    *end = '\0';
    return 1;
}

apr_status_t rly_folder_make(rly_folder *out, const char **name, const rly_folder *parent,
                             apr_pool_t *p)
{
    char text[sizeof ".relay-" + NAME_RANDOM];
    int made = -1;

    for (int tries = 0; made != 0 && tries < NAMES_MAX; tries++) {
        if (!random_name(text, sizeof(text)))
            return EIO;
        if ((made = mkdirat(parent->fd, text, S_IRWXU)) != 0 && errno != EEXIST)
            return errno;
    }
    if (made != 0)
        return EEXIST;
    out->fd = openat(parent->fd, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out->fd < 0 || !is_new(out->fd)) {
        if (out->fd >= 0)
            close(out->fd);
        return EBUSY;
    }
    hold_until_end(out->fd, p);
    *name = apr_pstrdup(p, text);
    out->path = apr_pstrcat(p, parent->path, "/", text, NULL);
    return APR_SUCCESS;
}

int rly_folder_is(const rly_folder *folder, const rly_folder *parent, const char *name)
{
    struct stat held, named;

    return fstat(folder->fd, &held) == 0 &&
           fstatat(parent->fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

apr_status_t rly_folder_rename(const rly_folder *parent, const char *from, const char *to)
{
    struct stat st;

    if (renameat2(parent->fd, from, parent->fd, to, RENAME_NOREPLACE) == 0)
        return APR_SUCCESS;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* A file system without that flag: the next best. */
    if (fstatat(parent->fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return renameat(parent->fd, from, parent->fd, to) == 0 ? APR_SUCCESS : errno;
}

apr_status_t rly_folder_sync(const rly_folder *folder)
{
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    apr_status_t rv = fd < 0 || fsync(fd) != 0 ? errno : APR_SUCCESS;

    if (fd >= 0)
        close(fd);
    return rv == EINVAL || rv == EACCES ? APR_SUCCESS : rv; /* not every file system can */
}

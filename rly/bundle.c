/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bundle.h"
#include "rly/bundle_files.h"
#include "sshconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rly_bundle {
    apr_pool_t *p;
    const char *parent; /* absolute, without links in it */
    const char *name;   /* in the parent; NULL: relay-ID */
    char *temp;         /* absolute */
    const char *private_file; /* a word of ssh_config, or NULL */
    int own_key, tls;
    sigset_t signals_before;
};

static const char *const all_files[] = { "config",      "id_relay", "id_relay.dropbear",   "id_relay.pub",
                                         "known_hosts", "run",      "relay-tunnel.service" };

static const char *in(apr_pool_t *p, const char *dir, const char *name)
{
    return apr_pstrcat(p, strcmp(dir, "/") == 0 ? "" : dir, "/", name, NULL);
}

/* Being ended between opening a tunnel and giving out its key would leave a tunnel that nobody can use. */
static void hold_signals(rly_bundle *b)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, &b->signals_before);
}

static apr_status_t sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    apr_status_t rv = fd < 0 || fsync(fd) != 0 ? errno : APR_SUCCESS;

    if (fd >= 0)
        close(fd);
    return rv == EINVAL || rv == EACCES ? APR_SUCCESS : rv; /* not every file system can */
}

static apr_status_t write_all(int fd, const char *data, size_t left)
{
    while (left > 0) {
        ssize_t n = write(fd, data, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data += n;
        left -= (size_t)n;
    }
    return fsync(fd) == 0 ? APR_SUCCESS : errno;
}

static apr_status_t write_data(rly_bundle *b, const char *name, mode_t mode, const void *data, size_t len,
                               const char **why)
{
    const char *path = in(b->p, b->temp, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    apr_status_t rv = fd < 0 || fchmod(fd, mode) != 0 ? errno : write_all(fd, data, len);

    if (fd >= 0 && close(fd) != 0 && rv == APR_SUCCESS)
        rv = errno;
    if (rv != APR_SUCCESS)
        RELAY_WHY(why, b->p, "cannot write %s of the bundle in %s: %s", name, b->parent, strerror(rv));
    return rv;
}

static apr_status_t write_file(rly_bundle *b, const char *name, mode_t mode, const char *text, const char **why)
{
    return write_data(b, name, mode, text, strlen(text), why);
}

static apr_status_t cannot_make(rly_bundle *b, const char *where, int error, const char **why)
{
    RELAY_WHY(why, b->p, "cannot make a bundle in %s: %s", where, strerror(error));
    return error;
}

/* Whether DIR can still be made. */
static apr_status_t check_absent(rly_bundle *b, const char *dir, const char **why)
{
    struct stat st;

    if (!*dir) {
        RELAY_WHY(why, b->p, "-o needs a directory's name");
        return RELAY_EREFUSED;
    }
    if (lstat(dir, &st) == 0) {
        RELAY_WHY(why, b->p, "%s is there already, and a bundle is never overwritten; choose another directory, or "
                             "remove it first",
                  dir);
        return RELAY_EREFUSED;
    }
    return errno == ENOENT ? APR_SUCCESS : cannot_make(b, dir, errno, why); /* a name that is too long, for one */
}

/* Splits DIR into its parent, as it really is, and its name. */
static apr_status_t resolve(rly_bundle *b, const char *dir, const char **why)
{
    char *copy, *slash, real[PATH_MAX];
    const char *parent = ".";
    apr_status_t rv;

    if (dir) {
        copy = apr_pstrdup(b->p, dir);
        for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
            copy[n - 1] = '\0';
        if ((rv = check_absent(b, copy, why)) != APR_SUCCESS)
            return rv;
        slash = strrchr(copy, '/');
        if (slash) {
            *slash = '\0';
            parent = slash == copy ? "/" : copy;
        }
        b->name = slash ? slash + 1 : copy;
    }
    if (!realpath(parent, real))
        return cannot_make(b, parent, errno, why);
    b->parent = apr_pstrdup(b->p, real);
    return APR_SUCCESS;
}

static apr_status_t write_private(rly_bundle *b, const relay_key *key, const char **why)
{
    apr_status_t rv = write_file(b, "id_relay", 0600, key->private_pem, why);

    if (rv == APR_SUCCESS)
        rv = write_data(b, "id_relay.dropbear", 0600, key->private_dropbear, key->private_dropbear_len, why);
    return rv;
}

/* The directory and all that does not depend on the tunnel. */
static apr_status_t make(rly_bundle *b, const rly_bundle_request *req, const char *known_hosts, const char **why)
{
    const struct {
        const char *name;
        mode_t mode;
        const char *text;
    } files[] = {
        { "id_relay.pub", 0644, apr_pstrcat(b->p, req->key->public_line, "\n", NULL) },
        { "known_hosts", 0644, known_hosts },
        { "run", 0755, rly_bundle_run_sh },
        { "relay-tunnel.service", 0644, rly_bundle_relay_tunnel_service },
    };
    apr_status_t rv = APR_SUCCESS;

    b->temp = apr_pstrdup(b->p, in(b->p, b->parent, ".relay-XXXXXX"));
    if (!mkdtemp(b->temp)) {
        b->temp = NULL;
        return cannot_make(b, b->parent, errno, why);
    }
    if (req->key->private_pem)
        rv = write_private(b, req->key, why);
    for (size_t i = 0; i < sizeof files / sizeof files[0] && rv == APR_SUCCESS; i++)
        rv = write_file(b, files[i].name, files[i].mode, files[i].text, why);
    return rv;
}

apr_status_t rly_bundle_prepare(rly_bundle **out, const rly_bundle_request *req, apr_pool_t *p, const char **why)
{
    rly_bundle *b = apr_pcalloc(p, sizeof *b);
    const char *known_hosts = "";
    apr_status_t rv;

    b->p = p;
    b->own_key = req->key->private_pem != NULL;
    b->tls = req->tls;
    if ((rv = resolve(b, req->dir, why)) != APR_SUCCESS)
        return rv;
    if (!rly_sshconfig_path(in(p, b->parent, b->name ? b->name : "relay-"), p, why))
        return RELAY_EREFUSED;
    if (req->private_file)
        b->private_file = rly_sshconfig_path(req->private_file, p, NULL);
    for (int i = 0; i < req->hostkeys->nelts; i++)
        known_hosts = apr_pstrcat(p, known_hosts, req->relay, " ", APR_ARRAY_IDX(req->hostkeys, i, const char *), "\n",
                                  NULL);

    hold_signals(b);
    if ((rv = make(b, req, known_hosts, why)) != APR_SUCCESS) {
        rly_bundle_abandon(b);
        return rv;
    }
    *out = b;
    return APR_SUCCESS;
}

/* Gives the directory its name, if nobody else has taken that in the meantime. */
static apr_status_t move(const char *from, const char *to)
{
    struct stat st;

    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return APR_SUCCESS;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* A file system without that flag: the next best. */
    if (lstat(to, &st) == 0)
        return EEXIST;
    return rename(from, to) == 0 ? APR_SUCCESS : errno;
}

apr_status_t rly_bundle_finish(rly_bundle *b, const relay_config *cfg, const relay_tunnel *t, const char **path,
                               const char **why)
{
    const char *name = b->name ? b->name : apr_pstrcat(b->p, "relay-", t->id, NULL);
    const char *target = in(b->p, b->parent, name), *text;
    apr_status_t rv = RELAY_EREFUSED;

    if ((text = rly_sshconfig_text(cfg, t, target, b->private_file, b->own_key, b->tls, b->p, why)) == NULL)
        goto out;
    if ((rv = write_file(b, "config", 0644, text, why)) != APR_SUCCESS)
        goto out;
    if ((rv = sync_directory(b->temp)) == APR_SUCCESS)
        rv = move(b->temp, target);
    if (rv != APR_SUCCESS) {
        RELAY_WHY(why, b->p, "cannot make the bundle %s: %s", target, strerror(rv));
        goto out;
    }
    b->temp = NULL;
    sync_directory(b->parent);
    *path = target;
out:
    rly_bundle_abandon(b);
    return rv;
}

void rly_bundle_abandon(rly_bundle *b)
{
    if (!b)
        return;
    if (b->temp) {
        for (size_t i = 0; i < sizeof all_files / sizeof all_files[0]; i++)
            unlink(in(b->p, b->temp, all_files[i]));
        rmdir(b->temp);
        b->temp = NULL;
    }
    sigprocmask(SIG_SETMASK, &b->signals_before, NULL);
}

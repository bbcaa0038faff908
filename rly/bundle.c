/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bundle.h"
#include "folder.h"
#include "rly/bundle_files.h"
#include "sshconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rly_bundle {
    apr_pool_t *p;
    rly_folder parent;
    const char *name;  /* in the parent; NULL: relay-ID */
    rly_folder folder; /* the bundle itself */
    const char *temp;  /* its name in the parent until it is whole; NULL: there is none */
    apr_array_header_t
        *made; /* const char *: the files that were made in it, and that may be removed again */
    const char *private_file; /* a word of ssh_config, or NULL */
    int own_key, tls;
    sigset_t signals_before;
};

static const char *in(apr_pool_t *p, const char *dir, const char *name)
{
    return apr_pstrcat(p, strcmp(dir, "/") == 0 ? "" : dir, "/", name, NULL);
}

/* Being ended between opening a tunnel and giving out its key would leave a tunnel that nobody can
 * use. */
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

static apr_status_t write_data(rly_bundle *b, const char *name, mode_t mode, const void *data,
                               size_t len, const char **why)
{
    int fd = openat(b->folder.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    apr_status_t rv;

    if (fd >= 0)
        APR_ARRAY_PUSH(b->made, const char *) = name;
    rv = fd < 0 || fchmod(fd, mode) != 0 ? errno : write_all(fd, data, len);
    if (fd >= 0 && close(fd) != 0 && rv == APR_SUCCESS)
        rv = errno;
    if (rv != APR_SUCCESS)
        RELAY_WHY(why, b->p, "cannot write %s of the bundle in %s: %s", name, b->parent.path,
                  strerror(rv));
    return rv;
}

static apr_status_t write_file(rly_bundle *b, const char *name, mode_t mode, const char *text,
                               const char **why)
{
    return write_data(b, name, mode, text, strlen(text), why);
}

static apr_status_t cannot_make(rly_bundle *b, const char *where, const char *reason,
                                const char **why)
{
    RELAY_WHY(why, b->p, "cannot make a bundle in %s: %s; -o DIR names another place", where,
              reason);
    return RELAY_EREFUSED;
}

/* Somebody else may write to the folder, and has renamed or removed what rly had made in it. */
static apr_status_t disturbed(rly_bundle *b, const char **why)
{
    RELAY_WHY(why, b->p,
              "cannot make a bundle in %s: somebody moves things in that folder meanwhile; choose "
              "one that is "
              "yours alone",
              b->parent.path);
    return RELAY_EREFUSED;
}

/* DIR can still be made: nothing has its name yet. */
static apr_status_t check_absent(rly_bundle *b, const char *dir, const char **why)
{
    struct stat st;

    if (fstatat(b->parent.fd, *b->name ? b->name : ".", &st, AT_SYMLINK_NOFOLLOW) == 0) {
        RELAY_WHY(
            why, b->p,
            "%s is there already, and a bundle is never overwritten; choose another directory, or "
            "remove it first",
            dir);
        return RELAY_EREFUSED;
    }
    /* The name is too long, for example. */
    return errno == ENOENT ? APR_SUCCESS : cannot_make(b, dir, strerror(errno), why);
}

/* Splits DIR into its name and its parent, which is held from here on. */
static apr_status_t resolve(rly_bundle *b, const char *dir, const char **why)
{
    const char *parent = ".", *reason = NULL;
    char *copy = dir ? apr_pstrdup(b->p, dir) : NULL, *slash;

    if (copy) {
        if (!*copy) {
            RELAY_WHY(why, b->p, "-o needs a directory's name");
            return RELAY_EREFUSED;
        }
        for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
            copy[n - 1] = '\0';
        slash = strrchr(copy, '/');
        b->name = apr_pstrdup(b->p, slash ? slash + 1 : copy);
        if (slash) {
            slash[slash == copy] = '\0';
            parent = copy;
        }
    }
    if (rly_folder_hold(&b->parent, parent, b->p, &reason) != APR_SUCCESS)
        return cannot_make(b, parent, reason, why);
    return copy ? check_absent(b, dir, why) : APR_SUCCESS;
}

static apr_status_t write_private(rly_bundle *b, const relay_key *key, const char **why)
{
    apr_status_t rv = write_file(b, "id_relay", 0600, key->private_pem, why);

    if (rv == APR_SUCCESS)
        rv = write_data(b, "id_relay.dropbear", 0600, key->private_dropbear,
                        key->private_dropbear_len, why);
    return rv;
}

/* The directory and all that does not depend on the tunnel. */
static apr_status_t make(rly_bundle *b, const rly_bundle_request *req, const char **why)
{
    const struct {
        const char *name;
        mode_t mode;
        const char *text;
    } files[] = {
        {"id_relay.pub", 0644, apr_pstrcat(b->p, req->key->public_line, "\n", NULL)},
        {"run", 0755, rly_bundle_run_sh},
        {"relay-tunnel.service", 0644, rly_bundle_relay_tunnel_service},
    };
    apr_status_t rv = APR_SUCCESS;

    rv = rly_folder_make(&b->folder, &b->temp, &b->parent, b->p);
    if (rv == EBUSY)
        return disturbed(b, why);
    if (rv != APR_SUCCESS)
        return cannot_make(b, b->parent.path, strerror(rv), why);
    if (req->key->private_pem)
        rv = write_private(b, req->key, why);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rv == APR_SUCCESS; i++)
        rv = write_file(b, files[i].name, files[i].mode, files[i].text, why);
    return rv;
}

apr_status_t rly_bundle_prepare(rly_bundle **out, const rly_bundle_request *req, apr_pool_t *p,
                                const char **why)
{
    rly_bundle *b = apr_pcalloc(p, sizeof(*b));
    apr_status_t rv;

    b->p = p;
    b->made = apr_array_make(p, 8, sizeof(const char *));
    b->own_key = req->key->private_pem != NULL;
    b->tls = req->tls;
    if ((rv = resolve(b, req->dir, why)) != APR_SUCCESS)
        return rv;
    if (!rly_sshconfig_path(in(p, b->parent.path, b->name ? b->name : "relay-"), p, why))
        return RELAY_EREFUSED;
    if (req->private_file)
        b->private_file = rly_sshconfig_path(req->private_file, p, NULL);

    hold_signals(b);
    if ((rv = make(b, req, why)) != APR_SUCCESS) {
        rly_bundle_abandon(b);
        return rv;
    }
    *out = b;
    return APR_SUCCESS;
}

static apr_status_t write_known_hosts(rly_bundle *b, const char *relay,
                                      const apr_array_header_t *hostkeys, const char **why)
{
    const char *text = "";

    for (int i = 0; i < hostkeys->nelts; i++)
        text = apr_pstrcat(b->p, text, relay, " ", APR_ARRAY_IDX(hostkeys, i, const char *), "\n",
                           NULL);
    return write_file(b, "known_hosts", 0644, text, why);
}

apr_status_t rly_bundle_finish(rly_bundle *b, const relay_config *cfg, const relay_tunnel *t,
                               const apr_array_header_t *hostkeys, const char **path,
                               const char **why)
{
    const char *name = b->name ? b->name : apr_pstrcat(b->p, "relay-", t->id, NULL);
    const char *target = in(b->p, b->parent.path, name), *text;
    apr_status_t rv = RELAY_EREFUSED;

    if ((text = rly_sshconfig_text(cfg, t, target, b->private_file, b->own_key, b->tls, b->p,
                                   why)) == NULL)
        goto out;
    if ((rv = write_known_hosts(b, cfg->name, hostkeys, why)) != APR_SUCCESS ||
        (rv = write_file(b, "config", 0644, text, why)) != APR_SUCCESS)
        goto out;
    if ((rv = rly_folder_sync(&b->folder)) == APR_SUCCESS &&
        rly_folder_is(&b->folder, &b->parent, b->temp))
        rv = rly_folder_rename(&b->parent, b->temp, name);
    if (rv != APR_SUCCESS) {
        RELAY_WHY(why, b->p, "cannot make the bundle %s: %s", target, strerror(rv));
        goto out;
    }
    if (!rly_folder_is(&b->folder, &b->parent, name)) {
        rv = disturbed(b, why);
        goto out;
    }
    b->temp = NULL;
    rly_folder_sync(&b->parent);
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
        for (int i = 0; i < b->made->nelts; i++)
            unlinkat(b->folder.fd, APR_ARRAY_IDX(b->made, i, const char *), 0);
        if (rly_folder_is(&b->folder, &b->parent, b->temp))
            unlinkat(b->parent.fd, b->temp, AT_REMOVEDIR);
        b->temp = NULL;
    }
    sigprocmask(SIG_SETMASK, &b->signals_before, NULL);
}

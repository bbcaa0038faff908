/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <shadow.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostcheck.h"
#include "relay_sshdconf.h"

/* sshd has the keywords that it knows in lower case, each with a NUL around it. */
static int knows(const char *sshd, const char *keyword)
{
    struct stat st;
    int fd = open(sshd, O_RDONLY | O_CLOEXEC), found = 0;
    void *mem;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mem != MAP_FAILED) {
            found = memmem(mem, (size_t)st.st_size, keyword, strlen(keyword) + 1) != NULL;
            munmap(mem, (size_t)st.st_size);
        }
    }
    if (fd >= 0)
        close(fd);
    return found;
}

/* Debian's sshd lets a group write that has one member, root. */
static int is_roots_alone(gid_t gid)
{
    const struct group *gr = getgrgid(gid);
    const struct passwd *pw;
    int members = 0, others = 0;

    if (!gr)
        return 0;
    if (gr->gr_mem[0]) {
        members++;
        others = strcmp(gr->gr_mem[0], "root") != 0 || gr->gr_mem[1];
    }
    setpwent();
    while ((pw = getpwent()) != NULL)
        if (pw->pw_gid == gid) {
            members++;
            others |= pw->pw_uid != 0;
        }
    endpwent();
    return members && !others;
}

static int others_can_write(const struct stat *st, int debians)
{
    return st->st_mode & S_IWOTH ||
           (st->st_mode & S_IWGRP && !(debians && is_roots_alone(st->st_gid)));
}

/* One step of sshd's walk. The owners of a link and of its directory do not count. */
static apr_status_t check_step(const char *path, int is_dir, int debians, apr_pool_t *p,
                               const char **why)
{
    struct stat st;

    if (stat(path, &st)) {
        RELAY_WHY(why, p, "%s: %s", path, strerror(errno));
        return APR_EGENERAL;
    }
    if (!is_dir && !S_ISREG(st.st_mode)) {
        RELAY_WHY(why, p, "%s is not a regular file", path);
        return APR_EGENERAL;
    }
    if (st.st_uid != 0) {
        RELAY_WHY(why, p,
                  "%s belongs to user %lu; sshd runs it only if it is root's: chown root %s", path,
                  (unsigned long)st.st_uid, path);
        return APR_EGENERAL;
    }
    if (others_can_write(&st, debians)) {
        RELAY_WHY(why, p,
                  "%s can be written by others than root (mode %04o); sshd then does not run it: "
                  "chmod go-w %s",
                  path, (unsigned)(st.st_mode & 07777), path);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* Names the directory on the way that keeps the user out. */
static apr_status_t explain_way(const char *path, const char *user, int error, apr_pool_t *p,
                                const char **why)
{
    struct stat st;

    for (const char *slash = strchr(path + 1, '/'); error == EACCES && slash;
         slash = strchr(slash + 1, '/')) {
        const char *dir = apr_pstrmemdup(p, path, (apr_size_t)(slash - path));

        if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && access(dir, X_OK) != 0) {
            RELAY_WHY(why, p, "%s: mode %04o keeps user %s out, whom sshd runs it as: chmod o+x %s",
                      dir, (unsigned)(st.st_mode & 07777), user, dir);
            return APR_EGENERAL;
        }
    }
    RELAY_WHY(why, p, "%s: %s", path, strerror(error));
    return APR_EGENERAL;
}

apr_status_t hostcheck_program(const char *path, const char *user, const char *sshd, apr_pool_t *p,
                               const char **why)
{
    char real[PATH_MAX], walk[PATH_MAX], *up;
    struct stat st;
    /* Only Debian's sshd, and those built from it, know this one. */
    int debians = knows(sshd, "debianbanner");
    apr_status_t rv;

    if (*path != '/') {
        RELAY_WHY(why, p, "%s is not an absolute path", path);
        return APR_EGENERAL;
    }
    if (stat(path, &st) != 0 || !realpath(path, real))
        return explain_way(path, user, errno, p, why);
    memcpy(walk, real, sizeof(walk));
    rv = check_step(walk, 0, debians, p, why);
    while (rv == APR_SUCCESS && strcmp(walk, "/")) {
        up = dirname(walk); /* shortens walk itself, or returns a "/" of its own */
        memmove(walk, up, strlen(up) + 1);
        rv = check_step(walk, 1, debians, p, why);
    }
    if (rv == APR_SUCCESS && access(real, X_OK) != 0) {
        rv = APR_EGENERAL;
        if (errno == EACCES && (st.st_mode & 0111) != 0111)
            RELAY_WHY(why, p, "%s: mode %04o does not let user %s run it: chmod o+rx %s", real,
                      (unsigned)(st.st_mode & 07777), user, real);
        else
            RELAY_WHY(why, p, "%s: user %s cannot run it: %s%s", real, user, strerror(errno),
                      errno == EACCES ? "; is its file system mounted noexec?" : "");
    }
    return rv;
}

apr_status_t hostcheck_become(const char *user, apr_pool_t *p, const char **why)
{
    const struct passwd *pw = getpwnam(user);

    if (!pw) {
        RELAY_WHY(why, p,
                  "there is no user %s, which sshd runs this command as: "
                  "useradd --system --no-create-home --shell /usr/sbin/nologin %s",
                  user, user);
        return APR_EGENERAL;
    }
    if (initgroups(user, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid)) {
        RELAY_WHY(why, p, "cannot become user %s: %s", user, strerror(errno));
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

apr_status_t hostcheck_login(const char *user, apr_pool_t *p, const char **why)
{
    const struct spwd *sp;

    if (!getpwnam(user)) {
        RELAY_WHY(why, p,
                  "there is no user %s, which devices log in as: "
                  "useradd --system --no-create-home --shell /usr/sbin/nologin --password '*' %s",
                  user, user);
        return APR_EGENERAL;
    }
    /* auth.c, allowed_user: without PAM a shadow field that begins with `!` is a locked account. */
    sp = getspnam(user);
    if (sp && sp->sp_pwdp && *sp->sp_pwdp == '!') {
        RELAY_WHY(why, p,
                  "user %s is locked (its shadow field begins with `!`), and sshd with UsePAM no "
                  "refuses every "
                  "login of such a user: usermod -p '*' %s",
                  user, user);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* sshd takes the first value. */
static void take_penalties(void *baton, const relay_sshdconf_line *line, apr_pool_t *p)
{
    const char **value = baton;
    char *rest = line->rest;

    if (!*value && !line->conditional && strcasecmp(line->keyword, "PerSourcePenalties") == 0)
        *value = apr_pstrdup(p, relay_sshdconf_argument(&rest));
}

apr_status_t hostcheck_penalties(const char *sshd, const char *config, apr_pool_t *p,
                                 const char **why)
{
    const char *value = NULL, *trouble = NULL;

    if (!knows(sshd, "persourcepenalties"))
        return APR_SUCCESS;
    relay_sshdconf_read(config, "", take_penalties, &value, p, &trouble);
    if (trouble || (value && strcasecmp(value, "no") == 0))
        return APR_SUCCESS;
    RELAY_WHY(why, p,
              "after refused logins this sshd locks out the address, which devices behind one NAT "
              "share: where it listens, %s needs the line `PerSourcePenalties no`",
              config);
    return APR_EGENERAL;
}

/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <shadow.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostcheck.h"

/* One step of sshd's walk. A directory needs x for others, so that the command's user gets to the program. */
static apr_status_t check_step(const char *path, int is_dir, apr_pool_t *p, const char **why)
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
        RELAY_WHY(why, p, "%s belongs to user %lu; sshd runs it only if it is root's: chown root %s", path,
                  (unsigned long)st.st_uid, path);
        return APR_EGENERAL;
    }
    if (st.st_mode & 022) {
        RELAY_WHY(why, p, "%s can be written by others than root (mode %04o); sshd then does not run it: chmod go-w %s",
                  path, (unsigned)(st.st_mode & 07777), path);
        return APR_EGENERAL;
    }
    if (!(st.st_mode & S_IXOTH)) {
        RELAY_WHY(why, p, "%s: mode %04o keeps the user who runs it out: chmod %s %s", path,
                  (unsigned)(st.st_mode & 07777), is_dir ? "o+x" : "o+rx", path);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

apr_status_t hostcheck_program(const char *path, apr_pool_t *p, const char **why)
{
    char walk[PATH_MAX], *up;
    apr_status_t rv;

    if (!realpath(path, walk)) {
        RELAY_WHY(why, p, "%s: %s", path, strerror(errno));
        return APR_EGENERAL;
    }
    rv = check_step(walk, 0, p, why);
    while (rv == APR_SUCCESS && strcmp(walk, "/")) {
        up = dirname(walk); /* shortens walk itself, or returns a "/" of its own */
        memmove(walk, up, strlen(up) + 1);
        rv = check_step(walk, 1, p, why);
    }
    return rv;
}

apr_status_t hostcheck_become(const char *user, apr_pool_t *p, const char **why)
{
    const struct passwd *pw = getpwnam(user);

    if (!pw) {
        RELAY_WHY(why, p, "there is no user %s, which sshd runs this command as: "
                  "useradd --system --no-create-home --shell /usr/sbin/nologin %s", user, user);
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
        RELAY_WHY(why, p, "there is no user %s, which devices log in as: "
                  "useradd --system --no-create-home --shell /usr/sbin/nologin --password '*' %s", user, user);
        return APR_EGENERAL;
    }
    /* auth.c, allowed_user: without PAM a shadow field that begins with `!` is a locked account. */
    sp = getspnam(user);
    if (sp && sp->sp_pwdp && *sp->sp_pwdp == '!') {
        RELAY_WHY(why, p, "user %s is locked (its shadow field begins with `!`), and sshd with UsePAM no refuses every "
                  "login of such a user: usermod -p '*' %s", user, user);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_config_file.h"
#include "relay_log.h"

#include <apr_lib.h>
#include <errno.h>
#include <string.h>

/* 32 random bytes in hex are 64; a person's own may be longer. */
#define PASSWORD_MAX 256

apr_status_t relay_config_open(apr_file_t **out, apr_fileperms_t *mode, const char *path,
                               apr_pool_t *p, const char **why)
{
    apr_finfo_t info = {0};
    apr_status_t rv = apr_file_open(out, path, APR_READ | APR_BUFFERED, APR_OS_DEFAULT, p);
    char reason[120];

    if (rv == APR_SUCCESS)
        rv = apr_file_info_get(&info, APR_FINFO_TYPE | APR_FINFO_PROT, *out);
    if (rv == APR_SUCCESS && info.filetype == APR_DIR) {
        apr_file_close(*out);
        rv = APR_FROM_OS_ERROR(EISDIR);
    }
    if (rv != APR_SUCCESS)
        RELAY_WHY(why, p, "%s: cannot be read: %s", path, apr_strerror(rv, reason, sizeof(reason)));
    *mode = info.protection;
    return rv;
}

/* Refusing would stop a relay that works; the password has been read by whoever wanted to. */
void relay_config_warn_open(const char *path, apr_fileperms_t mode)
{
    if (mode & APR_FPROT_WREAD)
        relay_log(
            RELAY_LOG_WARNING,
            "RLY002 %s: it has Redis's password in it and every user of this host can read it: "
            "chmod o= it, give it the group of those who need it, and change the password",
            path);
}

apr_status_t relay_config_password(relay_config *cfg, const char *part, apr_pool_t *p,
                                   const char **why)
{
    const char *path = apr_pstrcat(p, cfg->passwords, "/", part, NULL), *wrong = NULL, *c;
    char line[PASSWORD_MAX + 2];
    apr_fileperms_t mode;
    apr_file_t *file;
    apr_status_t rv;
    apr_size_t len;

    if ((rv = relay_config_open(&file, &mode, path, p, &wrong)) != APR_SUCCESS) {
        RELAY_WHY(why, p,
                  "%s: [redis] passwords: %s. relay-redis-setup makes the files that are missing",
                  cfg->file, wrong);
        return rv;
    }
    if (apr_file_gets(line, sizeof(line), file) != APR_SUCCESS)
        line[0] = '\0';
    apr_file_close(file);
    len = strcspn(line, "\r\n");
    for (c = line; apr_isgraph(*c); c++)
        ;
    if (!len || len > PASSWORD_MAX || c != line + len) {
        RELAY_WHY(why, p,
                  "%s: [redis] passwords: %s: its first line is not a password, 1 to %d characters "
                  "of ASCII without blanks",
                  cfg->file, path, PASSWORD_MAX);
        rv = RELAY_EINPUT;
    }
    else {
        relay_config_warn_open(path, mode);
        cfg->redis->user = apr_pstrcat(p, "relay-", part, NULL);
        cfg->redis->password = apr_pstrmemdup(p, line, len);
        if (cfg->redis_read) {
            cfg->redis_read->user = cfg->redis->user;
            cfg->redis_read->password = cfg->redis->password;
        }
    }
    return rv;
}

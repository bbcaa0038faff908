/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Whether sshd can let anybody in here: what `sshd -t` says of its configuration, the directory
 * that it needs, the tunnel user's account. sshd itself says such things in its own log only, and
 * each device is told nothing.
 */
#ifndef RLYD_SSHDTEST_H
#define RLYD_SSHDTEST_H

#include "rlyd.h"

void sshdtest_init(rlyd *d);

/** For `rlyd -t`: waits, for seconds at most, for what `sshd -t` has to say.
 * @return APR_SUCCESS; or an error with *why */
apr_status_t sshdtest_now(const relay_config *cfg, apr_pool_t *p, const char **why);

/**
 * Tests in the background; what is wrong goes to the log.
 * @param prompted the sentence's beginning, a constant: what made us ask
 */
void sshdtest_start(rlyd *d, const char *prompted);

/** An sshd that rlyd had started has ended before a key was reported, with that status of
 * waitpid(). */
void sshdtest_ended(rlyd *d, const char *peer, int status, int64_t lasted_ms);

/** @return a sentence about why sshd refuses every login of the tunnel user; NULL when it does not.
 * In a buffer of its own */
const char *sshdtest_account(const relay_config *cfg);

/** Makes the directory where every sshd of this host puts its unauthenticated half, where it is
 * missing. */
void sshdtest_make_directory(void);

#endif

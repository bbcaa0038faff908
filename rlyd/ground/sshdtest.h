/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tests whether sshd can let anybody in here: its configuration (`sshd -t`), the directory that it
 * needs, the tunnel user's account. sshd itself complains in its own log only, and tells the device
 * nothing.
 */
#ifndef RLYD_GROUND_SSHDTEST_H
#define RLYD_GROUND_SSHDTEST_H

#include "rlyd.h"

void sshdtest_init(rlyd *d);

/** For `rlyd -t`: runs `sshd -t` and waits for it, for seconds at most.
 * @return APR_SUCCESS; or an error with *why */
apr_status_t sshdtest_now(const relay_config *cfg, apr_pool_t *p, const char **why);

/**
 * Tests in the background. A fault goes to the log.
 * @param prompted the beginning of that log line, a constant: what made us test
 */
void sshdtest_start(rlyd *d, const char *prompted);

/** An sshd that rlyd had started has ended, with that status of waitpid(), before a key was
 * reported. */
void sshdtest_ended(rlyd *d, const char *peer, int status, int64_t lasted_ms);

/** @return a sentence about why sshd refuses every login of the tunnel user; NULL when it does not.
 * The sentence lasts until the next call */
const char *sshdtest_account(const relay_config *cfg);

#endif

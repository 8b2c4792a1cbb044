/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Waiting, where others were faster. */

#include "store_call.h"

#include "token.h"

/* Full jitter: a pause of anything up to this, which doubles with each try. */
#define FIRST_PAUSE   500
#define LONGEST_PAUSE 32000

void bs_store_pause(int tries, apr_time_t deadline)
{
    bs_pause(FIRST_PAUSE, LONGEST_PAUSE, tries, deadline);
}

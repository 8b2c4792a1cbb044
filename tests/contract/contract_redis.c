/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"
#include "redis.h"

static void __attribute__((constructor)) offer(void)
{
    contract_offer(&bsession_redis_provider);
    contract_offer(&bsession_rediss_provider);
    contract_offer(&bsession_redis_unix_provider);
}

/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"
#include "file.h"

static void __attribute__((constructor)) offer(void)
{
    contract_offer(&bsession_file_provider);
}

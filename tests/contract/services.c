/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "services.h"

#include "parse.h"
#include "record.h"

void services_fill(bsession_services_t *services, apr_pool_t *process_pool)
{
    services->abi = BSESSION_PROVIDER_ABI;
    services->process_pool = process_pool;
    services->record_size = bs_record_size;
    services->record_write = bs_record_write;
    services->record_read = bs_record_read;
    services->key_text = bs_key_text;
    services->parse_size = bs_parse_size;
    services->parse_time = bs_parse_time;
    services->parse_flag = bs_parse_flag;
    services->check_options = bs_check_options;
    services->option = bs_option;
}

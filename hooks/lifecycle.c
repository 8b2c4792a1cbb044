/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "lifecycle.h"

#include "apr_hooks.h"
#include "apr_optional_hooks.h"

#include "guesses.h"

/* What APR keeps for each listener. The four events are alike: one of them stands for all. */
#define BS_DECLARE(type) type
APR_DECLARE_EXTERNAL_HOOK(bsession, BS, void, bsession_created, (bsession_t *s, request_rec *r))
APR_DECLARE_EXTERNAL_HOOK(bsession, BS, int, bsession_saving, (request_rec *r))

typedef bsession_LINK_bsession_created_t event_listener_t;
typedef bsession_LINK_bsession_saving_t saving_listener_t;

typedef struct {
    const void *list;
    int         count;
} listeners_t;

/* Who listens is settled before the first request, and the same for all threads. */
static listeners_t created, rotated, destroyed, expired, saving;
int bs_lifecycle_savers;

static void look_for(listeners_t *listeners, const char *hook)
{
    const apr_array_header_t *found = apr_optional_hook_get(hook);

    listeners->list = found ? found->elts : NULL;
    listeners->count = found ? found->nelts : 0;
}

void bs_lifecycle_start(void)
{
    look_for(&created, "bsession_created");
    look_for(&rotated, "bsession_rotated");
    look_for(&destroyed, "bsession_destroyed");
    look_for(&expired, "bsession_expired");
    look_for(&saving, "bsession_saving");
    bs_lifecycle_savers = saving.count;
}

static void tell(void *watcher, bs_event_t event)
{
    static const listeners_t *const of[BS_EVENTS] = {
        [BS_CREATED] = &created, [BS_ROTATED] = &rotated, [BS_DESTROYED] = &destroyed,
        [BS_UNKNOWN_TOKENS] = &expired
    };
    bs_slot_t *slot = watcher;
    int i;

    if ((event == BS_UNKNOWN_TOKENS || event == BS_UNKNOWN_BESIDE) && slot->request) {
        bs_guesses_count(slot->request, slot->session);
    }
    for (i = 0; of[event] && i < of[event]->count; i++) {
        const event_listener_t *listener = of[event]->list;

        listener[i].pFunc(&slot->handles[0], slot->request);
    }
}

void bs_lifecycle_watch(bs_slot_t *slot, request_rec *r)
{
    slot->request = r;
    slot->session->watch = tell;
    slot->session->watcher = slot;
}

int bs_lifecycle_ask_savers(request_rec *r)
{
    int i, good = 1;

    for (i = 0; i < saving.count; i++) {
        const saving_listener_t *listener = saving.list;

        good &= listener[i].pFunc(r) != 0;
    }
    return good;
}

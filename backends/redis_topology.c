/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_topology.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>

#include "redis_sentinel.h"
#include "redis_slots.h"

/* Without a reason, who owns what is asked again so often. */
#define TOPOLOGY_MASTER_GOOD apr_time_from_sec(2)
#define TOPOLOGY_SLOTS_GOOD  apr_time_from_sec(60)
/* With a reason that a call can live with, so often, and for so long at most. */
#define TOPOLOGY_STALE_GOOD  apr_time_from_msec(500)
#define TOPOLOGY_SOFT_LOOK   apr_time_from_msec(250)
/* With one that it cannot live with: a child does not storm the Sentinels. */
#define TOPOLOGY_LOOKS_APART apr_time_from_msec(20)
/* A look that has less time than this may be cut short by that, and says nothing then. */
#define TOPOLOGY_FAIR_LOOK   apr_time_from_msec(250)
/* A Sentinel's word is good for new connections for so long. */
#define TOPOLOGY_WORD_GOOD   apr_time_from_sec(1)

struct redis_topology_t {
    const redis_conf_t *conf;
    apr_thread_mutex_t *lock;               /* of everything below */
    apr_thread_cond_t  *looked;
    int                 looking;            /* a thread asks who owns what */
    int                 stale;              /* there is a reason to ask again */
    apr_time_t          tried;              /* when that was last done, in vain or not */
    int                 turn;               /* with whom to begin the next time */
    apr_status_t        result;             /* of the last look that why speaks of */
    char                why[128];           /* it failed */
    redis_slots_t       slots;
};

/* ------------------------------------------------------------------ asking who owns what */

static void topology_push(apr_array_header_t *list, const redis_address_t *address,
                          apr_pool_t *pool)
{
    redis_address_t *copy = apr_array_push(list);

    *copy = *address;
    copy->host = apr_pstrdup(pool, address->host);
}

/** Whom to ask: the nodes that are known, another one first each time, then those that the
 *  configuration names, and those that let somebody down at last. */
static apr_array_header_t *topology_advisers(redis_topology_t *topology, apr_pool_t *pool)
{
    int known = topology->slots.nodes->nelts, doubted, i;
    apr_array_header_t *list = apr_array_make(pool, known + topology->conf->naddresses,
                                              sizeof(redis_address_t));

    topology->turn++;
    for (doubted = 0; doubted < 2; doubted++) {
        for (i = 0; i < known; i++) {
            const redis_node_t *node = redis_slots_node(&topology->slots,
                                                        (i + topology->turn) % known);

            if (node->doubted == doubted) {
                topology_push(list, &node->address, pool);
            }
        }
        for (i = 0; i < topology->conf->naddresses && !doubted; i++) {
            topology_push(list, &topology->conf->addresses[i], pool);
        }
    }
    return list;
}

/** Leaves the lock while it asks.
 *  @param sure  the owners that are known have to be verified, where Sentinels name them again */
static apr_status_t topology_ask(redis_topology_t *topology, int sure, apr_array_header_t *ranges,
                                 bsession_call_t *call)
{
    redis_address_t known = { NULL, 0, NULL };
    apr_array_header_t *advisers = NULL;
    redis_range_t one = { { NULL, 0, NULL }, 0, 0 };
    int turn = topology->turn;
    apr_status_t status;

    if (topology->conf->layout == REDIS_CLUSTER) {
        advisers = topology_advisers(topology, call->pool);
        turn = topology->turn;
    }
    else if (!sure && topology->slots.owner[0]) {
        known = topology->slots.owner[0]->address;
        known.host = apr_pstrdup(call->pool, known.host);
    }
    apr_thread_mutex_unlock(topology->lock);
    if (advisers) {
        status = redis_cluster_look(topology->conf, advisers, ranges, call);
    }
    else {
        status = redis_sentinel_look(topology->conf, &turn, known.host ? &known : NULL,
                                     &one.address, call);
        APR_ARRAY_PUSH(ranges, redis_range_t) = one;
    }
    apr_thread_mutex_lock(topology->lock);
    topology->turn = turn;
    return status;
}

/** Why nobody could be asked, for whoever finds no owner: the words of the last look that had the
 *  time to find out. */
static void topology_remember(redis_topology_t *topology, apr_status_t status,
                              apr_interval_time_t had, const bsession_call_t *call)
{
    if (status == APR_SUCCESS) {
        topology->result = status;
        topology->why[0] = '\0';
    }
    else if (call->why[0] && (!topology->why[0] || had > TOPOLOGY_FAIR_LOOK)) {
        topology->result = status;
        apr_cpystrn(topology->why, call->why, sizeof topology->why);
    }
}

static const char *topology_excuse(const redis_topology_t *topology, const char *of_a_cluster)
{
    if (topology->why[0]) {
        return topology->why;
    }
    return topology->conf->layout == REDIS_CLUSTER ? of_a_cluster
         : "there was no time to ask a Sentinel for the master";
}

/** Under the lock, which it leaves meanwhile: asks, or waits until the thread has that does. */
static void topology_look(redis_topology_t *topology, int sure, const bsession_call_t *for_call)
{
    bsession_call_t call = *for_call;
    apr_interval_time_t left = call.deadline - redis_clock();
    apr_array_header_t *ranges;
    apr_status_t status;

    if (topology->looking) {
        if (left > 0) {
            apr_thread_cond_timedwait(topology->looked, topology->lock, left);
        }
        return;
    }
    topology->looking = 1;
    call.why[0] = '\0';
    ranges = apr_array_make(call.pool, 16, sizeof(redis_range_t));
    status = topology_ask(topology, sure, ranges, &call);
    if (status == APR_SUCCESS) {
        topology->stale = 0;
        redis_slots_apply(&topology->slots, ranges);
    }
    topology_remember(topology, status, left, &call);
    topology->looking = 0;
    topology->tried = redis_clock();
    apr_thread_cond_broadcast(topology->looked);
}

/** What a call can live without must not cost it much. */
static void topology_look_softly(redis_topology_t *topology, const bsession_call_t *for_call)
{
    bsession_call_t call = *for_call;
    apr_time_t soon = redis_clock() + TOPOLOGY_SOFT_LOOK;

    if (!topology->looking) {
        call.deadline = soon < call.deadline ? soon : call.deadline;
        topology_look(topology, 0, &call);
    }
}

static int topology_is_due(const redis_topology_t *topology, apr_time_t now)
{
    apr_interval_time_t good = topology->stale ? TOPOLOGY_STALE_GOOD
                             : topology->conf->layout == REDIS_CLUSTER ? TOPOLOGY_SLOTS_GOOD
                                                                       : TOPOLOGY_MASTER_GOOD;

    return now - topology->tried > good;
}

/* ------------------------------------------------------------------ where a key is */

redis_topology_t *redis_topology_make(const redis_conf_t *conf, apr_pool_t *pool)
{
    redis_topology_t *topology;
    apr_pool_t *own;

    /* what is learnt later is allocated under our lock, which the other users of pchild do not
     * take */
    if (apr_pool_create(&own, pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_tag(own, "redis topology");
    pool = own;
    topology = apr_pcalloc(pool, sizeof *topology);
    topology->conf = conf;
    if (!redis_slots_init(&topology->slots, conf, pool)
        || apr_thread_mutex_create(&topology->lock, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS
        || apr_thread_cond_create(&topology->looked, pool) != APR_SUCCESS) {
        return NULL;
    }
    if (conf->layout == REDIS_ALONE) {
        topology->slots.owner[0] = redis_node_make(conf, &conf->addresses[0], pool);
        return topology->slots.owner[0] ? topology : NULL;
    }
    return topology;
}

int redis_topology_can_change(const redis_topology_t *topology)
{
    return topology->conf->layout != REDIS_ALONE;
}

static int topology_slot(const redis_topology_t *topology, const redis_word_t *name)
{
    return topology->slots.count == 1 ? 0 : redis_cluster_slot(name->data, name->len);
}

/** Under the lock: asks who owns what where that is needed, or due. */
static void topology_refresh(redis_topology_t *topology, int slot, const bsession_call_t *call)
{
    int looks;

    for (looks = 0; looks < 2; looks++) {
        const redis_node_t *owner = topology->slots.owner[slot];
        apr_time_t now = redis_clock();

        if (owner && !owner->doubted) {
            if (looks == 0 && topology_is_due(topology, now)) {
                topology_look_softly(topology, call);
            }
            return;
        }
        if (now - topology->tried < TOPOLOGY_LOOKS_APART && (owner || !topology->looking)) {
            return;                         /* who has none asks again after a pause */
        }
        topology_look(topology, 1, call);
    }
}

apr_status_t redis_topology_find(redis_topology_t *topology, const redis_word_t *name,
                                 redis_node_t **node, bsession_call_t *call)
{
    int slot = topology_slot(topology, name);
    apr_status_t status;

    if (!redis_topology_can_change(topology)) {
        *node = topology->slots.owner[0];
        return APR_SUCCESS;
    }
    apr_thread_mutex_lock(topology->lock);
    topology_refresh(topology, slot, call);
    *node = topology->slots.owner[slot];
    if (*node) {
        (*node)->users++;
    }
    else {
        apr_cpystrn(call->why, topology_excuse(topology, "no node of the Cluster owns the slot of "
                                                         "this key"), sizeof call->why);
    }
    status = *node ? APR_SUCCESS : topology->result == APR_EACCES ? APR_EACCES : APR_EGENERAL;
    apr_thread_mutex_unlock(topology->lock);
    return status;
}

void redis_topology_let_go(redis_topology_t *topology, redis_node_t *node)
{
    if (!redis_topology_can_change(topology)) {
        return;
    }
    apr_thread_mutex_lock(topology->lock);
    node->users--;
    if (node->slots == 0) {
        node->used = redis_clock();
    }
    apr_thread_mutex_unlock(topology->lock);
}

void redis_topology_doubt(redis_topology_t *topology, redis_node_t *node)
{
    apr_thread_mutex_lock(topology->lock);
    node->doubted = 1;
    topology->stale = 1;
    apr_thread_mutex_unlock(topology->lock);
}

int redis_topology_confirms(redis_topology_t *topology, const redis_node_t *node,
                            bsession_call_t *call)
{
    int is;

    if (topology->conf->layout != REDIS_SENTINEL) {
        return 1;
    }
    apr_thread_mutex_lock(topology->lock);
    if (redis_clock() - topology->tried > TOPOLOGY_WORD_GOOD) {
        topology_look(topology, 0, call);
    }
    is = topology->slots.owner[0] == node;
    apr_thread_mutex_unlock(topology->lock);
    return is;
}

int redis_topology_keeps(redis_topology_t *topology, const redis_node_t *node,
                         const bsession_call_t *call)
{
    int does;

    apr_thread_mutex_lock(topology->lock);
    if (redis_clock() - topology->tried > TOPOLOGY_STALE_GOOD) {
        topology_look_softly(topology, call);
    }
    does = node->slots > 0;
    apr_thread_mutex_unlock(topology->lock);
    return does;
}

void redis_topology_redirect(redis_topology_t *topology, const redis_node_t *from, const char *said,
                             int moved, redis_node_t **to, bsession_call_t *call)
{
    redis_address_t address;
    int slot = redis_cluster_redirection(said, &from->address, &address, call->pool);

    *to = NULL;
    if (slot < 0 || topology->conf->layout != REDIS_CLUSTER) {
        return;
    }
    apr_thread_mutex_lock(topology->lock);
    redis_slots_sweep(&topology->slots);
    *to = redis_slots_node_at(&topology->slots, &address);
    if (*to) {
        (*to)->users++;
    }
    if (*to && moved) {
        redis_slots_own(&topology->slots, slot, *to);
        topology->stale = 1;
    }
    apr_thread_mutex_unlock(topology->lock);
}

unsigned redis_topology_number(redis_topology_t *topology, const redis_word_t *name)
{
    unsigned number = 0;

    if (topology->conf->layout == REDIS_CLUSTER) {
        const redis_node_t *node;

        apr_thread_mutex_lock(topology->lock);
        node = topology->slots.owner[topology_slot(topology, name)];
        number = node ? node->number : 0;
        apr_thread_mutex_unlock(topology->lock);
    }
    return number;
}

const char *redis_topology_text(redis_topology_t *topology, const redis_word_t *name,
                                apr_pool_t *pool)
{
    const char *text = NULL;

    if (topology->conf->layout == REDIS_CLUSTER) {
        const redis_node_t *node;

        apr_thread_mutex_lock(topology->lock);
        node = topology->slots.owner[topology_slot(topology, name)];
        text = node ? redis_address_text(&node->address, pool) : NULL;
        apr_thread_mutex_unlock(topology->lock);
    }
    return text;
}

/* ------------------------------------------------------------------ all of them */

/** In the order of addresses; NULL: there are not so many. */
static redis_node_t *topology_nth(const redis_topology_t *topology, apr_uint64_t n)
{
    int i;

    for (i = 0; i < topology->slots.nodes->nelts; i++) {
        redis_node_t *node = redis_slots_node(&topology->slots, i);

        if (node->slots && n-- == 0) {
            return node;
        }
    }
    return NULL;
}

/** Behind the last one it is asked again who they are: a key that went from one that a scan has not
 *  seen yet to one that it has is missed otherwise. */
apr_status_t redis_topology_nth(redis_topology_t *topology, apr_uint64_t n, redis_node_t **node,
                                apr_uint64_t *layout, bsession_call_t *call)
{
    int i, missing = 0;

    *node = NULL;
    *layout = 0;
    if (!redis_topology_can_change(topology)) {
        *node = topology->slots.owner[0];
        return n == 0 ? APR_SUCCESS : APR_EOF;
    }
    apr_thread_mutex_lock(topology->lock);
    if (!topology_nth(topology, n) || topology->stale
        || redis_clock() - topology->tried > TOPOLOGY_WORD_GOOD) {
        topology_look(topology, topology->stale, call);
    }
    for (i = 0; i < topology->slots.count; i++) {
        missing += !topology->slots.owner[i];
    }
    if (missing) {
        apr_cpystrn(call->why, topology_excuse(topology, "some slots of the Cluster are nobody's"),
                    sizeof call->why);
    }
    else if ((*node = topology_nth(topology, n)) != NULL) {
        (*node)->users++;
    }
    *layout = redis_slots_mark(&topology->slots);
    apr_thread_mutex_unlock(topology->lock);
    return missing ? APR_EGENERAL : *node ? APR_SUCCESS : APR_EOF;
}

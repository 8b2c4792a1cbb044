/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_script.h
 * @brief What a Redis server does for us in one step, in Lua: each script has one key, looks at
 *        everything before its first write, and so either does all or nothing.
 *
 * A record is a hash. Its fields are the session's keys, readable by whoever may read the server,
 * and beside them
 *
 *     _bs         the core's meta; without it there is no record, whatever else the hash holds
 *     _bs.rev     the revision
 *     _bs.epoch   the epoch
 *     _bs.size    bytes of all names and values: what BSessionLimit size= limits
 *
 * Its life is the key's own, and always told to the server as what is left of it: clocks differ.
 */
#ifndef REDIS_SCRIPT_H
#define REDIS_SCRIPT_H

#include <apr_pools.h>

typedef struct {
    const char *text;
    char        sha1[41];
} redis_script_t;

/*
 * Lives, as words of scripts: "k" keep, "n" never ends, or milliseconds from now.
 *
 * store   mode (c create, a create, again, p put, r replace), expected revision, new revision,
 *         epoch, life, size, meta, then name, value ...
 *         -> OK, EEXIST, NOTFOUND, EMISMATCH, UNKNOWN
 * merge   epoch, life, max bytes, max fields, revision or "" (any), then kind, name, value ...
 *         (kinds: s set, a add, u unset, i incr, c clear)
 *         -> OK, the revision, the number after each incr; or NOTFOUND, EMISMATCH, ENOSPC, UNKNOWN,
 *         CORRUPT
 * touch   life -> OK, NOTFOUND
 * remove  revision or "0" -> OK, NOTFOUND, EMISMATCH
 *
 * A create or merge that is sent again, since no answer came, may find another record than it
 * expects: UNKNOWN, where what came first may be ours and may be somebody else's.
 */
extern redis_script_t redis_store_script, redis_merge_script, redis_touch_script,
                      redis_remove_script;

/** Fills the digests: by the parent, before there are children. */
void redis_scripts_init(void);

#endif

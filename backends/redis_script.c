/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_script.h"

#include <string.h>

#include <apr_sha1.h>

/* A life that is prolonged and never shortened; -1 is one that never ends. */
#define PROLONG \
    "local function prolong(key, life)\n" \
    "  if life == 'k' then return end\n" \
    "  local left = redis.call('PTTL', key)\n" \
    "  if left == -1 then return end\n" \
    "  if life == 'n' then redis.call('PERSIST', key)\n" \
    "  elseif tonumber(life) > left then redis.call('PEXPIRE', key, life) end\n" \
    "end\n"

/* Lua's stack takes some thousands of arguments. */
#define IN_PORTIONS \
    "local function in_portions(command, key, list)\n" \
    "  for i = 1, #list, 1000 do\n" \
    "    redis.call(command, key, unpack(list, i, math.min(i + 999, #list)))\n" \
    "  end\n" \
    "end\n"

/* The first write is HSET, which a server that is full refuses: so nothing is gone by then. */
redis_script_t redis_store_script = { PROLONG IN_PORTIONS
    "local key, mode = KEYS[1], ARGV[1]\n"
    "local stored = redis.call('HMGET', key, '_bs', '_bs.rev')\n"
    "if mode == 'c' and stored[1] then return {'EEXIST'} end\n"
    "if mode == 'a' and stored[1] then\n"
    "  if stored[2] == ARGV[3] then return {'OK'} end\n"
    "  return {stored[1] == ARGV[7] and 'UNKNOWN' or 'EEXIST'}\n"
    "end\n"
    "if mode == 'r' then\n"
    "  if not stored[1] then return {'NOTFOUND'} end\n"
    "  if stored[2] ~= ARGV[2] then return {'EMISMATCH'} end\n"
    "end\n"
    "local names = redis.call('HKEYS', key)\n"
    "redis.call('HSET', key, '_bs', ARGV[7], '_bs.rev', ARGV[3], '_bs.epoch', ARGV[4],\n"
    "           '_bs.size', ARGV[6])\n"
    "local keep, pairs, gone = {['_bs'] = 1, ['_bs.rev'] = 1, ['_bs.epoch'] = 1,\n"
    "                           ['_bs.size'] = 1}, {}, {}\n"
    "for i = 8, #ARGV do\n"
    "  pairs[#pairs + 1] = ARGV[i]\n"
    "  if i % 2 == 0 then keep[ARGV[i]] = 1 end\n"
    "end\n"
    "in_portions('HSET', key, pairs)\n"
    "for i = 1, #names do\n"
    "  if not keep[names[i]] then gone[#gone + 1] = names[i] end\n"
    "end\n"
    "in_portions('HDEL', key, gone)\n"
    "if mode == 'r' then prolong(key, ARGV[5])\n"
    "elseif ARGV[5] == 'n' then redis.call('PERSIST', key)\n"
    "else redis.call('PEXPIRE', key, ARGV[5]) end\n"
    "return {'OK'}\n", "" };

/* Numbers are 64 bits, Lua's exact to 53: an integer is two limbs of ten digits, of one sign. */
#define NUMBERS \
    "local function fits(high, low)\n" \
    "  return high > -922337203 and high < 922337203\n" \
    "         or high == 922337203 and low <= 6854775807\n" \
    "         or high == -922337203 and low >= -6854775808\n" \
    "end\n" \
    "local function limbs(text)\n" \
    "  local sign, digits = string.match(text, '^(-?)(%d+)$')\n" \
    "  if not digits or text == '-0'\n" \
    "     or #digits > 1 and string.sub(digits, 1, 1) == '0' then return end\n" \
    "  local low = tonumber(string.sub(digits, -10))\n" \
    "  local high = tonumber(string.sub(digits, 1, -11)) or 0\n" \
    "  if sign == '-' then high, low = -high, -low end\n" \
    "  if fits(high, low) then return high, low end\n" \
    "end\n" \
    "local function sum(one, other)\n" \
    "  local high, low = limbs(one)\n" \
    "  local h, l = limbs(other)\n" \
    "  if not high or not h then return end\n" \
    "  high, low = high + h, low + l\n" \
    "  if low >= 1e10 then high, low = high + 1, low - 1e10\n" \
    "  elseif low <= -1e10 then high, low = high - 1, low + 1e10 end\n" \
    "  if high > 0 and low < 0 then high, low = high - 1, low + 1e10\n" \
    "  elseif high < 0 and low > 0 then high, low = high + 1, low - 1e10 end\n" \
    "  if not fits(high, low) then return end\n" \
    "  local sign = (high < 0 or low < 0) and '-' or ''\n" \
    "  high, low = math.abs(high), math.abs(low)\n" \
    "  if high > 0 then return sign .. string.format('%d%010.0f', high, low) end\n" \
    "  return sign .. string.format('%.0f', low)\n" \
    "end\n"

/* All is worked out in `new` first, name -> value or false; then it is written. */
redis_script_t redis_merge_script = { PROLONG IN_PORTIONS NUMBERS
    "local key = KEYS[1]\n"
    "local stored = redis.call('HMGET', key, '_bs', '_bs.rev', '_bs.epoch', '_bs.size')\n"
    "if not stored[1] then return {'NOTFOUND'} end\n"
    "local size, revision = sum(stored[4] or '', '0'), sum(stored[2] or '', '1')\n"
    "if not size or not revision then return {'CORRUPT'} end\n"
    "size = tonumber(size)\n"
    "if stored[3] ~= ARGV[1] then return {'EMISMATCH'} end\n"
    "if ARGV[5] ~= '' and stored[2] ~= ARGV[5] then return {'UNKNOWN'} end\n"
    "local new, order, cleared, answer = {}, {}, false, {'OK', ''}\n"
    "local function is(name)\n"
    "  if new[name] ~= nil then return new[name] end\n"
    "  return not cleared and redis.call('HGET', key, name)\n"
    "end\n"
    "local function becomes(name, value)\n"
    "  if new[name] == nil then order[#order + 1] = name end\n"
    "  new[name] = value\n"
    "end\n"
    "for i = 6, #ARGV, 3 do\n"
    "  local kind, name, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]\n"
    "  if kind == 's' then becomes(name, value)\n"
    "  elseif kind == 'u' then becomes(name, false)\n"
    "  elseif kind == 'a' then if not is(name) then becomes(name, value) end\n"
    "  elseif kind == 'i' then\n"
    "    local number = sum(is(name) or '0', value)\n"
    "    if not number then return {'EMISMATCH'} end\n"
    "    becomes(name, number)\n"
    "    answer[#answer + 1] = number\n"
    "  else new, order, cleared = {}, {}, true end\n"
    "end\n"
    "local count, gone, pairs = redis.call('HLEN', key) - 4, {}, {}\n"
    "if cleared then\n"
    "  size, count = 0, 0\n"
    "  for _, name in ipairs(redis.call('HKEYS', key)) do\n"
    "    if string.sub(name, 1, 3) ~= '_bs' and not new[name] then gone[#gone + 1] = name end\n"
    "  end\n"
    "end\n"
    "for _, name in ipairs(order) do\n"
    "  if not cleared and redis.call('HEXISTS', key, name) == 1 then\n"
    "    size, count = size - #name - redis.call('HSTRLEN', key, name), count - 1\n"
    "    if not new[name] then gone[#gone + 1] = name end\n"
    "  end\n"
    "  if new[name] then\n"
    "    size, count = size + #name + #new[name], count + 1\n"
    "    pairs[#pairs + 1], pairs[#pairs + 2] = name, new[name]\n"
    "  end\n"
    "end\n"
    "if size > tonumber(ARGV[3]) or count > tonumber(ARGV[4]) then return {'ENOSPC'} end\n"
    "redis.call('HSET', key, '_bs.size', string.format('%.0f', math.max(size, 0)),\n"
    "           '_bs.rev', revision)\n"
    "in_portions('HSET', key, pairs)\n"
    "in_portions('HDEL', key, gone)\n"
    "answer[2] = revision\n"
    "prolong(key, ARGV[2])\n"
    "return answer\n", "" };

redis_script_t redis_touch_script = { PROLONG
    "if redis.call('HEXISTS', KEYS[1], '_bs') == 0 then return {'NOTFOUND'} end\n"
    "prolong(KEYS[1], ARGV[1])\n"
    "return {'OK'}\n", "" };

redis_script_t redis_remove_script = {
    "local stored = redis.call('HMGET', KEYS[1], '_bs', '_bs.rev')\n"
    "if not stored[1] then return {'NOTFOUND'} end\n"
    "if ARGV[1] ~= '0' and stored[2] ~= ARGV[1] then return {'EMISMATCH'} end\n"
    "redis.call('DEL', KEYS[1])\n"
    "return {'OK'}\n", "" };

static void script_digest(redis_script_t *script)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t context;
    int i;

    apr_sha1_init(&context);
    apr_sha1_update(&context, script->text, (unsigned)strlen(script->text));
    apr_sha1_final(digest, &context);
    for (i = 0; i < APR_SHA1_DIGESTSIZE; i++) {
        script->sha1[2 * i] = digits[digest[i] >> 4];
        script->sha1[2 * i + 1] = digits[digest[i] & 15];
    }
    script->sha1[40] = '\0';
}

void redis_scripts_init(void)
{
    script_digest(&redis_store_script);
    script_digest(&redis_merge_script);
    script_digest(&redis_touch_script);
    script_digest(&redis_remove_script);
}

import { maxBins } from './tag-state.ts'

/** Redis runs each of them as one step; times are its own. All keys have one prefix, so that they lie in one slot of a cluster. */
export const redisScripts = Object.freeze({
  /**
   * An entry and the state of its tags. Tags that are not known begin.
   * KEYS entry, era, tags…; ARGV epoch of new tags, ms that tags live, ms that the entry lives from now on (0: as before).
   */
  read: `
local value = redis.call('get', KEYS[1])
local left = 0
if value then
  if ARGV[3] ~= '0' then redis.call('pexpire', KEYS[1], ARGV[3]) end
  left = redis.call('pttl', KEYS[1])
end
local found = { value, left, redis.call('hget', KEYS[2], 'token') }
for i = 3, #KEYS do
  local tag = redis.call('get', KEYS[i])
  if not tag then
    tag = ARGV[1] .. ' 0 0|'
    redis.call('set', KEYS[i], tag, 'px', ARGV[2])
  end
  found[i + 1] = tag
end
return found`,

  /**
   * Keeps an entry within its tenant's bytes: what has ended, and then what ends first, makes room. Releases the lock.
   * KEYS entry, lock, ends of the tenant's entries, their sizes, tags…; ARGV value, ms to live, bytes of the tenant, token of the lock, ms
   * that tags live.
   */
  write: `
-- first, because Redis that is full refuses a script only before it has written anything
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = tonumber(redis.call('hget', KEYS[4], '') or '0')
local function forget(key)
  held = held - tonumber(redis.call('hget', KEYS[4], key) or '0')
  redis.call('hdel', KEYS[4], key)
  redis.call('zrem', KEYS[3], key)
end
for _, key in ipairs(redis.call('zrangebyscore', KEYS[3], '-inf', now, 'limit', 0, 200)) do forget(key) end
forget(KEYS[1])
while held + #ARGV[1] > tonumber(ARGV[3]) do
  local first = redis.call('zrange', KEYS[3], 0, 0)[1]
  if not first then break end
  redis.call('unlink', first)
  forget(first)
end
redis.call('zadd', KEYS[3], now + ARGV[2], KEYS[1])
redis.call('hset', KEYS[4], KEYS[1], #ARGV[1], '', held + #ARGV[1])
redis.call('pexpire', KEYS[3], ARGV[5])
redis.call('pexpire', KEYS[4], ARGV[5])
for i = 5, #KEYS do redis.call('pexpire', KEYS[i], ARGV[5]) end
if redis.call('get', KEYS[2]) == ARGV[4] then redis.call('del', KEYS[2]) end
return 1`,

  /**
   * TagState.change of each tag that is known. Where Redis has no room for it the tag is forgotten, which is as good.
   * KEYS tags…; ARGV for each 'from,to;…' in hours, or '' for anywhere.
   */
  change: `
local function changed(text, hours)
  local epoch, counter, floor, rest = string.match(text, '^(%S+) (%d+) (%d+)|(.*)$')
  if not epoch then return nil end
  counter = tonumber(counter) + 1
  floor = tonumber(floor)
  local bins = {}
  if hours == '' then
    floor = counter
  else
    for from, to, at in string.gmatch(rest, '(%-?%d+),(%-?%d+),(%d+)') do
      bins[#bins + 1] = { tonumber(from), tonumber(to), tonumber(at) }
    end
    for from, to in string.gmatch(hours, '(%-?%d+),(%-?%d+)') do
      local bin = { tonumber(from), tonumber(to) }
      for i, known in ipairs(bins) do
        if known[1] <= bin[1] and known[2] >= bin[2] then
          bin = table.remove(bins, i)
          break
        end
      end
      bin[3] = counter
      bins[#bins + 1] = bin
      if #bins > ${maxBins} then
        local first = table.remove(bins, 1)
        if first[3] > floor then floor = first[3] end
      end
    end
  end
  local parts = {}
  for i, bin in ipairs(bins) do parts[i] = bin[1] .. ',' .. bin[2] .. ',' .. bin[3] end
  return epoch .. ' ' .. counter .. ' ' .. floor .. '|' .. table.concat(parts, ';')
end
for i, key in ipairs(KEYS) do
  local text = redis.call('get', key)
  if text then
    local new = changed(text, ARGV[i])
    local kept = new and redis.pcall('set', key, new, 'keepttl')
    if not kept or kept.err then redis.call('del', key) end
  end
end
return 1`,

  /** KEYS lock; ARGV token, ms. 1: it is ours. */
  lock: `
if redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) then return 1 end
return 0`,

  /** KEYS lock; ARGV token. */
  unlock: `
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0`,

  /**
   * KEYS era; ARGV '1': counts one more that wants to join. Answers Redis's time in ms, the token (or nothing), how many have wanted to
   * join, and up to which of them somebody has vouched.
   */
  look: `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token = redis.call('hget', KEYS[1], 'token')
if token and ARGV[1] == '1' then redis.call('hincrby', KEYS[1], 'joins', 1) end
return {
  tostring(now),
  token,
  redis.call('hget', KEYS[1], 'joins') or '0',
  redis.call('hget', KEYS[1], 'vouched') or '0',
}`,

  /** KEYS era; ARGV token, when it ends, '1': also where there is another. 1: it is ours. */
  begin: `
if ARGV[3] == '1' then redis.call('del', KEYS[1]) end
if redis.call('exists', KEYS[1]) == 1 then return 0 end
redis.call('hset', KEYS[1], 'token', ARGV[1], 'joins', 0, 'vouched', 0)
redis.call('pexpireat', KEYS[1], ARGV[2])
return redis.call('exists', KEYS[1])`,

  /** KEYS era; ARGV token, joins that are vouched for, when it ends. 0: it is another one, or has ended. */
  vouch: `
if redis.call('hget', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if tonumber(redis.call('hget', KEYS[1], 'vouched')) < tonumber(ARGV[2]) then
  redis.call('hset', KEYS[1], 'vouched', ARGV[2])
end
local time = redis.call('time')
local left = ARGV[3] - (time[1] * 1000 + math.floor(time[2] / 1000))
if left > redis.call('pttl', KEYS[1]) then redis.call('pexpireat', KEYS[1], ARGV[3]) end
return redis.call('exists', KEYS[1])`,
})

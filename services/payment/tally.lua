-- What one buyer or one card has ordered, and whether it is blocked (R5, R8). Every operation is done
-- once; an order keeps its first answer until it is forgotten.
--
-- KEYS  1  who: there while it is blocked
--       2  what is kept of who asks: an order's entry (a hash), or that a block's event was done
--       3  the orders that count: a sorted set, "ORDER CURRENCY AMOUNT" by purchase date (ms)
-- ARGV  1  the operation; 2 for how many ms to remember who asks
--       3… count    ORDER PURCHASED AFTER BEFORE KEEP_MS MOST_ORDERS CURRENCY AMOUNT MOST_SPEND
--                   counts the order, unless it makes more than MOST_ORDERS, or more than MOST_SPEND
--                   in its currency (none where that is empty), of those that were bought after AFTER
--                   until PURCHASED; what was bought before BEFORE is of no window any more
--          recount  the same, whatever there was: by what was decided long ago
--          forget   the order counts no more, and never will
--          block, unblock
-- An order's entry has the fields answer and, while it counts, counted (its member of the set).

local who, asker, orders = KEYS[1], KEYS[2], KEYS[3]
local operation, remember_ms = ARGV[1], ARGV[2]

-- Whether the orders of the window, with this amount, come to more than the most of a currency.
local function is_overspent(bought, currency, amount, most)
  local sum = amount
  for _, member in ipairs(bought) do
    local of, minor = string.match(member, ' (%S+) (%d+)$')
    sum = sum + (of == currency and tonumber(minor) or 0)
    if sum > most then
      return true -- no further: a double does not keep the units of very large sums
    end
  end
  return sum > most
end

local function verdict(after, purchased, most_orders, currency, amount, most_spend)
  if redis.call('EXISTS', who) == 1 then
    return 'blocked'
  elseif redis.call('ZCOUNT', orders, after, purchased) >= most_orders then
    return 'velocity_exceeded'
  elseif most_spend then
    local bought = redis.call('ZRANGEBYSCORE', orders, after, purchased)
    if is_overspent(bought, currency, amount, most_spend) then
      return 'spend_exceeded'
    end
  end
  return 'counted'
end

local function count(order, purchased, after, before, keep_ms, most_orders, currency, amount, most)
  local first = redis.call('HGET', asker, 'answer')
  if first then
    return first
  end
  redis.call('ZREMRANGEBYSCORE', orders, '-inf', '(' .. before)
  local answer = operation == 'recount' and 'counted' or verdict(
    '(' .. after, purchased, tonumber(most_orders), currency, tonumber(amount), tonumber(most)
  )
  redis.call('HSET', asker, 'answer', answer)
  redis.call('PEXPIRE', asker, remember_ms)
  if answer == 'counted' then
    local member = order .. ' ' .. currency .. ' ' .. amount
    redis.call('HSET', asker, 'counted', member)
    redis.call('ZADD', orders, purchased, member)
    redis.call('PEXPIRE', orders, keep_ms)
  end
  return answer
end

-- An order whose cancel comes first never counts.
local function forget()
  local member = redis.call('HGET', asker, 'counted')
  if member then
    redis.call('ZREM', orders, member)
    redis.call('HDEL', asker, 'counted')
  end
  redis.call('HSET', asker, 'answer', 'forgotten')
  redis.call('PEXPIRE', asker, remember_ms)
  return 'forgotten'
end

if operation == 'count' or operation == 'recount' then
  return count(unpack(ARGV, 3))
elseif operation == 'forget' then
  return forget()
elseif redis.call('SET', asker, operation, 'NX', 'PX', remember_ms) then
  if operation == 'block' then
    redis.call('SET', who, 1)
  else
    redis.call('DEL', who)
  end
end
return operation

-- Functions on budgets: what a level may use in a calendar day and month, in UTC (see ratelimit/periods.py).
--
-- The use of a period is a hash, its `tokens` and its `cost`.  To the functions of windows a period looks like a window:
-- `stored` has the sum of each unit, and all of it is gone in `ends_in` microseconds.

-- Return the functions open_budgets and spend; few charges need them, and each function costs all scripts that make it.
local function budget_functions()
  -- Return the day, since 1970, on which a month begins.  Months are counted from March of the year 0, so that the day of
  -- leap years is a year's last.
  local function first_day(month)
    local year = math.floor(month / 12)
    local leap_days = math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    return 365 * year + leap_days + math.floor((153 * (month % 12) + 2) / 5) - 719468
  end

  -- Return the period that ends when `end_day` begins.
  local function open_period(key, window, end_day)
    local stored = call('HMGET', key, 'tokens', 'cost')
    local is_new = not stored[1]
    stored = { 0, tonumber(stored[1]) or 0, tonumber(stored[2]) or 0 }
    return { key = key, stored = stored, is_new = is_new, ends_in = end_day * 86400000000 - window.now }
  end

  -- Append the day and the month of a level's budgets, each with its limits, to a list of windows, unless it has none.
  -- Return whether they are well formed.
  local function open_budgets(windows, budgets, prefix, name, window)
    if budgets == nil or budgets == cjson.null then return true end
    if type(budgets) ~= 'table' then return false end
    local limits, some = { BUDGET_LIMITS }, false
    for i = 2, #limits, 3 do
      local value = budgets[limits[i]]
      if limits[i + 1] == COST and type(value) == 'number' then value = math.floor(value * NANO + 0.5) end
      local limited = limit(value)
      if not limited then return false end
      limits[i], some = limited, some or limited >= 0
    end
    if not some then return true end
    local day = math.floor(window.slot / 86400)
    local month = math.floor((day + 719468) / 30.436875)
    while first_day(month) > day do month = month - 1 end
    while first_day(month + 1) <= day do month = month + 1 end
    local key = string.format('%s:budget:%d-%02d', prefix, math.floor((month + 2) / 12), (month + 2) % 12 + 1)
    local date, n, half = string.format('-%02d', day - first_day(month) + 1), #windows, #limits / 2
    windows[n + 1], windows[n + 2] = open_period(key .. date, window, day + 1), { unpack(limits, 1, half) }
    windows[n + 3], windows[n + 4] = open_period(key, window, first_day(month + 1)), { unpack(limits, half + 1) }
    return true
  end

  -- Charge amounts in a period.
  local function spend(period, amounts)
    local stored = period.stored
    for unit = TOKENS, COST do stored[unit] = stored[unit] + amounts[unit] end
    call('HSET', period.key, 'tokens', stored[TOKENS], 'cost', stored[COST])
    if period.is_new then call('EXPIRE', period.key, math.ceil(period.ends_in / 1000000) + BUDGET_KEEP_S) end
  end

  return open_budgets, spend
end

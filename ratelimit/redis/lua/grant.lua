-- Shrink the tokens of a charge, which are an upper bound, to what is left under every limit, but not below what the
-- prompt and one token of the answer need; its cost follows.  See granted in ratelimit/granting.py.
local function grant(windows, amounts, certain, token_cost)
  local tokens, least = amounts[TOKENS], math.min(amounts[TOKENS], certain[TOKENS] + 1)
  for i = 1, #windows, 2 do
    local limits = windows[i + 1]
    for j = 1, #limits, 3 do
      local limited, unit = limits[j + 1], limits[j + 2]
      local left = limited - windows[i].stored[unit]
      if limited >= 0 and unit == TOKENS then
        tokens = math.min(tokens, left)
      elseif limited >= 0 and unit == COST and token_cost > 0 then
        local money = left - certain[COST]
        local affordable = math.floor(money / token_cost)
        if math.ceil(affordable * token_cost) > money then affordable = affordable - 1 end
        tokens = math.min(tokens, certain[TOKENS] + affordable)
      end
    end
  end
  amounts[TOKENS] = math.max(tokens, least)
  amounts[COST] = certain[COST] + math.ceil(math.max(0, amounts[TOKENS] - certain[TOKENS]) * token_cost)
end

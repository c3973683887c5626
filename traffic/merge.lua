-- Add the report of one writer to a trace, once.
-- KEYS: the trace.
-- ARGV: JSON of what is the same in every report, JSON of what adds up, the writer's mark, the number of its report,
-- seconds to live.
-- What is stored and is no trace of the same buckets is replaced.

local function is_trace(stored, constants)
  for name, value in pairs(stored) do
    if type(name) ~= 'string' or type(value) ~= 'number' or value % 1 ~= 0 or value < 0 then return false end
  end
  return stored.meta_interval_sec == constants.meta_interval_sec and stored.meta_precision == constants.meta_precision
end

local constants, report = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
local mark, number = ARGV[3], tonumber(ARGV[4])
local decoded, merged = pcall(cjson.decode, redis.pcall('GET', KEYS[1]))
if not decoded or type(merged) ~= 'table' or not is_trace(merged, constants) then merged = {} end
if (merged[mark] or 0) >= number then return 0 end
merged[mark] = number
for name, value in pairs(constants) do merged[name] = value end
for name, value in pairs(report) do merged[name] = (merged[name] or 0) + value end
redis.call('SET', KEYS[1], cjson.encode(merged), 'EX', ARGV[5])
return 1

-- Stores memories of about 1 kB: content drawn from a pool of real words, a title that is never used twice.
-- Arguments: prefix of the titles, file with one fragment a line, length of a content in characters,
-- who stores.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "result.lua")

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  prefix = args[1] .. "-" .. number .. "-"
  pool = {}
  for line in io.lines(args[2]) do pool[#pool + 1] = line end
  length_min = tonumber(args[3])
  local seed = number
  for i = 1, #args[1] do seed = (seed * 31 + args[1]:byte(i)) % 2147483647 end
  math.randomseed(seed)
  headers = { ["Content-Type"] = "application/json", ["X-Agent-Id"] = args[4] }
  serial = 0
end

function request()
  serial = serial + 1
  local pieces, length = {}, 0
  while length < length_min do
    local piece = pool[math.random(#pool)]
    pieces[#pieces + 1] = piece
    length = length + #piece + 1
  end
  local body = '{"title":"' .. pool[math.random(#pool)] .. " " .. prefix .. serial
    .. '","namespace":"bench","content":"' .. table.concat(pieces, " ") .. '"}'
  return wrk.format("POST", "/api/v1/memories", headers, body)
end

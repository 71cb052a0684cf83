-- wrk: POST /api/notify, every request for another pubkey, from another client.
local requests = require("requests")
wrk.method = "POST"

function init(args)
  requests.seed()
  local begin = '{"trade_pubkey":"' .. requests.digits(48)
  request = requests.maker(function(n) return begin .. string.format('%016x"}', n) end)
end

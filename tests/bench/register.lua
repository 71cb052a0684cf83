-- wrk: POST /api/register, every request a new registration with a token of 163 characters.
local requests = require("requests")
wrk.method = "POST"

function init(args)
  requests.seed()
  local begin = '{"trade_pubkey":"' .. requests.digits(48)
  local rest = '","platform":"android","token":"' .. requests.digits(147)
  request = requests.maker(function(n)
    local digits = string.format("%016x", n)
    return begin .. digits .. rest .. digits .. '"}'
  end)
end

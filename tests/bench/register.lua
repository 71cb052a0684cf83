-- wrk: POST /api/register, every request a new registration with a token of 163 characters.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function init(args)
  math.randomseed(os.time() + tonumber(tostring({}):sub(8), 16) % 1000000)
end

local function hex(n)
  local digits = {}
  for i = 1, n / 4 do digits[i] = string.format("%04x", math.random(0, 65535)) end
  return table.concat(digits)
end

function request()
  wrk.headers["X-Forwarded-For"] = string.format("10.%d.%d.%d", math.random(0, 255),
                                                 math.random(0, 255), math.random(0, 255))
  return wrk.format(nil, nil, nil, '{"trade_pubkey":"' .. hex(64) ..
    '","platform":"android","token":"' .. hex(160) .. 'xyz"}')
end

-- requests: for wrk's scripts: requests that all differ, made so cheaply that wrk does not become
-- what is measured. wrk.format() and a random number for every few digits took it as many
-- instructions as nginx takes for the request.
local requests = {}

-- So many hexadecimal digits, others in every run.
function requests.digits(n)
  local digits = {}
  for i = 1, n do digits[i] = string.format("%x", math.random(0, 15)) end
  return table.concat(digits)
end

function requests.seed()
  math.randomseed(os.time() + tonumber(tostring({}):sub(8), 16) % 1000000)
end

-- A function that makes the next request, from another client than the last 16 million; body(n) is
-- the nth one, and all are of one length. For init(), when wrk knows the host.
function requests.maker(body)
  local head = wrk.method .. " " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] ..
    "\r\nContent-Type: application/json\r\nContent-Length: " .. #body(0) ..
    "\r\nX-Forwarded-For: 10."
  local n, format, floor = 0, string.format, math.floor
  local first = math.random(0, 2 ^ 24 - 1)
  return function()
    n = n + 1
    local client = (first + n * 9973) % 2 ^ 24 -- a prime, so that neighbours differ much
    return head .. format("%d.%d.%d\r\n\r\n", floor(client / 65536), floor(client / 256) % 256,
                          client % 256) .. body(n)
  end
end

return requests

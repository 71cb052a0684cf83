-- wrk: POST /api/notify as fast as it goes, from one client that is over its limit.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Forwarded-For"] = "192.0.2.1"
wrk.body = '{"trade_pubkey":"' .. string.rep("ab", 32) .. '"}'

-- wrk's part of a run: rotates over prepared requests, and ends in one line of JSON that starts with RESULT.
--
-- Arguments after `--`: method, body bytes, "close" or "keep", and a file with one Cookie header value a line. An empty line is a
-- user without a cookie. Requests are formatted once, so that the generator's cost for each is an index into a table.

local requests, at, last = {}, 0, 0

function init(args)
  local method, bytes, connection, users = args[1], tonumber(args[2]), args[3], args[4]
  local body = bytes > 0 and string.rep("x", bytes) or nil
  local headers = {}
  for name, value in pairs(wrk.headers) do headers[name] = value end
  if connection == "close" then headers["Connection"] = "close" end
  for cookie in io.lines(users) do
    if cookie ~= "" then headers["Cookie"] = cookie else headers["Cookie"] = nil end
    requests[#requests + 1] = wrk.format(method, nil, headers, body)
  end
  last = #requests
end

function request()
  at = at % last + 1
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.timeout, e.status))
end

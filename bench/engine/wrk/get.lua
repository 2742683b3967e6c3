-- One GET, as fast as it goes. wrk counts statuses above 399 by itself, which is the check; a response() function here
-- would cost it a multiple of all the rest.
wrk.method = "GET"
wrk.path = "/item"

function done(summary, latency, requests)
  io.write(string.format('{"requests": %d, "failed": %d}\n', summary.requests, summary.errors.status))
end

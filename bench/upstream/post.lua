-- wrk's requests: the lines of the file that $BODIES names, one after the other.
local bodies, at = {}, 0
for line in io.lines(os.getenv("BODIES")) do
    bodies[#bodies + 1] = line
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
    at = at % #bodies + 1
    return wrk.format(nil, nil, nil, bodies[at])
end

// h2_server.mjs CERT KEY -- an inference server behind TLS that speaks HTTP/2 and HTTP/1.1, as a hosted
// one does: echoes in OpenAI's words. Prints its port; GET /seen tells versions, connections and headers.
import fs from "node:fs";
import http2 from "node:http2";

const [cert, key] = process.argv.slice(2).map((name) => fs.readFileSync(name));
const seen = { versions: {}, connections: 0, team: null, key: null };
let id = 0;

function answer(request, response, body) {
    seen.versions[request.httpVersion] = (seen.versions[request.httpVersion] ?? 0) + 1;
    seen.team = request.headers["x-team"] ?? null;
    seen.key = request.headers.authorization ?? null;
    const text = JSON.parse(body).messages.at(-1).content;
    const reply = {
        id: `chatcmpl-${++id}`, object: "chat.completion", created: 1750000000, model: "h2",
        choices: [{ index: 0, finish_reason: "stop",
            message: { role: "assistant", content: `echo: ${text}` } }],
        usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    };
    setTimeout(() => response.end(JSON.stringify(reply)), 5);
}

const server = http2.createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/seen") {
        response.end(JSON.stringify(seen));
        return;
    }
    if (request.method !== "POST") { // it does not list its models
        response.statusCode = 404;
        response.end("{}");
        return;
    }
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => answer(request, response, Buffer.concat(parts).toString()));
});
server.on("secureConnection", () => { seen.connections += 1; });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();

// To the server that `miniraft cluster` runs: one WebSocket with what happens, POSTs with what to do.

const RETRY_MS = 1000;
let token = "";

// Calls `hello` with everything each time the connection is made, `news` with what is new then,
// and `lost` while there is none.
export function connect({ hello, news, lost }) {
  const socket = new WebSocket(`ws://${location.host}/stream`);
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "hello") {
      token = message.token;
      hello(message);
    } else news(message);
  });
  socket.addEventListener("close", () => {
    lost();
    setTimeout(() => connect({ hello, news, lost }), RETRY_MS);
  });
}

export async function post(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Miniraft-Token": token },
      body: JSON.stringify(body),
    });
    return await response.json();
  } catch {
    const message = "the cluster does not answer; look at the terminal of miniraft cluster";
    return { ok: false, message, text: message };
  }
}

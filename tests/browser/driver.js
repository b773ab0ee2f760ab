// Does to the page of the WebSocket what a person would, and more. What it sees it tells to its own origin.

const until = async (reached) => {
  while (!reached()) await new Promise((again) => setTimeout(again, 5));
};
const log = () => document.getElementById("log").textContent;
const click = (id) => document.getElementById(id).click();
const paste = (key) => { document.getElementById("key").value = key; };

// What a script may read of an answer of another origin.
const READ = ["ratelimit-policy", "ratelimit", "retry-after", "www-authenticate", "date"];
const ask = async (headers) => {
  const answer = await fetch(API + "/v1/ping", { headers });
  const fields = Object.fromEntries(READ.map((name) => [name, answer.headers.get(name)]));
  return { status: answer.status, fields, body: await answer.text() };
};
const bearer = { authorization: "Bearer " + KEY };

const find = async () => {
  const found = { origin: location.origin };
  found.missing = await ask({});
  found.admitted = await ask(bearer);

  paste(KEY.slice(0, -1));
  click("connect");
  await until(() => log().includes("closed: 1006"));
  paste(KEY);
  click("connect");
  await until(() => log().includes("connected"));
  found.protocol = socket.protocol;
  click("say");
  await until(() => log().includes("< hello"));
  const talk = setInterval(() => socket.readyState === WebSocket.OPEN && click("say"), 5);
  await until(() => log().includes("closed: 1013"));
  clearInterval(talk);

  // A unit may have come back meanwhile.
  do { found.refused = await ask(bearer); } while (found.refused.status === 200);
  click("ping");
  await until(() => log().includes("RateLimit: "));
  found.log = log();
  return found;
};

find().catch((error) => ({ error: String(error), log: log() }))
  .then((found) => fetch("/findings", { method: "POST", body: JSON.stringify(found) }));

// Points a browser's WebSocket at Strikewire's stream: the one that Node has, which keeps
// the interface of browsers. It sends no headers of its own and answers pings by itself.
//
//     node --experimental-websocket check_stream.mjs http://127.0.0.1:8080
//
// A chain, ticks and an indicator are subscribed, deltas applied; the numbers must follow each
// other, and a ping must find the indicator alive. The exit status is 0 when all of that holds.

const SOON = 20_000;
const base = process.argv[2].replace(/\/$/, "");
const url = `${base.replace(/^http/, "ws")}/api/v2/stream`;

const fail = (why) => {
  console.error(why);
  process.exit(1);
};
setTimeout(() => fail("not done in time"), SOON);

const merge = (into, changes) => {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete into[name];
    else into[name] = value;
  }
};

const chains = new Map();
const ticks = new Map();
let tokens = null;
let refused = null;
let leased = null;
let alive = null;
let indicator = null;
const socket = new WebSocket(url);
const send = (message) => socket.send(JSON.stringify(message));

socket.onopen = () => {
  send({ action: "subscribe", channel: "ticks", id: "t", instruments: ["NIFTY", "RELIANCE"] });
  send({ action: "subscribe", channel: "chain", id: "c", symbol: "NIFTY", width: 5, conflate_ms: 100 });
  send({
    action: "subscribe",
    channel: "indicators",
    id: "i",
    session_id: "browser",
    subscriptions: [{ symbol: "NIFTY", timeframe: "1min", indicator: "SMA_5" }],
  });
  send({ action: "ping", id: "p" });
  send({ action: "dance", id: "d" });
};
socket.onerror = () => fail("the socket failed");

socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  switch (message.type) {
    case "ack":
      if (message.id === "t") ({ tokens } = message);
      if (message.id === "i") [leased] = message.results;
      break;
    case "pong":
      [alive] = message.results;
      break;
    case "indicator":
      if (message.value !== null) indicator = message;
      break;
    case "error":
      refused = message;
      break;
    case "ticks":
      for (const item of message.items) ticks.set(item.token, item);
      break;
    case "snapshot":
      chains.set(message.sub, { ...message, deltas: 0 });
      break;
    case "delta": {
      const known = chains.get(message.sub);
      if (message.epoch !== known.epoch) fail("another epoch");
      if (message.seq !== known.seq + 1) fail(`a gap: ${known.seq}, ${message.seq}`);
      merge(known.chain, message.chain);
      for (const token of message.remove) delete known.quotes[token];
      for (const [token, fields] of Object.entries(message.set)) {
        merge((known.quotes[token] ??= {}), fields);
      }
      known.seq = message.seq;
      known.deltas += 1;
      break;
    }
  }
  const [chain] = chains.values();
  const done =
    chain?.deltas >= 15 &&
    Object.keys(chain.quotes).length === 10 &&
    ticks.has("NIFTY") &&
    ticks.has("RELIANCE") &&
    indicator;
  if (!done || socket.readyState !== WebSocket.OPEN) return;
  if (tokens.join() !== "NIFTY,RELIANCE") fail(`tokens: ${tokens}`);
  if (refused?.id !== "d" || !refused.choices.includes("subscribe")) fail(JSON.stringify(refused));
  if (leased?.key !== "indicator_sub:NIFTY:1min:SMA_5") fail(JSON.stringify(leased));
  if (!alive?.alive || alive.indicator_id !== "SMA_5") fail(JSON.stringify(alive));
  // An average of the last closes is near the price, in a market that does not jump.
  const away = Math.abs(indicator.value / ticks.get("NIFTY").ltp - 1);
  if (indicator.symbol !== "NIFTY" || away > 0.1) fail(JSON.stringify(indicator));
  socket.close(1000);
};

socket.onclose = ({ code, wasClean }) => {
  if (!wasClean || code !== 1000) fail(`closed with ${code}`);
  const [chain] = chains.values();
  console.log(
    `Node ${process.versions.node}'s WebSocket: ${chain.deltas} deltas of a chain of ` +
      `${Object.keys(chain.quotes).length} legs, up to ${chain.seq}; ` +
      `${indicator.indicator_id} of ${indicator.symbol} ${indicator.value}`,
  );
  process.exit(0);
};

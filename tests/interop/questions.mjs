// Questions through the built shim, against the real sidecar. Prints one JSON object of what it saw.
// Arguments: the package's index.js, what to do, an answer, the sidecar's command.
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, what, title, ...command] = process.argv.slice(2);
const { PanelBridge, Sidecar } = await import(pathToFileURL(dist).href);
const { Questions } = await import(pathToFileURL(join(dirname(dist), "questions.js")).href);
const seen = { asked: [], rejections: [] };
process.on("unhandledRejection", (error) => seen.rejections.push(String(error)));
const outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ kind: error.kind ?? error.name, message: error.message }));
const until = async (test) => {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) if (await test()) return true;
  return false;
};
const note = ({ signal, ...question }) => void seen.asked.push(question);
const choose = (question) => question.actions.find((action) => action.title === title) ?? null;
/** Nothing is held back or wrong, and the cycle that an answer started is over. */
const synced = async (sidecar) => {
  const settled = await until(async () => (({ guarded, lastError }) => guarded === 0 && lastError === null)(await sidecar.api.sync.status()));
  seen.last = await outcome(sidecar.call("sync/run"));
  return settled && "value" in seen.last;
};

const doings = {
  /** Answered by the host's own dialog. */
  async answer() {
    const sidecar = new Sidecar({ command, onQuestion: async (question) => (note(question), choose(question)) });
    seen.first = await outcome(sidecar.call("sync/run"));
    seen.synced = (await until(() => seen.asked.length > 0)) && (await synced(sidecar));
    await sidecar.dispose();
  },
  /** Answered on a page that was opened when the question had been there for a while. */
  async panel() {
    const sidecar = new Sidecar({ command });
    const bridge = new PanelBridge(sidecar);
    seen.first = await outcome(sidecar.call("sync/run"));
    const open = async () => (await bridge.call("sidecar/questions", {})).result;
    await until(async () => (await open()).length > 0);
    const events = [];
    bridge.listen((event) => events.push(event));
    const [question] = await open();
    note(question);
    const wrong = [{ id: question.id, title: "what" }, { id: question.id, title: { toString: 1 } }, { id: "another", title }, { id: null, title }, { id: question.id, title, extra: 1 }];
    seen.wrong = await Promise.all(wrong.map((params) => bridge.call("sidecar/answer", params)));
    seen.stillOpen = (await open()).length;
    const both = [bridge.call("sidecar/answer", { id: question.id, title }), bridge.call("sidecar/answer", { id: question.id, title })];
    seen.answered = (await Promise.all(both)).map((answer) => answer.result.answered);
    seen.told = events.includes("sidecar/didChangeQuestions");
    seen.synced = await synced(sidecar);
    seen.left = (await open()).length;
    await sidecar.dispose();
  },
  /** Hosts that have no answer. Each goes on, and the question stays open on the sidecar's side. */
  async none() {
    const handlers = {
      none: undefined,
      throws: () => { throw new Error("no window"); },
      rejects: () => Promise.reject(new Error("no window")),
      nonsense: () => ({ title: "what" }),
      number: () => 7,
      nothing: () => undefined,
      later: () => ({ title: "Later" }),
    };
    seen.results = {};
    for (const [name, handler] of Object.entries(handlers)) {
      const sidecar = new Sidecar({ command, ...(handler && { onQuestion: (question) => (note(question), handler()) }) });
      seen.results[name] = { first: await outcome(sidecar.call("sync/run")) };
      if (handler) await until(() => seen.asked.length > Object.keys(seen.results).length - 2);
      seen.results[name].again = await outcome(sidecar.call("sync/run"));
      seen.results[name].status = (await sidecar.api.sync.status()).configured;
      await sidecar.dispose();
    }
  },
  /** A dialog that stays open while the question settles elsewhere, and while the sidecar dies. */
  async late() {
    const closed = [];
    const sidecar = new Sidecar({ command, onQuestion: (question) => (note(question), new Promise((resolve) => question.signal.addEventListener("abort", () => (closed.push(question.kind), resolve(choose(question)))))) });
    const info = await sidecar.start();
    await outcome(sidecar.call("sync/run"));
    await until(() => seen.asked.length > 0);
    process.kill(info.capabilities.experimental.opencodeSidecar.pid, "SIGKILL");
    seen.closedByDeath = await until(() => closed.length === 1);
    await outcome(sidecar.call("sync/run"));
    await until(() => seen.asked.length > 1);
    seen.elsewhere = await outcome(sidecar.call("sync/run", { deletions: "restore" }));
    seen.closedElsewhere = await until(() => closed.length === 2);
    await outcome(sidecar.call("sync/run"));
    seen.status = await sidecar.api.sync.status();
    const bridge = new PanelBridge(sidecar);
    seen.open = (await bridge.call("sidecar/questions", {})).result.length;
    await sidecar.dispose();
  },
  /** Several handlers, without a sidecar. */
  async handlers() {
    const question = { type: 2, message: "?", kind: "x", actions: [{ title: "yes" }, { title: "no" }] };
    const never = () => new Promise(() => undefined);
    const ask = async (handlers, then = () => undefined, withdrawn = new AbortController()) => {
      const board = new Questions();
      const signals = [];
      const ends = handlers.map((handler) => board.add((asked) => (signals.push(asked.signal), handler(asked))));
      const answer = board.ask(question, withdrawn.signal);
      await then({ board, ends, withdrawn });
      const late = new Promise((resolve) => setTimeout(() => resolve("open"), 200));
      const title = await Promise.race([answer, late]).then((action) => action?.title ?? action);
      return [title, signals.every((signal) => signal.aborted)];
    };
    const no = () => ({ title: "no" });
    seen.outcomes = {
      "nobody is there": await ask([]),
      "one does not know, one answers": await ask([() => null, no]),
      "one throws, one answers": await ask([() => { throw new Error(); }, no]),
      "nobody knows": await ask([() => null, () => undefined]),
      "one thinks, one answers": await ask([never, no]),
      "one thinks, one does not know": await ask([never, () => null]),
      "one thinks, and leaves": await ask([never], ({ ends }) => ends[0]()),
      "one comes later": await ask([never], ({ board }) => void board.add(no)),
      "it is withdrawn": await ask([never], ({ withdrawn }) => withdrawn.abort()),
      "it is withdrawn at once": await ask([() => void (seen.phantom = true)], ({ withdrawn }) => withdrawn.abort()),
      "it is withdrawn before": await ask([no], undefined, (() => { const gone = new AbortController(); gone.abort(); return gone; })()),
    };
  },
};
await doings[what]();
console.log(JSON.stringify(seen));

// The main process of a made-up desktop app. It owns the sidecar; a page on the loopback interface stands for its window.
import { PanelBridge, servePanel, Sidecar, SidecarError } from "opencode-sidecar";

/** Seconds between syncs that nobody asks for; 0 for none. */
const every = Number(process.env.HOST_SYNC_SECONDS ?? 120);

const sidecar = new Sidecar({ clientInfo: { name: "example-host", version: "1.0.0" }, onCrash: (error) => console.error(error.message, error.stderr) });
const bridge = new PanelBridge(sidecar, { onJoined: () => every > 0 && void sync() });
const server = await servePanel(bridge);
console.log(`Open ${server.link()}`);
const timer = setInterval(() => every > 0 && void sync(), Math.max(1, every) * 1000);

async function sync() {
  try {
    await sidecar.call("sync/run");
  } catch (error) {
    if (!(error instanceof SidecarError && error.kind === "notConfigured")) console.error(error.message); // the page shows it, too
  }
}

async function quit() {
  clearInterval(timer);
  await server.close();
  await sidecar.dispose(); // takes git and whatever else it started along
}
process.once("SIGINT", quit);
process.once("SIGTERM", quit);

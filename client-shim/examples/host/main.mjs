// The main process of a made-up desktop app: it owns the sidecar, and shows the panel to its window. In Electron, server.mjs falls
// away: `ipcMain.handle` and `webContents.send` take its place, see README.md.
import { PanelBridge, Sidecar, SidecarError } from "opencode-sidecar";
import { serve } from "./server.mjs";

/** Seconds between syncs that nobody asks for; 0 for none. */
const every = Number(process.env.HOST_SYNC_SECONDS ?? 120);

const sidecar = new Sidecar({ clientInfo: { name: "example-host", version: "1.0.0" }, onCrash: (error) => console.error(error.message, error.stderr) });
const bridge = new PanelBridge(sidecar);
const server = await serve(bridge);
console.log(`Open ${server.url}`);

const timer = every > 0 ? setInterval(() => void sync(), every * 1000) : undefined;
if (every > 0) void sync();

async function sync() {
  try {
    await sidecar.call("sync/run");
  } catch (error) {
    if (!(error instanceof SidecarError && error.kind === "notConfigured")) console.error(error.message); // the page shows it, too
  }
}

async function quit() {
  clearInterval(timer);
  server.close();
  await sidecar.dispose(); // takes git and whatever else it started along
  process.exit(0);
}
process.once("SIGINT", quit);
process.once("SIGTERM", quit);

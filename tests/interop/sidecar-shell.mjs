// The package's `$` whose commands run in a real sidecar; `SIDECAR`: its command as a JSON array.
import { createShell as overSidecar, Sidecar } from "../../client-shim/dist/index.js";

const sidecar = new Sidecar({ command: JSON.parse(process.env.SIDECAR) });
delete process.env.SIDECAR;
delete process.env.PYTHONPATH;
await sidecar.start();
process.once("beforeExit", () => sidecar.dispose());
export const nodeRunner = undefined;
export const createShell = () => overSidecar(sidecar);

import { spawn } from "node:child_process";
import type { NotifyCommand } from "./commands.js";

const SOON_MS = 2_000;

/** What opens an address in the person's browser. */
export function openCommand(url: string, platform: NodeJS.Platform, env: NodeJS.ProcessEnv): NotifyCommand {
  if (platform === "darwin") return { program: "/usr/bin/open", args: [url] };
  // Not through a shell, which would take an & in the address for its own.
  if (platform === "win32") return { program: `${env["SystemRoot"] ?? "C:\\Windows"}\\System32\\rundll32.exe`, args: ["url.dll,FileProtocolHandler", url] };
  return { program: "xdg-open", args: [url] };
}

/** Resolves to whether it seems to have worked: a browser that stays in front does not end, which counts as yes. */
export function openInBrowser(url: string, platform: NodeJS.Platform = process.platform, env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  const { program, args } = openCommand(url, platform, env);
  return new Promise((resolve) => {
    const soon = setTimeout(() => resolve(true), SOON_MS);
    const end = (works: boolean): void => {
      clearTimeout(soon);
      resolve(works);
    };
    const child = spawn(program, args, { stdio: "ignore", windowsHide: true, detached: true, env });
    child.unref();
    child.once("error", () => end(false));
    child.once("exit", (code) => end(code === 0));
  });
}

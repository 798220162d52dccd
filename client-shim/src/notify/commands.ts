/** The programs of each system that show a notification. Words go in as arguments or environment, never into a script's text. */

export interface NotifyCommand {
  program: string;
  args: string[];
  env?: Record<string, string>;
}

export interface Words {
  title: string;
  body: string;
}

const SHOWN_MS = 8_000;

const APPLESCRIPT = ["on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run"];

/** Constant: it reads the words from its environment, and they become text nodes. */
const POWERSHELL = [
  "$ErrorActionPreference = 'Stop'",
  "[void][Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]",
  "$xml = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)",
  "$lines = $xml.GetElementsByTagName('text')",
  "[void]$lines.Item(0).AppendChild($xml.CreateTextNode($env:OPENCODE_SIDECAR_TITLE))",
  "[void]$lines.Item(1).AppendChild($xml.CreateTextNode($env:OPENCODE_SIDECAR_BODY))",
  // The id of PowerShell's own shortcut: Windows shows toasts of registered programs only.
  "$app = '{1AC14E77-02E7-4E5D-B744-2EB1AF5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'",
  "[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($app).Show([Windows.UI.Notifications.ToastNotification]::new($xml))",
].join("\n");

/** What shows these words on this system; undefined where nothing is known to. */
export function notifyCommand(words: Words, platform: NodeJS.Platform, env: NodeJS.ProcessEnv): NotifyCommand | undefined {
  const { title, body } = words;
  if (platform === "darwin") {
    // The title is ours and no option, so nothing after it is taken for one.
    return { program: "/usr/bin/osascript", args: [...APPLESCRIPT.flatMap((line) => ["-e", line]), title, body] };
  }
  if (platform === "win32") {
    const program = `${env["SystemRoot"] ?? "C:\\Windows"}\\System32\\WindowsPowerShell\\v1.0\\powershell.exe`; // by its place: not what lies in the current folder
    return { program, args: ["-NoProfile", "-NonInteractive", "-Command", POWERSHELL], env: { OPENCODE_SIDECAR_TITLE: title, OPENCODE_SIDECAR_BODY: body } };
  }
  if (platform !== "linux" && !platform.endsWith("bsd")) return undefined;
  return { program: "notify-send", args: ["--app-name=opencode", `--expire-time=${SHOWN_MS}`, "--", title, escaped(body)] };
}

/** Desktops read the body as markup: a session's title must not become a link or a picture. */
function escaped(body: string): string {
  return body.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

import type { Device, StatusResult } from "../../generated/protocol.js";
import { foreign, h } from "../dom.js";
import { ago, bytes, count, exactly } from "../text.js";

/** More than this and the clocks of two machines disagree visibly. */
const CLOCK_MS = 5 * 60_000;
const PLATFORMS: Record<string, string> = { linux: "Linux", darwin: "macOS", win32: "Windows", windows: "Windows" };

export function devicesView(status: StatusResult): Node[] {
  const devices = [...status.devices].sort((a, b) => Number(b.thisDevice) - Number(a.thisDevice) || a.name.localeCompare(b.name));
  return [h("ul", { class: "list", "aria-label": "Devices" }, ...devices.map(deviceItem)), facts(status)];
}

function deviceItem(device: Device): Node {
  const about = [PLATFORMS[device.platform] ?? device.platform, device.opencodeVersion ? `opencode ${device.opencodeVersion}` : "", `id ${device.id.slice(0, 8)}`];
  const seen =
    device.lastPublished === null
      ? h("span", { class: "soft small" }, "has published nothing yet")
      : h("span", { class: "soft small", title: exactly(device.lastPublished) }, `published ${ago(device.lastPublished)}`);
  return h(
    "li",
    {},
    h("div", { class: "grow" }, h("div", { class: "name" }, foreign(device.name), " ", device.thisDevice && h("span", { class: "tag good" }, "this machine")), foreign(about.filter(Boolean).join(" · "), "soft small")),
    device.behind > 0 && h("span", { class: "tag warn" }, `${count(device.behind, "update")} not applied here`),
    device.clockAheadMs > CLOCK_MS && h("span", { class: "tag warn" }, `clock ${Math.round(device.clockAheadMs / 60_000)} min ahead`),
    seen,
  );
}

function facts(status: StatusResult): Node {
  const facts: Array<[string, string]> = [
    ["Remote", status.remote ?? ""],
    ["Encryption", status.encryption === "none" ? "none: whoever reads the remote reads your sessions" : `${status.encryption ?? ""}, end to end`],
    ...(!status.keyChanged ? [] : [["Key", `changed by ${status.keyChanged.by}, taken over ${ago(status.keyChanged.at)}`] as [string, string]]),
    ["On this machine", status.lastSync === null ? bytes(status.databaseBytes) : `${count(status.sessions, "session")}, ${count(status.rows, "row")}, ${bytes(status.databaseBytes)}`],
    ["Vault", bytes(status.vaultBytes)],
    ["Database", status.database],
  ];
  return h("dl", { class: "small" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, foreign(value))]));
}

/** `<opencode-sidecar-panel>`, a web component without dependencies. Importing this registers it where there is a DOM. */
import { SidecarPanel } from "./panel.js";

export { type Answer, PANEL_EVENTS, PANEL_METHODS, type PanelError, type PanelEvent, type PanelHost, type PanelMethod, type PanelParams, type PanelQuestion } from "./port.js";
export { SidecarPanel } from "./panel.js";

declare global {
  interface HTMLElementTagNameMap {
    "opencode-sidecar-panel": SidecarPanel;
  }
}

if (globalThis.customElements !== undefined && customElements.get("opencode-sidecar-panel") === undefined) customElements.define("opencode-sidecar-panel", SidecarPanel);

/** The little of opencode's plugin API that we use, as all versions from 1.2 on have it. */

export interface Session {
  id: string;
  title: string;
  directory: string;
}

export interface OpencodeClient {
  tui: {
    showToast(options: { body: { message: string; variant: "info" | "success" | "warning" | "error"; duration?: number } }): Promise<unknown>;
  };
  session: {
    get(options: { path: { id: string }; query?: { directory?: string } }): Promise<{ data?: Session | undefined }>;
    update(options: { path: { id: string }; query?: { directory?: string }; body: { title: string } }): Promise<unknown>;
  };
  app: {
    log(options: { body: { service: string; level: "info" | "warn" | "error"; message: string } }): Promise<unknown>;
  };
}

/** What opencode hands to a plugin; one call for each directory that is opened. `$` is undefined on Desktop: we do not use it. */
export interface PluginInput {
  client: OpencodeClient;
  directory: string;
}

export interface CommandConfig {
  template: string;
  description: string;
}

export interface Hooks {
  event(input: { event: { type: string } }): Promise<void>;
  config(config: { command?: Record<string, CommandConfig> }): Promise<void>;
  tool: Record<string, unknown>;
  dispose(): Promise<void>;
}

import { homedir } from "node:os";

/** Variables and working directory: what a subshell gets a copy of. */
export class ShellEnvironment {
  cwd: string;
  previousCwd: string;
  /** Variables that only the shell sees. */
  readonly local: Map<string, string>;
  /** Variables that commands get. */
  readonly exported: Map<string, string>;

  constructor(cwd: string, exported: Iterable<readonly [string, string]>, local: Iterable<readonly [string, string]> = [], previousCwd = cwd) {
    this.cwd = cwd;
    this.previousCwd = previousCwd;
    this.exported = new Map(exported);
    this.local = new Map(local);
  }

  copy(): ShellEnvironment {
    return new ShellEnvironment(this.cwd, this.exported, this.local, this.previousCwd);
  }

  get(name: string): string {
    return this.local.get(name) ?? this.exported.get(name) ?? "";
  }

  home(): string {
    const name = process.platform === "win32" ? "USERPROFILE" : "HOME";
    return this.get(name) || homedir();
  }

  changeDirectory(path: string): void {
    this.previousCwd = this.cwd;
    this.cwd = path;
    this.exported.set("OLDPWD", this.previousCwd);
    this.exported.set("PWD", this.cwd);
  }

  /** What a command gets, with its own assignments (`A=1 cmd`). */
  forCommand(assignments: ReadonlyMap<string, string>): Record<string, string> {
    return Object.fromEntries([...this.exported, ...assignments]);
  }
}

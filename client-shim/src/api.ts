import { API_METHODS, type Api } from "./generated/protocol.js";

/** `api.sync.status()` for `call("sync/status")`, and so on for every method. */
export function makeApi<Options>(call: (method: never, params: never, options: Options | undefined) => Promise<unknown>): Api<Options> {
  const functions = (space: string, names: readonly string[]): Array<[string, unknown]> =>
    names.map((name) => [name, (params: object = {}, options?: Options) => call(`${space}/${name}` as never, params as never, options)]);
  return Object.fromEntries(Object.entries(API_METHODS).map(([space, names]) => [space, Object.fromEntries(functions(space, names))])) as unknown as Api<Options>;
}

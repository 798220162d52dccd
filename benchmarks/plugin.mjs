// How long a process is held up by loading and calling the plugin; prints milliseconds.
const [, , file] = process.argv;
const never = () => new Promise(() => undefined);
const client = { tui: { showToast: never }, session: { get: never, update: never }, app: { log: never } };
const began = performance.now();
const { default: plugin } = await import(file);
await plugin({ client, directory: process.cwd(), $: undefined }, {});
console.log(performance.now() - began);
process.exit(0);

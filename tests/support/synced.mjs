// Runs opencode-synced's own code: node synced.mjs MODULE, where MODULE exports its createSyncService. One start of opencode, as it sees it.
import { execFile } from "node:child_process"
import { pathToFileURL } from "node:url"

const said = []
const client = {
  app: { log: async ({ body }) => void (body.level !== "debug" && said.push(`${body.level}: ${body.message} ${JSON.stringify(body.extra ?? {})}`)) },
  tui: { showToast: async ({ body }) => void said.push(`toast ${body.variant}: ${body.message}`) },
  config: { get: async () => ({ data: {} }) },
}

function $(parts, ...values) {
  const words = parts // a value is never split, and sticks to the text that it touches
    .flatMap((part, index) => [...part.split(/(\s+)/), ...(index < values.length ? [values[index]] : [])])
    .reduce((found, piece) => (/^\s+$/.test(piece) ? [...found, ""] : [...found.slice(0, -1), found.at(-1) + piece]), [""])
    .filter(Boolean)
  const done = new Promise((resolve, reject) =>
    execFile(words[0], words.slice(1), (error, stdout, stderr) => (error ? reject(new Error(`${words.join(" ")}: ${stderr}`)) : resolve(stdout))),
  )
  return Object.assign(done, { quiet: () => Object.assign(done, { text: () => done }), text: () => done })
}

const { createSyncService } = await import(pathToFileURL(process.argv[2]).href)
await createSyncService({ client, $ }).startupSync()
console.log(said.join("\n"))
process.exit(0)

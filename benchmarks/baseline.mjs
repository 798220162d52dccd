// The algorithm of tools that copy per-session JSON files: every session is read, merged and rewritten in each cycle, then `git add -A`,
// commit, push. Node >= 22.5. usage: baseline.mjs DB REPO [--grouped] [--push] [--write-remote-only]
import { DatabaseSync } from 'node:sqlite';
import fs from 'node:fs'; import path from 'node:path'; import { execFileSync } from 'node:child_process';
const [dbPath, repo, ...flags] = process.argv.slice(2);
const grouped = flags.includes('--grouped'), push = flags.includes('--push'), writeAll = flags.includes('--write-remote-only');
const T = (db, t) => db.prepare(`PRAGMA table_info(${t})`).all().map((r) => r.name);
const t0 = performance.now();
const git = (...a) => execFileSync('git', ['-C', repo, ...a], { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
if (push) { try { git('fetch', '-q', 'origin'); git('merge', '-q', '--ff-only', 'origin/main'); } catch {} }
const tFetch = performance.now();
const dir = path.join(repo, 'data', 'sessions'); fs.mkdirSync(dir, { recursive: true });
const db = new DatabaseSync(dbPath); try { db.exec('PRAGMA wal_checkpoint'); } catch {}
const C = Object.fromEntries(['session', 'message', 'part', 'todo'].map((t) => [t, T(db, t)]));
const remoteIds = fs.readdirSync(dir).filter((f) => f.endsWith('.json')).map((f) => f.slice(0, -5));
const localIds = db.prepare('SELECT id FROM session').all().map((r) => r.id);
const newer = (a, b) => (a.time_updated >= b.time_updated ? a : b);
const union = (l, r, key) => { const m = new Map(l.map((x) => [key(x), x])); for (const x of r) { const e = m.get(key(x)); m.set(key(x), e ? newer(e, x) : x); } return [...m.values()]; };
function read(id) {
  const session = db.prepare(`SELECT ${C.session.join(',')} FROM session WHERE id=?`).get(id); if (!session) return null;
  const messages = db.prepare(`SELECT ${C.message.join(',')} FROM message WHERE session_id=?`).all(id);
  if (grouped) { const by = Map.groupBy(db.prepare(`SELECT ${C.part.join(',')} FROM part WHERE session_id=?`).all(id), (p) => p.message_id); for (const m of messages) m.parts = by.get(m.id) ?? []; }
  else for (const m of messages) m.parts = db.prepare(`SELECT ${C.part.join(',')} FROM part WHERE message_id=?`).all(m.id);
  return { session, messages, todos: db.prepare(`SELECT ${C.todo.join(',')} FROM todo WHERE session_id=?`).all(id) };
}
const toWrite = []; let merged = 0;
for (const id of new Set([...localIds, ...remoteIds])) {
  const local = read(id), f = path.join(dir, id + '.json');
  const remote = fs.existsSync(f) ? JSON.parse(fs.readFileSync(f, 'utf8')) : null; let out;
  if (!local) out = remote; else if (!remote) out = local; else {
    merged++; const m = new Map(local.messages.map((x) => [x.id, x]));
    for (const x of remote.messages) { const e = m.get(x.id); if (!e) m.set(x.id, x); else { const w = newer(e, x); w.parts = union(e.parts, x.parts, (p) => p.id); m.set(x.id, w); } }
    out = { session: newer(local.session, remote.session), messages: [...m.values()], todos: union(local.todos, remote.todos, (t) => t.session_id + ':' + t.content) };
  }
  if (remoteIds.length && (local || writeAll)) toWrite.push(out);
  fs.writeFileSync(f, JSON.stringify(out));
}
if (toWrite.length) {
  const st = (t) => db.prepare(`INSERT OR REPLACE INTO ${t} (${C[t].join(',')}) VALUES (${C[t].map(() => '?').join(',')})`);
  const v = (x) => x == null ? null : typeof x === 'object' ? JSON.stringify(x) : x;
  db.exec('BEGIN'); const S = { session: st('session'), message: st('message'), part: st('part'), todo: st('todo') };
  const put = (t, r) => S[t].run(...C[t].map((c) => v(r[c])));
  for (const s of toWrite) { put('session', s.session); for (const m of s.messages) { put('message', m); for (const p of m.parts) put('part', p); } for (const t of s.todos) put('todo', t); }
  db.exec('COMMIT');
}
db.close(); const tMerge = performance.now();
let committed = false;
if (push) { git('add', '-A'); if (git('status', '--porcelain')) { git('-c', 'user.name=x', '-c', 'user.email=x@x', 'commit', '-q', '-m', 'sync'); git('push', '-q', 'origin', 'HEAD:main'); committed = true; } }
const tEnd = performance.now();
console.log(JSON.stringify({ sessions: localIds.length, merged, fetch_ms: tFetch - t0 | 0, merge_ms: tMerge - tFetch | 0, git_ms: tEnd - tMerge | 0, total_ms: tEnd - t0 | 0, rss_mb: process.memoryUsage().rss >> 20, committed }));

'use strict';

// What all of hullwright's actions share: find the program, start it, hand it
// every signal and end with its code. It has no dependencies, so that it can be
// read whole before it is trusted. The files beside it name the command.

const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const pinned = require('./checksums.json');

const releases = 'https://github.com/hullwright/hullwright/releases/download/v{version}/{file}';
const largest = 256 << 20; // bytes of a download
const patience = 5 * 60 * 1000; // ms of a download, all tries together; hullwright waits longer when it asks for one
const stale = 60 * 60 * 1000; // ms after which no download is under way any more
const arches = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ppc64: 'ppc64le', riscv64: 'riscv64', s390x: 's390x' };
const systems = { linux: 'linux', darwin: 'darwin', win32: 'windows' };

// Fault is what a person is told: what is wrong, and the next move.
class Fault extends Error {
  constructor(message, hint, code = 3) {
    super(message);
    Object.assign(this, { hint, code });
  }
}

// input is an action's input as runners set it: GitHub keeps hyphens, others do not.
function input(name) {
  const key = `INPUT_${name.toUpperCase()}`;
  return (process.env[key] || process.env[key.replace(/-/g, '_')] || '').trim();
}

// find gives the program's path and, where its checksum is pinned, the name of
// its file in checksums.json.
async function find(command) {
  for (const [name, file] of [['input "binary"', input('binary')], ['HULLWRIGHT_BINARY', process.env.HULLWRIGHT_BINARY]]) {
    if (!file) continue;
    if (!fs.existsSync(file)) throw new Fault(`${name}: no file ${file}`, 'name the program, relative to the working directory or absolute', 2);
    return { file: path.resolve(file), pin: '' };
  }
  // metadata has a program of its own too, which is small and starts at once.
  const system = `${systems[process.platform] || process.platform}-${arches[process.arch] || process.arch}`;
  const name = command === 'metadata' ? 'metadata' : 'hullwright';
  const ext = process.platform === 'win32' ? '.exe' : '';
  const pin = `${name}-${system}${ext}`;
  const own = 'build one with "go build ./cmd/hullwright" and name it in the input "binary" or in HULLWRIGHT_BINARY';
  if (!pinned.version) throw new Fault('this tree of the action pins no release of hullwright', `use a released version of the action; or ${own}`);
  if (!pinned.sha256[pin]) throw new Fault(`hullwright ${pinned.version} has no program for ${system}`, own);

  const cache = process.env.RUNNER_TOOL_CACHE || process.env.RUNNER_TEMP || os.tmpdir();
  const cached = path.join(cache, 'hullwright', pinned.version, process.arch, name + ext);
  const vendored = path.join(__dirname, '..', 'bin', system, name + ext);
  if (await holds(cached, pin)) return { file: cached, pin };
  if (fs.existsSync(vendored)) {
    if (await holds(vendored, pin)) return { file: vendored, pin };
    throw new Fault(`${vendored} is not hullwright ${pinned.version}: its SHA-256 is another`, 'put there the program of that version, or nothing');
  }
  await download(pin, cached);
  return { file: cached, pin };
}

// companion is the program that evaluates source policies, beside a released
// one, and the name of its file in checksums.json.
function companion(file, pin) {
  const own = pin.replace('hullwright', 'hullwright-policy');
  return [path.join(path.dirname(file), path.basename(file).replace('hullwright', 'hullwright-policy')), own];
}

// accompany sees to it that beside a released program no other one evaluates
// source policies than its own. Where that is not there, the program is told how
// to have it got: it is large, and only a build that has a policy needs it.
async function accompany(file, pin) {
  const [beside, own] = companion(file, pin);
  if (await holds(beside, own)) return {};
  if (file.startsWith(path.join(__dirname, '..', 'bin', path.sep))) {
    if (fs.existsSync(beside)) throw new Fault(`${beside} is not hullwright ${pinned.version}: its SHA-256 is another`, 'put there the program of that version, or nothing');
    return {};
  }
  fs.rmSync(beside, { force: true }); // hullwright would run it
  if (!pinned.sha256[own]) return {}; // hullwright says so where a policy is in force
  return { HULLWRIGHT_POLICY_FETCH: JSON.stringify([process.execPath, path.join(__dirname, 'policy.js'), file, pin]) };
}

// fetchPolicy is what hullwright then runs.
async function fetchPolicy(file, pin) {
  const [beside, own] = companion(file, pin);
  if (!(await holds(beside, own))) await download(own, beside);
}

// holds is whether a file is there and is what was pinned.
async function holds(file, pin) {
  if (!fs.existsSync(file)) return false;
  const hash = crypto.createHash('sha256');
  for await (const chunk of fs.createReadStream(file)) hash.update(chunk);
  return hash.digest('hex') === pinned.sha256[pin];
}

// download leaves the verified program at file, or nothing.
async function download(pin, file) {
  const url = (input('download-template') || releases).replaceAll('{version}', pinned.version).replaceAll('{file}', pin);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  sweep(file);
  const part = `${file}.${crypto.randomUUID()}`;
  const deadline = AbortSignal.timeout(patience);
  try {
    for (let attempt = 1; ; attempt++) {
      const again = await fetchTo(url, part, deadline);
      if (!again) break;
      if (attempt === 3 || deadline.aborted) throw new Fault(`download ${url}: ${again}`, 'for a mirror set the input "download-template"; offline, the input "binary"');
      await new Promise((resolve) => setTimeout(resolve, attempt * 1000));
    }
    if (!(await holds(part, pin))) {
      throw new Fault(`download ${url}: its SHA-256 is not the pinned one; it was not run, and is removed`, 'see what stands at that address: a proxy, a log-in page or a broken mirror, or somebody else');
    }
    fs.chmodSync(part, 0o755);
    fs.renameSync(part, file); // only a whole, verified program ever has this name
  } finally {
    fs.rmSync(part, { force: true });
  }
}

// sweep removes the parts that downloads to file left which were killed. They are
// as large as programs, and nobody else would.
function sweep(file) {
  const dir = path.dirname(file);
  const prefix = `${path.basename(file)}.`;
  for (const name of fs.readdirSync(dir)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f-]{36}$/.test(name.slice(prefix.length))) continue;
    const part = path.join(dir, name);
    try {
      if (Date.now() - fs.statSync(part).mtimeMs > stale) fs.rmSync(part);
    } catch {
      // It is gone, or another user's: a download does without.
    }
  }
}

// fetchTo writes what stands at an address to a file. It gives a reason where
// another try may help. Plain http is for a mirror on this machine only, and no
// redirect may lead to it.
async function fetchTo(url, file, deadline) {
  for (let hops = 0, from = url; hops <= 5; hops++) {
    const { protocol, hostname } = URL.canParse(url) ? new URL(url) : {};
    const local = hops === 0 && protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
    if (protocol !== 'https:' && !local) throw new Fault(`download ${from}: ${url} is no https address`, 'only https is followed', hops === 0 ? 2 : 3);
    let response;
    try {
      response = await fetch(url, { redirect: 'manual', signal: deadline });
      if (response.ok) {
        await write(response.body, file, url);
        return '';
      }
    } catch (err) {
      if (err instanceof Fault) throw err;
      return String(err.cause || err);
    }
    const { status } = response;
    if (status === 408 || status === 429 || status >= 500) return `the server answered ${status}`;
    if (status < 300 || status >= 400) throw new Fault(`download ${url}: the server answered ${status}`, 'for a mirror set the input "download-template"; offline, the input "binary"');
    url = new URL(response.headers.get('location') || '', url).href;
  }
  throw new Fault(`download ${url}: too many redirects`, 'name the last address in the input "download-template"');
}

async function write(chunks, file, url) {
  const handle = await fs.promises.open(file, 'w', 0o600);
  try {
    let size = 0;
    for await (const chunk of chunks) {
      if ((size += chunk.length) > largest) throw new Fault(`download ${url}: more than ${largest} bytes`, 'see what stands at that address');
      await handle.writeFile(chunk);
    }
  } finally {
    await handle.close();
  }
}

// run starts the program and ends as it ends. spawnSync would keep node from
// seeing the signals with which a runner cancels a step.
function run(file, args, env = process.env) {
  // Before the start: a signal that came in between would end node alone.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  const child = spawn(file, args, { env, stdio: 'inherit', windowsHide: true });
  child.on('error', (err) => fail(new Fault(`start ${file}: ${err.message}`, 'it must be a program for this machine, and executable')));
  child.on('exit', (code, signal) => process.exit(signal ? 128 + os.constants.signals[signal] : code));
}

function fail(err) {
  console.error(`hullwright: error: ${err.message}`);
  if (err.hint) console.error(`hullwright: hint: ${err.hint}`);
  console.error(`::error title=hullwright::${escape(err.message)}`);
  process.exitCode = err instanceof Fault ? err.code : 3;
}

function escape(text) {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

// save keeps a value for the post step.
function save(name, value) {
  const fence = crypto.randomUUID();
  if (process.env.GITHUB_STATE) fs.appendFileSync(process.env.GITHUB_STATE, `${name}<<${fence}\n${value}\n${fence}\n`);
}

// main runs a command.
async function main(command) {
  const { file, pin } = await find(command);
  save('hullwright-binary', file);
  if (pin) save('hullwright-pin', pin);
  const more = pin && command === 'build-push' ? await accompany(file, pin) : {};
  run(file, command === 'metadata' && path.parse(file).name === 'metadata' ? [] : [command], { ...process.env, ...more });
}

// post has a command undo what the state file says was made, where there is one:
// main may have ended before it made anything.
async function post(command, key) {
  const { [`STATE_${key}`]: state, 'STATE_hullwright-binary': file, 'STATE_hullwright-pin': pin } = process.env;
  if (!state || !file) return;
  if (pin && !(await holds(file, pin))) throw new Fault(`${file} is no longer hullwright ${pinned.version}: it was not run`, `what ${state} names is left behind`);
  // The action's inputs are still set, and the command has some of the same names.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(INPUT|HULLWRIGHT)_/.test(name)));
  run(file, [command, '--state', state], env);
}

exports.main = (command) => main(command).catch(fail);
exports.policy = (file, pin) => fetchPolicy(file, pin).catch(fail);
exports.post = (command = 'teardown', key = 'hullwright-state') => post(command, key).catch(fail);

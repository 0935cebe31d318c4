// What Xen Orchestra makes of a VM's `other_config`: its rules for `VM.docker` and for its tab "Container", written from
// the contract of the old clients, on the XML parser that it uses, with its options.
// Argument: the folder of fast-xml-parser.  Reads one `other_config` a line from stdin, and answers each with a line:
// `{docker, rows}`, or `{error}` where Xen Orchestra would lose the VM or could not draw the tab.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const [folder] = process.argv.slice(2)
const { XMLParser } = createRequire(import.meta.url)(folder)
const parser = new XMLParser({
  attributeNamePrefix: '',
  ignoreAttributes: false,
  ignoreDeclaration: true,
  parseTagValue: false,
  parseAttributeValue: false,
})

// What cannot be parsed is an empty text to its readers: that of `docker_ps` then meets an undefined value and throws.
function parsed(xml) {
  try {
    return parser.parse(xml)
  } catch {
    return ''
  }
}

const listed = value => (value === undefined ? [] : Array.isArray(value) ? value : [value])

function docker(config) {
  const monitor = config['xscontainer-monitor']
  if (!monitor) {
    return
  }
  if (monitor === 'False') {
    return { enabled: false }
  }
  const { docker_ps: list, docker_info: info, docker_version: version } = config
  return {
    enabled: true,
    info: info && parsed(info).docker_info,
    containers: listed(list && parsed(list).docker_ps.item),
    version: version && parsed(version).docker_version,
  }
}

// A `Map` compares as `===` does, and knows no names but these.
const BUTTONS = new Map([
  ['Up', ['stop', 'restart', 'pause']],
  ['Exited (137)', ['start']],
  ['Up (Paused)', ['unpause']],
])

// React draws no objects: it gives the whole tab up.
function drawn(value) {
  if (typeof value === 'object') {
    throw new TypeError(`no text: ${JSON.stringify(value)}`)
  }
  return value
}

const row = ({ entry }) => ({
  name: drawn(entry.names),
  command: drawn(entry.command),
  created: entry.created * 1000,
  status: drawn(entry.status),
  buttons: BUTTONS.get(entry.status) ?? [],
  container: entry.container,
})

function answer(config) {
  try {
    const made = docker(config)
    return { docker: made ?? null, rows: (made?.containers ?? []).map(row) }
  } catch (error) {
    return { error: String(error) }
  }
}

const lines = readFileSync(0, 'utf8').split('\n').filter(Boolean)
process.stdout.write(lines.map(line => JSON.stringify(answer(JSON.parse(line))) + '\n').join(''))

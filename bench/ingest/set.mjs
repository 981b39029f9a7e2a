// The rows of a set in the forms in which they are sent, each in one file with the places of its bodies: what is timed later reads
// bytes and does not simulate.
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { startMs, tsbsRows, usages } from '../tsbs.mjs'

/** @typedef {{ at: number, bytes: number, rows: number, total: number }} Body `total`: the sum of all its gauges */

/** How a row is written in each form; all end with a line feed. */
const forms = {
  ndjson: (time, _ms, host, values) => {
    let line = `{"time":"${time}","hostname":"${host}"`
    for (let i = 0; i < usages.length; i++) line += `,"${usages[i]}":${values[i]}`
    return `${line}}\n`
  },
  line: (_time, ms, host, values) => {
    let line = `cpu,hostname=${host} `
    for (let i = 0; i < usages.length; i++) line += `${i === 0 ? '' : ','}${usages[i]}=${values[i]}`
    return `${line} ${ms}000000\n`
  },
  copy: (time, _ms, host, values) => `${time}\t${host}\t${values.join('\t')}\n`,
}

/**
 * Writes the set in every form.
 *
 * @returns {Promise<{ rows: number, total: number, files: Record<string, { file: string, bodies: Body[] }>, objects: (from: number, to: number) => object[] }>}
 */
export async function makeSet(dir, set, bodyRows) {
  const rows = Math.round((set.days * 86_400) / set.everySeconds) * set.hosts
  const width = usages.length
  // one byte each: whole numbers from 0 to 100
  const gauges = new Uint8Array(rows * width)
  const writers = Object.entries(forms).map(([name, format]) => ({
    name,
    format,
    writer: bodyWriter(join(dir, `cpu.${name}`), bodyRows),
  }))
  let row = 0
  let lastMs = -1
  let time = ''
  let total = 0
  for (const [ms, host, values] of tsbsRows(set)) {
    // days that are no round number may come out as an instant more
    if (row === rows) break
    gauges.set(values, row * width)
    if (ms !== lastMs) {
      time = new Date(ms).toISOString()
      lastMs = ms
    }
    let sum = 0
    for (let i = 0; i < width; i++) sum += values[i]
    total += sum
    for (const { format, writer } of writers) await writer.add(format(time, ms, host, values), sum)
    row += 1
  }
  const files = {}
  for (const { name, writer } of writers) files[name] = await writer.end()
  const names = Array.from({ length: set.hosts }, (_, i) => `host_${i}`)
  const objects = (from, to) => {
    const list = []
    for (let at = from; at < Math.min(to, rows); at++) {
      const object = {
        time: new Date(startMs + Math.floor(at / set.hosts) * set.everySeconds * 1000),
        hostname: names[at % set.hosts],
      }
      for (let i = 0; i < width; i++) object[usages[i]] = gauges[at * width + i]
      list.push(object)
    }
    return list
  }
  return { rows, total, files, objects }
}

function bodyWriter(file, bodyRows) {
  const stream = createWriteStream(file)
  const bodies = []
  let [text, count, total, at] = ['', 0, 0, 0]
  const flush = async () => {
    if (count === 0) return
    const bytes = Buffer.byteLength(text)
    bodies.push({ at, bytes, rows: count, total })
    const isTaken = stream.write(text)
    ;[text, count, total, at] = ['', 0, 0, at + bytes]
    if (!isTaken) await once(stream, 'drain')
  }
  return {
    add(line, sum) {
      text += line
      count += 1
      total += sum
      return count === bodyRows ? flush() : undefined
    },
    async end() {
      await flush()
      stream.end()
      await finished(stream)
      return { file, bodies }
    },
  }
}

/** The same bodies, cut into smaller ones of whole lines. */
export async function cutBodies(handle, bodies, lines) {
  const cut = []
  for (const { at, bytes } of bodies) {
    const buffer = Buffer.alloc(bytes)
    await handle.read(buffer, 0, bytes, at)
    let [from, count] = [0, 0]
    for (let end = buffer.indexOf(10); end !== -1; end = buffer.indexOf(10, end + 1)) {
      count += 1
      if (count < lines && end + 1 < bytes) continue
      cut.push({ at: at + from, bytes: end + 1 - from, rows: count, total: totalOf(buffer, from, end + 1) })
      ;[from, count] = [end + 1, 0]
    }
  }
  return cut
}

/** Of NDJSON. */
function totalOf(buffer, from, to) {
  let total = 0
  for (const line of buffer.toString('utf8', from, to).trimEnd().split('\n')) {
    const row = JSON.parse(line)
    for (const name of usages) total += row[name]
  }
  return total
}

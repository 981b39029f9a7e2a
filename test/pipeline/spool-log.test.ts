import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { SpoolDamage, SpoolLog } from '../../src/pipeline/spool-log.ts'
import { mountSmallDisk } from '../oracle/disk-full.ts'

const base = mkdtempSync(join(tmpdir(), 'tidemark-spool-log-'))
afterAll(() => rmSync(base, { recursive: true }))
let made = 0

function options(dir: string, segmentBytes = 1 << 20) {
  return { dir, segmentBytes, damagedDir: join(base, 'damaged') }
}

function newDir(): string {
  made += 1
  return join(base, `spool-${made}`, 'lane')
}

/** A log of the texts, each on disk before the next one. */
async function written(texts: readonly string[], segmentBytes?: number): Promise<string> {
  const dir = newDir()
  const log = await SpoolLog.create(options(dir, segmentBytes))
  for (const text of texts) await log.append(Buffer.from(text))
  await log.close()
  return dir
}

async function readAll(log: SpoolLog): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const records = await log.read({ bytes: 100, records: 3 })
    if (records.length === 0) return found
    found.push(...records.map(({ content }) => content.toString()))
  }
}

function segments(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.spool'))
    .sort()
}

function onlyFile(dir: string): string {
  return join(dir, segments(dir)[0]!)
}

/** The same folder with the bytes of its only file changed. */
function changed(dir: string, change: (bytes: Buffer) => Buffer): string {
  const copy = newDir()
  mkdirSync(copy, { recursive: true })
  const [name] = segments(dir)
  writeFileSync(join(copy, name!), change(Buffer.from(readFileSync(join(dir, name!)))))
  return copy
}

const texts = ['first', 'the second', 'third'] as const
const headerBytes = 32

describe('a log of the spool', () => {
  test('gives back what was appended, in order, over many files', async () => {
    const many = Array.from({ length: 50 }, (_, i) => `record ${i} ${'x'.repeat(i * 7)}`)
    const dir = await written(many, 500)
    expect(segments(dir).length).toBeGreaterThan(5)
    expect(await readAll(await SpoolLog.open(options(dir)))).toEqual(many)
  })

  test('those who append at once share a write, and each is on disk when it is told', async () => {
    const dir = newDir()
    const log = await SpoolLog.create(options(dir))
    const many = Array.from({ length: 200 }, (_, i) => `record ${i}`)
    await Promise.all(
      many.map(async (text) => {
        await log.append(Buffer.from(text))
        expect(readFileSync(onlyFile(dir)).includes(text)).toBe(true)
      }),
    )
    expect(await readAll(log)).toEqual(many)
    await log.close()
  })

  test('a last record that is torn is cut off, at whichever byte', async () => {
    const dir = await written(texts)
    const all = readFileSync(onlyFile(dir)).length
    const last = headerBytes + texts[2].length
    for (let cut = 1; cut <= last; cut += 1) {
      const torn = changed(dir, (bytes) => bytes.subarray(0, bytes.length - cut))
      const log = await SpoolLog.open(options(torn))
      expect(await readAll(log), `cut by ${cut}`).toEqual(texts.slice(0, 2))
      expect(readFileSync(onlyFile(torn)).length).toBe(all - last)
    }
  })

  test('a last record with a wrong byte is cut off, wherever it is', async () => {
    const dir = await written(texts)
    const last = headerBytes + texts[2].length
    for (let at = 1; at <= last; at += 1) {
      const wrong = changed(dir, (bytes) => {
        bytes[bytes.length - at]! ^= 0x55
        return bytes
      })
      expect(await readAll(await SpoolLog.open(options(wrong))), `byte ${at}`).toEqual(texts.slice(0, 2))
    }
  })

  test('a wrong byte before the last record stops it, says what to do, and loses nothing behind', async () => {
    const dir = await written(texts)
    const from = headerBytes + texts[0].length
    for (let at = from; at < from + headerBytes + texts[1].length; at += 1) {
      const wrong = changed(dir, (bytes) => {
        bytes[at]! ^= 0x55
        return bytes
      })
      const log = await SpoolLog.open(options(wrong))
      expect((await log.read({ bytes: 1000, records: 10 })).map(({ sequence }) => sequence)).toEqual([1])
      const error = await readAll(log).catch((problem: unknown) => problem)
      expect(error, `byte ${at}`).toBeInstanceOf(SpoolDamage)
      const [, file] = /touch '(.*)'/.exec((error as SpoolDamage).message)!
      writeFileSync(file!, '')
      expect(await readAll(log)).toEqual(['third'])
      const kept = readdirSync(join(base), { recursive: true }).length
      await log.release(3, () => false)
      expect(segments(wrong)).toEqual([])
      expect(readdirSync(join(base), { recursive: true }).length).toBeGreaterThanOrEqual(kept)
      expect(readdirSync(join(base, 'damaged')).length).toBeGreaterThan(0)
    }
  })

  test('records of a write that was never acknowledged are cut off when only the later ones are whole', async () => {
    const dir = newDir()
    const log = await SpoolLog.create(options(dir))
    await log.append(Buffer.from('alone'))
    const alone = readFileSync(onlyFile(dir)).length
    // the first goes at once, the others together
    await Promise.all(['a', 'b', 'c', 'd'].map((text) => log.append(Buffer.from(text))))
    await log.close()
    const torn = changed(dir, (bytes) => {
      bytes.fill(0, alone + headerBytes + 1, alone + 2 * (headerBytes + 1))
      return bytes
    })
    expect(await readAll(await SpoolLog.open(options(torn)))).toEqual(['alone', 'a'])
  })

  test('what is stored elsewhere is deleted by whole files, and only that', async () => {
    const many = Array.from({ length: 30 }, (_, i) => `record ${i} ${'x'.repeat(40)}`)
    const dir = await written(many, 400)
    const log = await SpoolLog.open(options(dir))
    const before = log.bytes
    await log.skipTo(17)
    await log.release(17, () => false)
    expect(log.bytes).toBeLessThan(before * 0.6)
    expect(await readAll(log)).toEqual(many.slice(17))
    const again = await SpoolLog.open(options(dir))
    await again.skipTo(17)
    expect(await readAll(again)).toEqual(many.slice(17))
    await again.release(30, () => false)
    expect(segments(dir)).toEqual([])
  })

  test('a file that ends too early is damage', async () => {
    const many = Array.from({ length: 6 }, (_, i) => `record ${i}`)
    const dir = await written(many, 80)
    const [first] = segments(dir)
    const bytes = readFileSync(join(dir, first!))
    writeFileSync(join(dir, first!), bytes.subarray(0, headerBytes + many[0]!.length))
    const log = await SpoolLog.open(options(dir))
    const error = await readAll(log).catch((problem: unknown) => problem)
    expect(error).toBeInstanceOf(SpoolDamage)
    const [, file] = /touch '(.*)'/.exec((error as SpoolDamage).message)!
    writeFileSync(file!, '')
    const rest = await readAll(log)
    expect(rest).toEqual(many.slice(-rest.length))
    expect(rest.length).toBeGreaterThan(2)
  })

  test('a full disk refuses what does not fit, keeps what was told to be kept, and goes on when there is room', async ({
    skip,
  }) => {
    const mounted = mountSmallDisk(1 << 20)
    if ('refusal' in mounted) return skip(mounted.refusal)
    const { disk } = mounted
    onTestFinished(() => disk.unmount())
    const dir = join(disk.dir, 'spool', 'lane')
    const log = await SpoolLog.create({ ...options(dir, 200_000), damagedDir: join(disk.dir, 'damaged') })
    const kept: string[] = []
    const refused: string[] = []
    for (let round = 0; round < 4; round += 1) {
      disk.fill(150_000 - round * 37_000)
      for (let i = 0; i < 20; i += 1) {
        const text = `round ${round} record ${i} ${'x'.repeat(12_345)}`
        try {
          await log.append(Buffer.from(text))
          kept.push(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'TM_OVERLOADED' })
          refused.push(text)
        }
      }
      disk.empty()
      const text = `round ${round}, after`
      await log.append(Buffer.from(text))
      kept.push(text)
    }
    await log.close()
    expect(refused.length).toBeGreaterThan(10)
    expect(kept.length).toBeGreaterThan(20)
    const copy = newDir()
    mkdirSync(copy, { recursive: true })
    for (const name of segments(dir)) copyFileSync(join(dir, name), join(copy, name))
    expect(await readAll(await SpoolLog.open(options(copy)))).toEqual(kept)
    expect(await readAll(log)).toEqual(kept)
  })
})

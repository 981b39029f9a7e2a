import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  bots,
  country,
  createBotTest,
  createEnricher,
  type EnrichStep,
  urlParts,
  userAgent,
} from '../../src/enrich/index.ts'
import { createRowCodec, defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { writeMmdb } from './mmdb-writer.ts'

const text = () => t.text().nullable()
const events = hypertable('web.events', {
  columns: {
    time: t.timestamptz(),
    browser: text(),
    browser_version: text(),
    os: text(),
    os_version: text(),
    device: text(),
    is_bot: t.bool().nullable(),
    country: text(),
    host: text(),
    path: text(),
    utm_source: text(),
    utm_campaign: text(),
    ref: text(),
    url: text(),
    visits: t.int4().nullable(),
  },
  time: 'time',
})

const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36'
const iphone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1'
const googlebot = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'tidemark-enrich-'))
  writeFileSync(
    join(dir, 'country.mmdb'),
    writeMmdb({
      '81.2.69.0/24': { country: { iso_code: 'GB' }, continent: { code: 'EU' } },
      '8.8.0.0/16': { country_code: 'US', country: 'United States' },
      '9.9.9.9/32': { country: 'CH' },
      '7.0.0.0/8': { registered_country: { iso_code: 'US' } },
    }),
  )
  writeFileSync(join(dir, 'broken.mmdb'), 'nothing of the kind')
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A row through steps; it has to be one that the table takes. */
async function enrich(steps: readonly EnrichStep[], row: Record<string, unknown>) {
  const { enrich } = await createEnricher(events, steps, dir)
  const given = Object.freeze({ time: 1n, ...row })
  const result = enrich(given)
  if (result.row === null) return result.dropped
  expect(createRowCodec(events).problems(result.row)).toEqual([])
  const { time: _, ...rest } = result.row
  return rest
}

describe('a user agent', () => {
  const step = userAgent({
    from: 'user_agent',
    into: {
      browser: 'browser',
      browserVersion: 'browser_version',
      os: 'os',
      osVersion: 'os_version',
      device: 'device',
    },
  })

  it('becomes browser, operating system and device, and is not stored itself', async () => {
    expect(await enrich([step], { user_agent: chrome })).toEqual({
      browser: 'Chrome',
      browser_version: '120.0.0.0',
      os: 'Windows',
      os_version: '10',
      device: 'desktop',
    })
    expect(await enrich([step], { user_agent: iphone })).toMatchObject({
      os: 'iOS',
      os_version: '17.1',
      device: 'mobile',
    })
  })

  it('that says nothing, is missing, or is enormous writes nothing wrong', async () => {
    for (const user_agent of ['', 'x', undefined, null, 5, '\0'])
      expect(await enrich([step], { user_agent })).toEqual({})
    const long = await enrich([step], { user_agent: chrome + 'x'.repeat(1e6) })
    expect(long).toMatchObject({ browser: 'Chrome' })
  })

  it('leaves what the sender says itself', async () => {
    expect(await enrich([step], { user_agent: chrome, browser: 'Brave', os: null })).toMatchObject({
      browser: 'Brave',
      os: 'Windows',
    })
  })

  it('is read anew when more texts came than are kept', async () => {
    const { enrich } = await createEnricher(events, [step], dir)
    for (let i = 0; i < 2500; i++) enrich({ user_agent: `Firefox/${i}` })
    expect(enrich({ user_agent: chrome }).row).toMatchObject({ browser: 'Chrome' })
  })
})

describe('robots', () => {
  it('are dropped with their reason, or marked', async () => {
    expect(await enrich([bots({ from: 'user_agent' })], { user_agent: googlebot })).toEqual({
      reason: 'bot',
      step: 'bots',
    })
    expect(await enrich([bots({ from: 'user_agent' })], { user_agent: chrome })).toEqual({})
    const marking = bots({ from: 'user_agent', into: 'is_bot' })
    expect(await enrich([marking], { user_agent: googlebot })).toEqual({ is_bot: true })
    expect(await enrich([marking], { user_agent: iphone })).toEqual({ is_bot: false })
    expect(await enrich([marking], {})).toEqual({})
  })

  it('are known by their words, people are not taken for them', () => {
    const isBot = createBotTest()
    for (const agent of [
      ...[
        'curl/8.4.0',
        'python-requests/2.31',
        'Go-http-client/2.0',
        'ClaudeBot/1.0',
        'AhrefsSiteAudit crawler',
      ],
      'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.0; +https://openai.com/gptbot)',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0 Safari/537.36',
      'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)',
      'Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)',
    ])
      expect(isBot(agent), agent).toBe(true)
    for (const agent of [
      ...[chrome, iphone, ''],
      'Mozilla/5.0 (Linux; Android 9; CUBOT NOTE S) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Mobile Safari/537.36',
      'Mozilla/5.0 (Linux; Android 8; CUBOT) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Mobile Safari/537.36',
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:120.0) Gecko/20100101 Firefox/120.0',
    ])
      expect(isBot(agent), agent).toBe(false)
  })

  it('keep nothing of the text that they are a piece of, such as a body of CSV', () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const isBot = createBotTest()
    gc()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 100; n++) {
      const body = Buffer.alloc(1_000_000, 'x').toString('latin1')
      isBot(`Mozilla/5.0 (X11; Linux x86_64; rv:${n}.0) ${body}`.slice(0, 2000))
    }
    gc()
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20_000_000)
  })

  const log = new URL('../../../shared/data/web/apache_access_2015.log.gz', import.meta.url)
  const lines = readLog(log)
  it.skipIf(lines === null)('of a real log are those that name themselves so', () => {
    const isBot = createBotTest()
    const agents = new Set(lines!.flatMap((line) => /"([^"]*)"\s*$/.exec(line)?.[1] ?? []))
    const missed = [...agents].filter(
      (agent) => /googlebot|bingbot|spider|crawler/i.test(agent) && !isBot(agent),
    )
    expect(missed).toEqual([])
    // browsers of people: a Firefox or Chrome on a desktop without any address in it
    const taken = [...agents].filter(
      (agent) =>
        /^Mozilla\/5\.0 \((Windows|Macintosh)[^)]*\) (Gecko|AppleWebKit)[^+]*$/.test(agent) && isBot(agent),
    )
    expect(taken).toEqual([])
  })
})

function readLog(file: URL): string[] | null {
  try {
    return gunzipSync(readFileSync(file)).toString('utf8').split('\n')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    console.log('skipped: ../shared/data/web/apache_access_2015.log.gz is absent')
    return null
  }
}

describe('an IP address', () => {
  const step = country({ from: 'ip', into: 'country', database: 'country.mmdb' })

  it.each([
    ['81.2.69.142', 'GB'],
    ['::ffff:81.2.69.1', 'GB'],
    ['8.8.4.4', 'US'],
    ['9.9.9.9', 'CH'],
  ])('%s becomes the country %s, and is not stored', async (ip, code) => {
    expect(await enrich([step], { ip })).toEqual({ country: code })
  })

  it.each(['9.9.9.8', '7.1.1.1', '127.0.0.1', '::1', '2001:db8::1', 'no address', '1.2.3', '', null, 5])(
    'without a country (%s) writes nothing, and is not stored',
    async (ip) => {
      expect(await enrich([step], { ip })).toEqual({})
    },
  )

  it('is not stored even where there is a column for it, unless that is said', async () => {
    const visits = hypertable('web.visits', {
      columns: { time: t.timestamptz(), ip: text(), country: text() },
      time: 'time',
    })
    const row = { time: 1n, ip: '9.9.9.9' }
    const without = await createEnricher(visits, [step], dir)
    expect(without.enrich(row).row).toEqual({ time: 1n, country: 'CH' })
    const kept = await createEnricher(
      visits,
      [country({ from: 'ip', into: 'country', database: 'country.mmdb', keep: true })],
      dir,
    )
    expect(kept.enrich(row).row).toEqual({ ...row, country: 'CH' })
  })

  it('needs a database that is there and is one', async () => {
    const open = (database: string) =>
      createEnricher(events, [country({ from: 'ip', into: 'country', database })], dir)
    await expect(open('none.mmdb')).rejects.toThrow(/none\.mmdb cannot be read/)
    await expect(open('broken.mmdb')).rejects.toThrow(/not a database of MaxMind's format/)
  })
})

describe('a URL', () => {
  const step = urlParts({
    from: 'url',
    into: { host: 'host', path: 'path', source: 'utm_source', campaign: 'utm_campaign' },
    params: { ref: 'ref' },
  })

  it('becomes host, path and parameters', async () => {
    const url =
      'https://User:secret@Shop.Example:8443/a%20b/c?utm_source=mail&utm_campaign=s%C3%BC%C3%9F&ref=x&ref=y#top'
    expect(await enrich([step], { url })).toEqual({
      url,
      host: 'shop.example:8443',
      path: '/a%20b/c',
      utm_source: 'mail',
      utm_campaign: 'süß',
      ref: 'x',
    })
  })

  it('may be a path alone', async () => {
    expect(await enrich([step], { url: '/p/1?utm_source=a' })).toEqual({
      url: '/p/1?utm_source=a',
      path: '/p/1',
      utm_source: 'a',
    })
    expect(await enrich([step], { url: '//cdn.example/x' })).toMatchObject({
      host: 'cdn.example',
      path: '/x',
    })
  })

  it('that is none writes nothing', async () => {
    for (const url of ['no url', 'http://', 'p/1', '']) expect(await enrich([step], { url })).toEqual({ url })
  })
})

describe('steps', () => {
  it('see what those before them wrote, and end with the first that drops', async () => {
    const first = urlParts({ from: 'url', into: {}, params: { ua: 'browser' } })
    const url = `/?ua=${encodeURIComponent(googlebot)}`
    expect(await enrich([first, bots({ from: 'browser' })], { url })).toEqual({ reason: 'bot', step: 'bots' })
  })

  it('are not misled by columns of the names that they use themselves', async () => {
    const table = hypertable('web.odd', {
      columns: { time: t.timestamptz(), dropped: t.bool(), reason: t.text() },
      time: 'time',
    })
    const { enrich } = await createEnricher(table, [bots({ from: 'user_agent' })], dir)
    const row = { time: 1n, dropped: true, reason: 'x' }
    expect(enrich(row)).toEqual({ row, dropped: null })
  })

  it.each<[RegExp, EnrichStep]>([
    [
      /steps\[0\]: userAgent: "brwser" is not a column of web\.events; did you mean "browser"\?/,
      userAgent({ from: 'ua', into: { browser: 'brwser' } }),
    ],
    [
      /country: column "visits" is int4; it writes text/,
      country({ from: 'ip', into: 'visits', database: 'x' }),
    ],
    [/bots: column "country" is text; it writes bool/, bots({ from: 'ua', into: 'country' })],
    [/urlParts: column "time" is timestamptz/, urlParts({ from: 'url', into: { path: 'time' } })],
  ])('are checked with the declaration: %s', (message, step) => {
    expect(() =>
      defineConfig({ datasets: [events], ingest: { enrich: [{ into: events, steps: [step] }] } }),
    ).toThrow(message)
  })

  it('are declared once for a table', () => {
    const steps = [bots({ from: 'ua' })]
    const config = defineConfig({ datasets: [events], ingest: { enrich: [{ into: events, steps }] } })
    expect(config.ingest.enrich).toEqual([{ into: events, steps }])
    const twice = [
      { into: events, steps },
      { into: events, steps },
    ]
    expect(() => defineConfig({ datasets: [events], ingest: { enrich: twice } })).toThrow(/has steps already/)
    expect(() => userAgent({ from: 'ua', into: { browser: 'a', os: 'a' } })).toThrow(/writes "a" twice/)
  })
})

import Bowser from 'bowser'
import type { EnrichStep } from '../schema/index.ts'
import { makeStep, textOf, withValues } from './make-step.ts'

export interface UserAgentOptions {
  /** Key of the row that holds the text of the header User-Agent. */
  readonly from: string
  /** Columns (text) for what it tells. */
  readonly into: {
    /** `Chrome`, `Safari`, … */
    readonly browser?: string
    readonly browserVersion?: string
    /** `Windows`, `iOS`, … */
    readonly os?: string
    readonly osVersion?: string
    /** `desktop`, `mobile`, `tablet`, `tv` or `bot`. */
    readonly device?: string
  }
}

/**
 * Browser, operating system and kind of device from a user agent, read by bowser.
 *
 * @example
 * userAgent({ from: 'user_agent', into: { browser: 'browser', os: 'os', device: 'device' } })
 */
export function userAgent({ from, into }: UserAgentOptions): EnrichStep {
  const { browser, browserVersion, os, osVersion, device } = into
  const columns = { browser, browserVersion, os, osVersion, device }
  return makeStep('userAgent', from, columns, 'text', async () => {
    const parse = cachedParse()
    return (row) => {
      const text = textOf(row, from)
      if (text === null) return row
      const agent = parse(text)
      return withValues(row, [
        [browser, agent.browser.name],
        [browserVersion, agent.browser.version],
        [os, agent.os.name],
        [osVersion, agent.os.versionName ?? agent.os.version],
        [device, agent.platform.type],
      ])
    }
  })
}

export type Agent = ReturnType<typeof Bowser.parse>

/** Browsers send less; longer texts are cut, because each is searched by hundreds of patterns. */
const mostChars = 1024
const mostKept = 2000

/** The same few hundred texts come again and again, and reading one takes tens of microseconds. The oldest goes first. */
export function cachedParse(): (text: string) => Agent {
  const kept = new Map<string, Agent>()
  return (text) => {
    const key = text.length > mostChars ? text.slice(0, mostChars) : text
    const known = kept.get(key)
    if (known !== undefined) return known
    // a copy: a piece of a text keeps all of it in memory, which may be a body of CSV
    const own = Buffer.from(key, 'utf16le').toString('utf16le')
    const agent = Bowser.parse(own)
    if (kept.size >= mostKept) kept.delete(kept.keys().next().value as string)
    kept.set(own, agent)
    return agent
  }
}

import { type Dropped, dropReason, type EnrichStep } from '../schema/index.ts'
import { makeStep, textOf, withValues } from './make-step.ts'
import { cachedParse } from './user-agent.ts'

export interface BotOptions {
  /** Key of the row that holds the text of the header User-Agent. */
  readonly from: string
  /** A bool column that says so; without it rows of bots are dropped. */
  readonly into?: string
}

const bot: Dropped = Object.freeze({ [dropReason]: 'bot' })

/**
 * Drops rows of robots that say who they are, with the reason `bot`, or marks them.
 *
 * @example
 * bots({ from: 'user_agent' })
 * bots({ from: 'user_agent', into: 'is_bot' })
 */
export function bots({ from, into }: BotOptions): EnrichStep {
  return makeStep('bots', from, { into }, 'bool', async () => {
    const isBot = createBotTest()
    return (row) => {
      const text = textOf(row, from)
      const found = text !== null && isBot(text)
      if (into === undefined) return found ? bot : row
      return text === null ? row : withValues(row, [[into, found]])
    }
  })
}

/**
 * Words by which robots, libraries and monitors name themselves, beside those that bowser knows. Cubot makes phones.
 */
const words =
  /(?<!cu)bots?\b|crawl|spider|slurp|scrap(?:er|y)|headless|phantomjs|lighthouse|pingdom|uptime|monitoring|facebookexternalhit|feedfetcher|^(?:curl|wget|python|go-http-client|java|okhttp|axios|node-fetch|undici|libwww-perl|ruby|php|apache-httpclient|postmanruntime|insomnia)\b/i

/** Whether a user agent says that it is a robot. An empty one says nothing. */
export function createBotTest(): (userAgent: string) => boolean {
  const parse = cachedParse()
  return (text) => text !== '' && (words.test(text) || parse(text).platform.type === 'bot')
}
